"""Recordings of the actions of programs on their leased desktops."""
