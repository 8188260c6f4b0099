"""Notifications that nobody waits for: sent after the commit, those that come together in one statement."""

from __future__ import annotations

import asyncio

from greenroom.db.database import Database


class Notifier:
    """Sends events in the background. While one statement is under way the next ones gather (PROTOCOLS §3)."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._events: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def send(self, *events: str) -> None:
        """Tell all listeners (`topic:id`) soon. A loss, also by the end of the process, is harmless."""
        self._events.update(events)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._events:
            events, self._events = self._events, set()
            await self._db.notify(*events)
