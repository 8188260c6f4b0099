"""Distributes events: one LISTEN per process, a bounded queue per subscriber.

An event says only *what changed* (`topic`, `id`); the console then fetches it anew. So equal waiting events are one,
and a slow subscriber loses no information: its queue is emptied and it gets `resync`, "fetch everything again". All
subscribers get it when LISTEN was interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from greenroom.core.errors import TooManyRequests
from greenroom.core.events import Event

MAX_WAITING: Final = 256
MAX_SUBSCRIPTIONS: Final = 20
"""Per user or API key."""


class Resync(Enum):
    """Replaces events that were missed."""

    RESYNC = "resync"


RESYNC: Final = Resync.RESYNC


class Subscriber:
    """The queue of one listener; a queue over `MAX_WAITING` becomes one `RESYNC`."""

    def __init__(self) -> None:
        self._waiting: dict[Event | Resync, None] = {}
        self._wake = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    def put(self, event: Event | Resync) -> None:
        """Add an event unless an equal one waits."""
        if RESYNC in self._waiting:
            return
        if event is RESYNC or len(self._waiting) >= MAX_WAITING:
            self._waiting.clear()
            event = RESYNC
        self._waiting[event] = None
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Event | Resync]:
        """All waiting events, oldest first; empty when none came within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return []
        self._wake.clear()
        events, self._waiting = list(self._waiting), {}
        return events


class Hub:
    """All subscribers of this process."""

    def __init__(self) -> None:
        self._subscribers: dict[Subscriber, str] = {}

    def admit(self, who: str) -> None:
        """Raises TooManyRequests: `who` has `MAX_SUBSCRIPTIONS`."""
        if sum(subscriber == who for subscriber in self._subscribers.values()) >= MAX_SUBSCRIPTIONS:
            raise TooManyRequests(
                f"You follow events {MAX_SUBSCRIPTIONS} times already; close other windows of the console first."
            )

    @contextmanager
    def subscription(self, who: str = "") -> Generator[Subscriber]:
        subscriber = Subscriber()
        self._subscribers[subscriber] = who
        try:
            yield subscriber
        finally:
            del self._subscribers[subscriber]

    def publish(self, event: Event) -> None:
        """Send to all; returns at once (callback of `greenroom.db.notifications.Listener`)."""
        for subscriber in self._subscribers:
            subscriber.put(event)

    def close(self) -> None:
        """End all subscriptions, so that the process can stop."""
        for subscriber in self._subscribers:
            subscriber.close()

    def resync(self) -> None:
        """Send `RESYNC` to all: events may have been missed."""
        for subscriber in self._subscribers:
            subscriber.put(RESYNC)
