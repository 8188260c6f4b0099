"""Server-sent events: who is told of what changed."""
