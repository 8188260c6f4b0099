"""Workspaces (images) and web filter policies in SQL."""
