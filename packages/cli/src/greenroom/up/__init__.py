"""A complete deployment on one machine: the embedded PostgreSQL, the supervisor of the roles, and the first data."""
