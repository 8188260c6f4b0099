"""Staging configs: routes, published calls, and their service."""
