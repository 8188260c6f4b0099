"""Sessions and their shares: routes, bodies and services."""
