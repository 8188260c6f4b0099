"""Staging configs: routes, published calls, and what both know about pools."""
