"""SQL statements for workspaces (images), homes and web filter policies."""
