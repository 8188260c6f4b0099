"""Zones, Managers, Agents and gateways in SQL: their registration, liveness and leadership."""
