"""The whole product on one machine: embedded PostgreSQL, supervisor, first data."""
