"""Leases: sessions for programs, each with a deadline and a separate token."""
