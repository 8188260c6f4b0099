"""Zones, Managers, Agents, gateways and how hosts join: routes and bodies."""
