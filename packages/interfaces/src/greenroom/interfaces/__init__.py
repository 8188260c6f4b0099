"""Interfaces of the api for programs of other kinds, each found by its entry point."""
