"""Access control: accounts, permissions, and the settings of groups."""
