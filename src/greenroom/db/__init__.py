"""Every SQL statement of the product, one module per noun."""
