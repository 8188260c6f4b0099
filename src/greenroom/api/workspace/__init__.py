"""Workspaces and web filter policies: routes, published calls and bodies."""
