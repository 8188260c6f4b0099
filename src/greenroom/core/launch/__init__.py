"""The search of a launch for a session: the plan over zones, placement, eviction, and the actions after a failure."""
