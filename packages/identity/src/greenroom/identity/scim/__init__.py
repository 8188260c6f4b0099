"""The SCIM server (RFC 7643, RFC 7644): identity providers create, change and delete users and groups."""
