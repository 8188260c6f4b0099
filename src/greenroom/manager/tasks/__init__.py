"""The time-sensitive tasks of a zone, which its Primary runs: each has a fencing token and is isolated from others."""
