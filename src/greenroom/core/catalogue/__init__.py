"""The catalogue: recipes of workspaces."""
