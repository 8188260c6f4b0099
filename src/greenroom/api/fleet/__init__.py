"""Zones, Managers, Agents, gateways and the enrolment of hosts: routes and bodies."""
