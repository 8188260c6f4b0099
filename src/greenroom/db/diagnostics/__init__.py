"""SQL statements for Diagnostics and metrics, and for the deletion of outdated rows."""
