"""Server-sent events: which subscriber learns of which change."""
