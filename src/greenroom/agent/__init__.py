"""The Agent of a host: it runs the sessions in its desired list."""
