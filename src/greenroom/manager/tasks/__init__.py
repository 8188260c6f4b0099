"""The time-sensitive work of a zone, done by its Primary: each task fenced and apart from the others."""
