"""Zones, Managers, Agents and their hosts: joining, liveness, leadership, and the limits of a host."""
