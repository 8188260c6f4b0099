"""Launching: the launcher's routes, the service, the plan, the attempts, and what is logged of them."""
