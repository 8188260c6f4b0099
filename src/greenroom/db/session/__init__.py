"""Sessions in SQL: their rows, views, life, and Agents' reports of them."""
