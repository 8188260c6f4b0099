"""Sessions: routes, published calls, and their services."""
