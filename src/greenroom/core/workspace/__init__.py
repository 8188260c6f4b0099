"""Workspaces: which options they have, and the specification of a container that follows."""
