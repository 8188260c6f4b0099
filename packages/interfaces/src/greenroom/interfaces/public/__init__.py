"""The published interface: the calls that existing clients use."""
