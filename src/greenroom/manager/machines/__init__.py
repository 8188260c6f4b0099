"""Machines that come and go: the Primary's work about machine pools, and the providers it calls."""
