"""What this process knows of itself, and who waits for a change of it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from greenroom.db.managers import ManagerRow
from greenroom.manager.clock import boottime_s


class Standing:
    """Registered? Enabled? Healthy? Read by the routes, written by registration and guardian."""

    def __init__(self, unhealthy_after_s: float) -> None:
        self._unhealthy_after_s = unhealthy_after_s
        self._started_at_s = boottime_s()
        self._finished_at_s: float | None = None
        self.me: ManagerRow | None = None
        self.enabled = False
        self.stopping = False

    def round_finished(self) -> None:
        """The guardian finished a round now."""
        self._finished_at_s = boottime_s()

    @property
    def finished_ago_s(self) -> float | None:
        """Seconds since the last finished round; None before the first."""
        return None if self._finished_at_s is None else boottime_s() - self._finished_at_s

    @property
    def healthy(self) -> bool:
        """Whether the guardian did its round lately; at the start it has the same time for its first one."""
        if self.me is None:
            return False
        last_s = self._started_at_s if self._finished_at_s is None else self._finished_at_s
        return boottime_s() - last_s <= self._unhealthy_after_s

    @property
    def serves_agents(self) -> bool:
        """Whether Agents are answered; otherwise they are told to go to another Manager."""
        return self.me is not None and self.enabled and not self.stopping


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
