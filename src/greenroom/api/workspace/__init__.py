"""Workspaces, web filter policies and home folders: routes, bodies and the service."""
