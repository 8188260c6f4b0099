"""The Agent of a host: it makes the host match its desired list."""
