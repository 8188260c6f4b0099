"""Concurrent work: one task per key, a limited number of slots, and signals to subscribers.

The key of a change is the session id, so that only one worker changes a session at a time. `core.session.starts`
determines the order in which work gets slots; work for users is first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final, Generic, TypeVar

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.rate_limits import Backoff
from greenroom.core.session.starts import SlotCount, Urgency, WaitingChange, changes_to_begin
from greenroom.kit.concurrency import convert_item_error

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Signal(Generic[T]):
    """A repeatable event with a value. Subscribers are called in the order of their subscription."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[T], None]] = []

    def subscribe(self, subscriber: Callable[[T], None]) -> None:
        self._subscribers.append(subscriber)

    def emit(self, value: T) -> None:
        for subscriber in self._subscribers:
            subscriber(value)


Work = Callable[[], Awaitable[None]]


BACKOFF: Final = Backoff(first_s=1.0, max_s=30.0)
"""The pause after work that failed unexpectedly."""


class Workers:
    """Runs work in the background. If work fails unexpectedly, the error is logged, and no other work with the same key
    starts during a pause, which grows with each consecutive failure. `on_done` is called with the key after the work
    and the pause."""

    def __init__(self, group: asyncio.TaskGroup, on_done: Callable[[str], None]) -> None:
        self._group = group
        self._on_done = on_done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}

    @property
    def busy(self) -> frozenset[str]:
        return frozenset(self._tasks)

    def start(self, key: str, work: Work) -> bool:
        """Start `work` if no work with this key runs. Return True if it was started."""
        if key in self._tasks:
            return False
        self._tasks[key] = self._group.create_task(self._run(key, work), name=key)
        return True

    async def _run(self, key: str, work: Work) -> None:
        try:
            with convert_item_error("work", key):
                await work()
            self._failures.pop(key, None)
        except GreenroomError as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause_s = BACKOFF.delay_s(failures)
            log.error("work failed", key=key, reason=error.message, next_try_s=pause_s)
            await asyncio.sleep(pause_s)
        finally:
            self._tasks.pop(key, None)
        self._on_done(key)


class Slots:
    """A limited number of slots, assigned by urgency. All callers are on one event loop."""

    def __init__(self, slots: SlotCount) -> None:
        self._slots = slots
        self._numbers = count()
        self._waiting: dict[WaitingChange, asyncio.Future[None]] = {}
        self._in_use = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def acquire(self, urgency: Urgency) -> AsyncGenerator[bool]:
        """Wait for a slot and hold it for the block. Always yields True; `Starts.slot` can also yield False."""
        change = WaitingChange(urgency, next(self._numbers))
        granted = self._waiting[change] = asyncio.get_running_loop().create_future()
        self._grant_free_slots()
        try:
            await granted
            yield True
        finally:
            if self._waiting.pop(change, None) is None:  # the slot was granted
                self._in_use -= 1
                self._grant_free_slots()

    def _grant_free_slots(self) -> None:
        for next_change in changes_to_begin(self._waiting, self._in_use, self._slots):
            self._in_use += 1
            granted = self._waiting.pop(next_change)
            if not granted.done():  # a cancelled waiter returns the slot in its `finally`
                granted.set_result(None)
