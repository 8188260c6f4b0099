"""The Primary's round: the zone's time-sensitive tasks, each fenced, one after the other."""

from __future__ import annotations

from greenroom.manager.context import PrimaryContext


async def run_primary_round(ctx: PrimaryContext) -> None:
    """One round of all tasks.

    Raises:
        LeaseLost: the term ended meanwhile; nothing was written afterwards.
        Unavailable: the database cannot be reached.
    """
    del ctx
