"""Launches in SQL: the input of their plan, the claim, the new session, the ledger."""
