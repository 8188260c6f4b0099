"""Who may open a session's stream, and the end of open streams."""
