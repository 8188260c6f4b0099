"""Leases of sessions in SQL."""
