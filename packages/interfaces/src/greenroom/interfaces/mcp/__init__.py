"""The Model Context Protocol at `/mcp`: leases and their desktops as tools and resources.

A tool sends one request to a route of `/api/v1`, within this process and with the credential of the caller. The route
checks the permissions and the arguments.
"""
