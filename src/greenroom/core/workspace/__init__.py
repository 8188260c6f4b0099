"""Workspaces: their options, and the specification of a container that follows."""
