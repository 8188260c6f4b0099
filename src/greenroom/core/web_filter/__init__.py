"""Web filter policies: which hosts a session may reach."""
