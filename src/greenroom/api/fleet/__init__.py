"""Zones, Managers, Agents, gateways and the enrollment of hosts: routes and bodies."""
