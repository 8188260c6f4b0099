"""Launching: the launcher's routes, the service, the plan, and its log."""
