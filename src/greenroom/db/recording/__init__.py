"""Recordings: what programs did on the desktops that they had leased."""
