"""SQL statements for leases of sessions."""
