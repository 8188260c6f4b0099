"""Interfaces of the api for other kinds of programs, each found by its entry point."""
