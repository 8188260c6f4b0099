"""The Primary's round: the zone's time-sensitive tasks, each fenced, one after the other."""

from __future__ import annotations

from typing import Final

from greenroom.manager.agents import run_agents, run_offers, run_reconcile
from greenroom.manager.clock import boottime_s
from greenroom.manager.context import PrimaryContext
from greenroom.manager.deadlines import run_cleanup, run_deadlines, run_missed_moves
from greenroom.manager.expiry import run_expiry
from greenroom.manager.news import News
from greenroom.manager.pools import run_pools
from greenroom.manager.successors import run_successors

UPKEEP_S: Final = 5.0
"""Between two rounds that also count and clean up."""


class PrimaryRounds:
    """Runs the tasks of a round; remembers only when it last did the slow ones."""

    def __init__(self) -> None:
        self._upkeep_at_s = float("-inf")

    async def run(self, ctx: PrimaryContext) -> None:
        """One round of all tasks.

        Raises:
            LeaseLost: the term ended meanwhile; nothing was written afterwards.
            Unavailable: the database cannot be reached.
        """
        news = News(ctx.logs, ctx.zone_name)
        try:
            await run_agents(ctx, news)
            await run_missed_moves(ctx, news)
            await run_deadlines(ctx, news)
            await run_offers(ctx, news)
            await run_successors(ctx)
            await run_pools(ctx)
            await run_expiry(ctx)
            if boottime_s() - self._upkeep_at_s >= UPKEEP_S:
                self._upkeep_at_s = boottime_s()
                await run_reconcile(ctx, news)
                await run_cleanup(ctx, news)
        finally:
            await news.send(ctx.db)
