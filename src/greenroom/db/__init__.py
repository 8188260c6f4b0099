"""Every SQL statement of the product, one module per noun. A function raises `Unavailable` if the database is away."""
