"""Sessions: routes, published calls, and what both do with sessions."""
