"""How a launch finds a session: the plan over zones, placement, room, and what follows a failure."""
