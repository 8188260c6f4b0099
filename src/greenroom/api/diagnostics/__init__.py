"""Diagnostics: logs, requests that Managers answered, metrics and leftovers."""
