"""Zones, Managers, Agents and their hosts: who joins, who is alive, who leads, and what a host can take."""
