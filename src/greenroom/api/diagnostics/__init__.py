"""Diagnostics: logs, and the requests Managers answered."""
