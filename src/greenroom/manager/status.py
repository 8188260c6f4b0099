"""What this process knows of itself, and who waits for a change of it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from greenroom.db.fleet.managers import ManagerRow
from greenroom.kit.clock import boottime_s
from greenroom.manager.isolation import TaskFailures

FIRST_ROUND_WAIT_S: Final = 0.1
"""How long Agents wait at most for a new Primary's first round."""


class ManagerStatus:
    """Registered? Enabled? Healthy? Read by the routes, written by registration and guardian."""

    def __init__(self, unhealthy_after_s: float) -> None:
        self._unhealthy_after_s = unhealthy_after_s
        self._started_at_s = boottime_s()
        self._finished_at_s: float | None = None
        self._reconnected_at_s = float("-inf")
        self.me: ManagerRow | None = None
        self.enabled = False
        self.stopping = False
        self.failures = TaskFailures()
        """What it cannot do as Primary."""
        self.database_answers = False
        """Whether the guardian's last heartbeat came through; it says so before anything else of a round is done."""

        self._first_round_done = asyncio.Event()
        self._first_round_done.set()

    def taking_over(self) -> None:
        """The lease was taken. All Agents of the zone come just now; the Primary's first round goes before them."""
        self._first_round_done.clear()
        asyncio.get_running_loop().call_later(FIRST_ROUND_WAIT_S, self._first_round_done.set)

    def took_over(self) -> None:
        """A round as Primary is done."""
        self._first_round_done.set()

    async def wait_for_first_round(self) -> None:
        """Wait, `FIRST_ROUND_WAIT_S` at most, while this Manager is taking over; Agents then hear of the new term at
        once."""
        await self._first_round_done.wait()

    def reconnected(self) -> None:
        """The database answers again, the guardian had nothing to do its rounds with before."""
        self._reconnected_at_s = boottime_s()

    def round_finished(self) -> None:
        """The guardian finished a round now."""
        self._finished_at_s = boottime_s()

    @property
    def finished_ago_s(self) -> float | None:
        """Seconds since the last finished round; None before the first."""
        return None if self._finished_at_s is None else boottime_s() - self._finished_at_s

    @property
    def starting(self) -> bool:
        """Whether it has not read its flag yet and had no more time for that than a hanging guardian is given."""
        return self.me is None and self._is_lately(self._started_at_s)

    @property
    def flag(self) -> bool | None:
        """Whether it is enabled; None = not read yet."""
        return None if self.me is None else self.enabled

    @property
    def healthy(self) -> bool:
        """Whether the guardian did its round lately; at the start it has the same time for its first one."""
        return self.me is not None and self._is_lately(self._last_s)

    @property
    def _last_s(self) -> float:
        return self._started_at_s if self._finished_at_s is None else self._finished_at_s

    def _is_lately(self, time_s: float) -> bool:
        return boottime_s() - time_s <= self._unhealthy_after_s

    @property
    def hangs(self) -> bool:
        """Whether it is this process that does not work: no round lately, although the database answered meanwhile.

        While the database is away Agents are answered that nothing changes, so that they do not wander (PROTOCOLS §2).
        """
        had_time = not self._is_lately(max(self._last_s, self._reconnected_at_s))
        return self.me is not None and self.database_answers and had_time

    @property
    def serves_agents(self) -> bool:
        """Whether Agents are answered; otherwise they are sent to another Manager."""
        return self.me is not None and self.enabled and not self.stopping and not self.hangs


class Wakers:
    """Held check-ins: each waits on an event that news for its Agent, or for all, sets."""

    def __init__(self) -> None:
        self._held: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def held(self, agent_id: str) -> Generator[asyncio.Event]:
        """An event for one held poll; enter before reading, so that no news falls in between."""
        event = asyncio.Event()
        self._held.setdefault(agent_id, set()).add(event)
        try:
            yield event
        finally:
            self._held[agent_id].discard(event)
            if not self._held[agent_id]:
                del self._held[agent_id]

    def wake(self, agent_id: str) -> None:
        """There may be news for this Agent."""
        for event in self._held.get(agent_id, ()):
            event.set()

    def wake_all(self) -> None:
        """There may be news for every Agent."""
        for events in self._held.values():
            for event in events:
                event.set()

    @property
    def count(self) -> int:
        """How many polls are held."""
        return sum(len(events) for events in self._held.values())
