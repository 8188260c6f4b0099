"""Pools of staged sessions: their plans and the reasons for shortfalls."""
