"""Staging configs: routes and bodies."""
