"""The loop that makes the host look like the desired list: snapshot, plan, apply."""

from __future__ import annotations

import time
from typing import Final

import structlog

from greenroom.agent.executor import Executor
from greenroom.agent.health import Health
from greenroom.agent.inventory import RETRY_S, WHOLE_EVERY_S, Inventory
from greenroom.agent.prober import Prober
from greenroom.agent.sessions import Sessions
from greenroom.agent.waiting import wait_for
from greenroom.agent.workers import Workers
from greenroom.core.reconcile import plan
from greenroom.runtimes.base import RuntimeUnavailable

log = structlog.get_logger(__name__)

ROUND_EVERY_S: Final = 5.0
"""A round is made at once when something changed, and at least this often."""


class Reconciler:
    """See the module. `workers` must call `worker_done` when work ended."""

    def __init__(self, sessions: Sessions, inventory: Inventory, health: Health) -> None:
        self._sessions = sessions
        self._inventory = inventory
        self._health = health
        self._missed: set[str] = set()

    def worker_done(self, key: str) -> None:
        """A worker ended: plan again, and look at what happened to its session meanwhile."""
        if key in self._missed:
            self._missed.discard(key)
            self._inventory.look_at.put_nowait(key)
        self._sessions.plan.set()

    async def run(self, executor: Executor, prober: Prober) -> None:
        """Make rounds, for ever."""
        while True:
            await wait_for(self._sessions.plan, ROUND_EVERY_S)
            executor.apply(plan(self._sessions.snapshot()))
            prober.follow(self._sessions.running())
            self._health.last_round = time.monotonic()

    async def look(self, workers: Workers) -> None:
        """Look at each session to which something happened, for ever; one that is being worked on afterwards."""
        while True:
            session_id = await self._inventory.look_at.get()
            if not workers.start(session_id, lambda s=session_id: self._look(s)):
                self._missed.add(session_id)

    async def _look(self, session_id: str) -> None:
        try:
            await self._inventory.look(session_id)
        except RuntimeUnavailable as error:
            log.warning("the runtime does not answer; the next inventory will tell", reason=error.message)

    async def take_inventory(self, workers: Workers) -> None:
        """Take the whole inventory when events were lost, and now and then, for ever."""
        while True:
            pause_s = WHOLE_EVERY_S
            try:
                await self._inventory.take(workers.busy)
            except RuntimeUnavailable as error:
                self._health.runtime_error = error.message
                pause_s = RETRY_S
                log.warning("the inventory cannot be taken", reason=error.message, next_try_s=pause_s)
            await wait_for(self._inventory.outdated, pause_s)
