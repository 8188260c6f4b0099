"""LDAP directories and Active Directory: log-ins with their passwords, and the synchronization of users."""
