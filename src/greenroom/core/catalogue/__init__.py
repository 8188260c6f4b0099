"""What the catalogue offers: recipes of workspaces."""
