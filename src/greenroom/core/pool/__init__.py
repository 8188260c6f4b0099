"""Pools of staged sessions: what each needs now, and why one is short."""
