"""The Model Context Protocol at `/mcp`: leases and their desktops as tools and resources.

A tool is one request to `/api/v1`, sent within this process with the credential of the caller. Permissions, checks and
messages are those of that route, and are not repeated here.
"""
