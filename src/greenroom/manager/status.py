"""What this process knows of itself, and the waiters for a change of it."""

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
        self.database_answers = False
        """Whether the guardian's last heartbeat succeeded; set before the rest of a round."""

        self._first_round_done = asyncio.Event()
        self._first_round_done.set()

    def taking_over(self) -> None:
        """The lease was taken. All Agents of the zone connect now; the Primary's first round precedes their answers."""
        self._first_round_done.clear()
        asyncio.get_running_loop().call_later(FIRST_ROUND_WAIT_S, self._first_round_done.set)

    def took_over(self) -> None:
        self._first_round_done.set()

    async def wait_for_first_round(self) -> None:
        """Wait, `FIRST_ROUND_WAIT_S` at most, while this Manager takes over; Agents then get the new term at once."""
        await self._first_round_done.wait()

    def reconnected(self) -> None:
        """The database answers again; before that the guardian could do no round."""
        self._reconnected_at_s = boottime_s()

    def round_finished(self) -> None:
        self._finished_at_s = boottime_s()

    @property
    def finished_ago_s(self) -> float | None:
        """Seconds since the last finished round; None before the first."""
        return None if self._finished_at_s is None else boottime_s() - self._finished_at_s

    @property
    def starting(self) -> bool:
        """Whether it has not read its flag yet, within the time that a hanging guardian is given."""
        return self.me is None and self._is_lately(self._started_at_s)

    @property
    def flag(self) -> bool | None:
        """Whether it is enabled; None = not read yet."""
        return None if self.me is None else self.enabled

    @property
    def healthy(self) -> bool:
        """Whether the guardian did its round lately; the first one has the same time."""
        return self.me is not None and self._is_lately(self._last_s)

    @property
    def _last_s(self) -> float:
        return self._started_at_s if self._finished_at_s is None else self._finished_at_s

    def _is_lately(self, time_s: float) -> bool:
        return boottime_s() - time_s <= self._unhealthy_after_s

    @property
    def hangs(self) -> bool:
        """Whether this process itself does not work: no recent round, although the database answered meanwhile.

        While the database is away Agents get answers that change nothing, so that they do not switch Managers
        (PROTOCOLS §2).
        """
        had_time = not self._is_lately(max(self._last_s, self._reconnected_at_s))
        return self.me is not None and self.database_answers and had_time

    @property
    def serves_agents(self) -> bool:
        return self.me is not None and self.enabled and not self.stopping and not self.hangs


class Wakers:
    """Held check-ins: each waits on an event that news for its Agent, or for all, sets."""

    def __init__(self) -> None:
        self._held: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def held(self, agent_id: str) -> Generator[asyncio.Event]:
        """An event for one held poll; enter before reading, so that no news is lost in between."""
        event = asyncio.Event()
        self._held.setdefault(agent_id, set()).add(event)
        try:
            yield event
        finally:
            self._held[agent_id].discard(event)
            if not self._held[agent_id]:
                del self._held[agent_id]

    def wake(self, agent_id: str) -> None:
        for event in self._held.get(agent_id, ()):
            event.set()

    def wake_all(self) -> None:
        for events in self._held.values():
            for event in events:
                event.set()

    @property
    def count(self) -> int:
        return sum(len(events) for events in self._held.values())
