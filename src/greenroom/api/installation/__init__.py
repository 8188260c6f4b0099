"""The installation: its settings, and work that nobody asks for."""
