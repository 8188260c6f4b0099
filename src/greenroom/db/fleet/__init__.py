"""Zones, Managers, Agents and gateways in SQL: who joined, who is alive, who leads."""
