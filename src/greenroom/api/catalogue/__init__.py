"""The catalogue: its entries, the lists of others, pictures."""
