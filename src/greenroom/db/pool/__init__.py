"""Pools of staged sessions in SQL: configs, the input of a plan, history."""
