"""Fixtures that several modules use: Managers of a zone, and the Manager of an Agent.

A module with different needs overrides them.
"""

from __future__ import annotations

from tests.support.fixtures import agent, door, fleet, manager, world

__all__ = ["agent", "door", "fleet", "manager", "world"]
