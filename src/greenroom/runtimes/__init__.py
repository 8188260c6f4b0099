"""What runs a session: the Runtime protocol, Docker, and a simulated one."""
