"""Authorization of viewers of a session's stream, and the end of open streams."""
