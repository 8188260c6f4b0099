"""The sessions of this host: what is wanted, what is there, and the work that makes them agree."""
