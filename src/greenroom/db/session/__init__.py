"""Sessions in SQL: their rows, what is shown of them, their life, what Agents report of them."""
