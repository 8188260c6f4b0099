"""Recordings of the actions of programs on leased desktops."""
