"""A morning against a live system: users who arrive when they arrive, what each got, and what would be short."""
