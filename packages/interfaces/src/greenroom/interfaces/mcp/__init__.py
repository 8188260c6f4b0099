"""The Model Context Protocol at `/mcp`: leases and their desktops as tools and resources.

A tool is one request to `/api/v1`, made in this process with the caller's own credential: permissions, checks and
sentences are those of that route, and none of them is written here.
"""
