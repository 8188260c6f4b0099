"""The Manager of a zone: check-in, guardian, leadership."""
