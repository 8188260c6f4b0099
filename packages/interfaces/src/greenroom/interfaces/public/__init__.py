"""What the calls of the published interface have in common."""
