"""The time-sensitive tasks of a zone, which its Primary runs. A failure of one task does not stop the others."""
