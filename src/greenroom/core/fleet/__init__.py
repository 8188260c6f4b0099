"""Zones, Managers, Agents and their hosts: joining, liveness, the lease, and the limits of a host."""
