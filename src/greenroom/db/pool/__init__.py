"""Pools of staged sessions in SQL: configs, what a plan depends on, history."""
