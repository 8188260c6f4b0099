"""The Primary's round: the zone's time-sensitive tasks, each fenced, one after the other, apart from each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from greenroom.core.errors import GreenroomError
from greenroom.manager.agents import run_agents, run_offers, run_reconcile
from greenroom.manager.clock import boottime_s
from greenroom.manager.context import PrimaryContext
from greenroom.manager.deadlines import run_cleanup, run_deadlines, run_missed_moves, run_recovered
from greenroom.manager.expiry import run_expiry
from greenroom.manager.news import News
from greenroom.manager.pools import run_pools
from greenroom.manager.records import run_records
from greenroom.manager.successors import run_stranded, run_successors

UPKEEP_S: Final = 5.0
"""Between two rounds that also count and clean up."""

Task = Callable[[PrimaryContext, News], Awaitable[None]]

TASKS: Final[dict[str, Task]] = {
    "agents": run_agents,
    "moves": run_missed_moves,
    "deadlines": run_deadlines,
    "offers": run_offers,
    "successors": lambda ctx, _: run_successors(ctx),
    "pools": lambda ctx, _: run_pools(ctx),
    "expiry": lambda ctx, _: run_expiry(ctx),
}
"""Of every round, in this order."""
UPKEEP: Final[dict[str, Task]] = {
    "stranded": lambda ctx, _: run_stranded(ctx),
    "reconcile": run_reconcile,
    "recovered": run_recovered,
    "cleanup": run_cleanup,
    "records": run_records,
}
"""Of the rounds that also count and clean up; a search in vain for what is stranded is not repeated more often."""


class PrimaryRounds:
    """Runs the tasks of a round; remembers only its term, and when it last did the slow ones."""

    def __init__(self) -> None:
        self._upkeep_at_s = float("-inf")
        self._term = 0

    async def run(self, ctx: PrimaryContext) -> None:
        """One round of all tasks.

        Raises:
            LeaseLost: the term ended meanwhile; nothing was written afterwards.
            Unavailable: the database cannot be reached.
            GreenroomError: none of the tasks can be done; another Manager may do better.
        """
        if ctx.fence.term != self._term:
            await ctx.db.notify(f"lease:{ctx.fence.zone_key}")  # Agents that others answer come here now
            self._term = ctx.fence.term
        news = News(ctx.logs, ctx.zone_name)
        try:
            await _run(TASKS, ctx, news)
            if boottime_s() - self._upkeep_at_s >= UPKEEP_S:
                self._upkeep_at_s = boottime_s()
                await _run(UPKEEP, ctx, news)
        finally:
            await news.send(ctx.db)
        if all(ctx.tasks.troubles.stops(name) for name in TASKS):
            raise GreenroomError("None of the Primary's tasks can be done.")


async def _run(tasks: dict[str, Task], ctx: PrimaryContext, news: News) -> None:
    for name, task in tasks.items():
        if not ctx.tasks.troubles.rests(name):
            async with ctx.tasks.apart(name):
                await task(ctx, news)
