"""SQL statements for users, groups, log-ins and API keys."""
