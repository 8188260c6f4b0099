"""The Agent of a host: makes the host look like its desired list."""
