"""The sessions of this host: their desired and observed state, and the work that makes them match."""
