"""Leases: sessions for programs, with a deadline and a token of their own."""
