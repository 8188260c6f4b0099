"""Machines of machine pools: the Primary's work about the pools, and the calls of their providers."""
