"""One task per key: two workers never touch the same session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[None]]


class Workers:
    """Runs work in the background; one that raises ends the task group, and with it the Agent.

    Args:
        group: owns the tasks.
        on_done: called with the key when its work ended.
    """

    def __init__(self, group: asyncio.TaskGroup, on_done: Callable[[str], None]) -> None:
        self._group = group
        self._on_done = on_done
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> frozenset[str]:
        """The keys that are being worked on."""
        return frozenset(self._tasks)

    def start(self, key: str, work: Work) -> bool:
        """Run `work` unless something with this key still runs; returns whether it was started."""
        if key in self._tasks:
            return False
        self._tasks[key] = self._group.create_task(self._run(key, work), name=key)
        return True

    async def _run(self, key: str, work: Work) -> None:
        try:
            await work()
        finally:
            self._tasks.pop(key, None)
        self._on_done(key)
