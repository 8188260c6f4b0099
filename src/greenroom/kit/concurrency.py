"""Waiting with a time limit; one reading for all who ask at once; fair turns; loops that keep running.

Each loop wraps the work of one item (an image, a session, a row) in `one_item`, and writes the reason of a failure to
the status of that item. The roles start their loops with `kept`.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, Generic, Never, TypeVar
from weakref import WeakValueDictionary

import structlog

from greenroom.core.errors import (
    GivenUp,
    GreenroomError,
    SetupError,
    StartAgain,
    Unavailable,
    Unexpected,
    reason_of,
    single_errors,
)
from greenroom.core.rate_limits import Backoff

T = TypeVar("T")


async def wait_for(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait until the event is set, at most `timeout_s` (None: forever); False = it is not."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return event.is_set()


class Coalesced(Generic[T]):
    """Callers who ask while a reading is under way share the next one, which begins after all of them asked.

    So the number of readings does not grow with the number of callers, and no caller gets an outdated result. An error
    of `read` is raised for all who share it.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The result of a reading that begins now or later."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await self._read()


class CoalescedEach(Generic[T]):
    """`Coalesced` for each name, which takes no memory while it is not asked for."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._of = WeakValueDictionary[str, Coalesced[T]]()

    async def get(self, name: str) -> T:
        """The result of a reading of `name` that begins now or later."""
        one = self._of.get(name)
        if one is None:
            one = self._of[name] = Coalesced(partial(self._read, name))
        return await one.get()


class SharedReading(Generic[T]):
    """One reading for all who ask for the same within `kept_s`; an error is raised for all of them."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._readings: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str, read: Callable[[], Coroutine[None, None, T]]) -> T:
        reading = self._readings.get(name)
        if reading is None:
            reading = self._readings[name] = asyncio.create_task(read())
            asyncio.get_running_loop().call_later(self._kept_s, self._readings.pop, name)
        return await asyncio.shield(reading)


class Turns:
    """At most `at_once` have their turn. Sources are served in a circle, so that one with thousands of requests delays
    another's by one of its own, not by all. `admit` raises where no more can wait, given how many do: in all, and of
    the source.
    """

    def __init__(self, at_once: int, admit: Callable[[int, int], None]) -> None:
        self._free = at_once
        self._admit = admit
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, source: str) -> AsyncGenerator[None]:
        """Wait for a turn, and have it for as long as the context lasts; raises what `admit` raises."""
        await self._begin(source)
        try:
            yield
        finally:
            self._end()

    async def _begin(self, source: str) -> None:
        if self._free:
            self._free -= 1
            return
        self._admit(sum(map(len, self._waiting.values())), len(self._waiting.get(source, ())))
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(source, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._end()  # the turn came and is not used
            raise

    def _end(self) -> None:
        while self._waiting:
            source, queue = self._waiting.popitem(last=False)
            following = queue.popleft()
            if queue:
                self._waiting[source] = queue
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


log = structlog.get_logger(__name__)

Loop = Callable[[], Coroutine[Any, Any, None]]

BACKOFF: Final = Backoff(first_s=1.0, max_s=15.0)
"""Pause before a loop that failed is started again."""
STEADY_S: Final = 60.0
"""A loop that ran for this long is counted as one that works."""
MOST_FAILURES: Final = 5
"""After this many failures in a row the process ends, because a new process may do better."""


class LoopEndedError(RuntimeError):
    """A loop of the role failed repeatedly, or found that its process has to end."""


ENDS_PROCESS: Final = (SetupError, StartAgain, LoopEndedError)


@contextmanager
def one_item(kind: str, name: str = "") -> Generator[None]:
    """Do the work of one item. Its error is always a `GreenroomError`, so that the caller can show the reason.

    Raises:
        GreenroomError: the error of the item; `Unexpected`, with the original error as its cause, for errors of other
            types.
    """
    try:
        yield
    except GreenroomError:
        raise
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        log.debug("an item failed unexpectedly", kind=kind, name=name, at=f"{last.filename}:{last.lineno}")
        raise Unexpected(reason_of(error)) from error


@contextmanager
def logged_item(kind: str, name: str) -> Generator[None]:
    """Do the work of one item without a status: its error is logged, and the other items are done.

    Raises:
        Unavailable: the database is away, which concerns all items.
    """
    try:
        with one_item(kind, name):
            yield
    except GreenroomError as error:
        if isinstance(error, Unavailable) and not isinstance(error, GivenUp):
            raise
        log.warning("an item is put off", kind=kind, name=name, reason=error.message)


def _ignore(_sentence: str) -> None:
    return


async def kept(name: str, loop: Loop, on_failure: Callable[[str], None] = _ignore) -> Never:
    """Run a loop, and start it again after a pause when it fails; `on_failure` gets the sentence for the log row.

    Raises:
        LoopEndedError: it failed `MOST_FAILURES` times in a row, or its process has to end; the error is chained.
    """
    failures = 0
    while True:
        begun_s = time.monotonic()
        try:
            await loop()
            failure: Exception = Unexpected("It returned.")
        except Exception as error:  # noqa: BLE001 -- any error of a loop is shown, and the loop started again
            failure = error
        reason = reason_of(failure)
        failures = 1 if time.monotonic() - begun_s >= STEADY_S else failures + 1
        if failures >= MOST_FAILURES or any(isinstance(one, ENDS_PROCESS) for one in single_errors(failure)):
            log.error("a loop failed; the process ends", loop=name, reason=reason, exc_info=failure)
            raise LoopEndedError(f"The loop {name} failed: {reason}") from failure
        pause_s = BACKOFF.delay_s(failures)
        log.error("a loop failed", loop=name, reason=reason, next_try_s=pause_s, exc_info=failure)
        on_failure(f"The loop {name} failed, and is started again in {pause_s:g} s: {reason}")
        await asyncio.sleep(pause_s)
