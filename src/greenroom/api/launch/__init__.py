"""Launches: routes, the service that launches sessions, and log rows."""
