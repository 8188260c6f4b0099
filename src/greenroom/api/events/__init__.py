"""Server-sent events: which subscriber gets which event."""
