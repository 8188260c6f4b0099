"""Launches in SQL: what one is planned on, the claim, the new session, the ledger."""
