"""The catalogue in SQL: what was added of it and measured, the lists of others, pictures."""
