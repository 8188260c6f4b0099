"""Users, groups, log-ins and API keys in SQL."""
