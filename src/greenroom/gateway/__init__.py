"""The gateway: a parent process that generates the configuration of nginx and runs nginx."""
