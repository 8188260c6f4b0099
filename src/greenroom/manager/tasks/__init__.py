"""The time-sensitive work of a zone, done by its Primary: each task is fenced and isolated from the others."""
