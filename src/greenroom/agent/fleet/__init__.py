"""The Agent as a member of the fleet: its identity, its Managers, its edge gateway."""
