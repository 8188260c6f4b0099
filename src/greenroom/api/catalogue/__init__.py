"""The catalogue: its entries, imported lists and pictures."""
