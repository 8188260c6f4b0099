"""Who may do what: accounts, permissions, the settings of groups."""
