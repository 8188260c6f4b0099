"""The installation: its settings, and its housekeeping."""
