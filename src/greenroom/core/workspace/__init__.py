"""Workspaces: their options, and the specification of the containers of their sessions."""
