"""Leases of sessions: who controls one."""
