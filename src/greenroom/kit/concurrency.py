"""Waits with a time limit, reads that callers share, a fair limit of concurrent work, and loops that are restarted.

Each loop wraps the work of one item (an image, a session, a row) in `convert_item_error`, and writes the reason of a
failure to the status of that item. The roles start their loops with `keep_running`.
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
from structlog.typing import FilteringBoundLogger

from greenroom.core.errors import (
    GreenroomError,
    RestartRequired,
    SetupError,
    StatementCanceled,
    Unavailable,
    Unexpected,
    reason_of,
    single_errors,
)
from greenroom.core.rate_limits import Backoff

T = TypeVar("T")


async def wait_for(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait until the event is set, at most `timeout_s` (None = no limit). Return True if the event is set."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return event.is_set()


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a read, so that asyncio does not report it if all callers have stopped waiting."""
    if not task.cancelled():
        task.exception()


class CoalescedRead(Generic[T]):
    """A read whose result simultaneous callers share.

    Callers that arrive during a read share the next read, which begins after they arrived. The number of reads
    therefore does not grow with the number of callers, and no caller gets an outdated result. An error of a read is
    raised for all callers that share the read.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the result of a read that begins now or later."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._next.add_done_callback(_retrieve_error)
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await self._read()


class CoalescedReads(Generic[T]):
    """`CoalescedRead` for each name. A name without callers takes no memory."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._by_name = WeakValueDictionary[str, CoalescedRead[T]]()

    async def get(self, name: str) -> T:
        """Return the result of a read of `name` that begins now or later."""
        reads = self._by_name.get(name)
        if reads is None:
            reads = self._by_name[name] = CoalescedRead(partial(self._read, name))
        return await reads.get()


class CachedReads(Generic[T]):
    """Reads whose results and errors are kept for `keep_s` seconds: callers with the same name share one read."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str, read: Callable[[], Coroutine[None, None, T]]) -> T:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(read())
            task.add_done_callback(_retrieve_error)
            asyncio.get_running_loop().call_later(self._keep_s, self._tasks.pop, name)
        return await asyncio.shield(task)


class FairLimit:
    """A limit for concurrent work: at most `limit` callers have a turn at the same time.

    Sources are served in rotation, so that a source with thousands of requests delays another source by only one
    request. Before a caller waits, `admit` is called with the number of waiting callers, in total and of the same
    source. `admit` raises an error to refuse the caller.
    """

    def __init__(self, limit: int, admit: Callable[[int, int], None]) -> None:
        self._free_turns = limit
        self._admit = admit
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, source: str) -> AsyncGenerator[None]:
        """Wait for a turn, and use it for the duration of the context. Raises the errors of `admit`."""
        if self._free_turns:
            self._free_turns -= 1
        else:
            self._admit(sum(map(len, self._waiting.values())), len(self._waiting.get(source, ())))
            turn_future = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(source, deque()).append(turn_future)
            try:
                await turn_future
            except asyncio.CancelledError:
                if turn_future.done() and not turn_future.cancelled():
                    self._end_turn()  # the turn began, but is not used
                raise
        try:
            yield
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        while self._waiting:
            source, queue = self._waiting.popitem(last=False)
            next_turn = queue.popleft()
            if queue:
                self._waiting[source] = queue
            if not next_turn.done():
                next_turn.set_result(None)
                return
        self._free_turns += 1


log = structlog.get_logger(__name__)

Loop = Callable[[], Coroutine[Any, Any, None]]

BACKOFF: Final = Backoff(first_s=1.0, max_s=15.0)
"""The pause before a failed loop is started again."""
STABLE_AFTER_S: Final = 60.0
"""After a loop has run for this time, its next failure counts as the first one."""
MAX_FAILURES: Final = 5
"""The number of failures in a row after which the process ends. The supervisor then starts a new process."""


class LoopEndedError(RuntimeError):
    """A loop of the role failed repeatedly, or requires the end of its process."""


FATAL_ERRORS: Final = (SetupError, RestartRequired, LoopEndedError)
"""The errors of a loop after which the process ends immediately."""


@contextmanager
def convert_item_error(kind: str, name: str = "") -> Generator[None]:
    """Run the block, the work of one item. Every error that leaves the block has a message for the status of the item:
    a GreenroomError is raised unchanged; another error is raised as `Unexpected`, with the original error as its
    cause."""
    try:
        yield
    except GreenroomError:
        raise
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        log.debug("an item failed unexpectedly", kind=kind, name=name, at=f"{last.filename}:{last.lineno}")
        raise Unexpected(reason_of(error)) from error


@contextmanager
def log_item_error(kind: str, name: str, on_error: Callable[[str], object] = lambda _: None) -> Generator[None]:
    """Run the block, the work of one item without a status. Log its error, so that the other items continue; `on_error`
    gets its sentence. Raises Unavailable: the database is unavailable, which affects all items."""
    try:
        with convert_item_error(kind, name):
            yield
    except GreenroomError as error:
        if isinstance(error, Unavailable) and not isinstance(error, StatementCanceled):
            raise
        log.warning("an item failed and is skipped for now", kind=kind, name=name, reason=error.message)
        on_error(error.message)


@contextmanager
def warn_of_item_error(
    logger: FilteringBoundLogger, sentence: str, kind: str, name: str = "", **fields: object
) -> Generator[None]:
    """Run the block, the work of one item. Log its error as a warning with `sentence`, the reason and `fields`."""
    try:
        with convert_item_error(kind, name):
            yield
    except GreenroomError as error:
        logger.warning(sentence, reason=error.message, **fields)


async def keep_running(name: str, loop: Loop, on_failure: Callable[[str], None] = lambda _: None) -> Never:
    """Run a loop, and start it again after a pause if it fails. `on_failure` gets the sentence for the log row. Raises
    LoopEndedError: the loop failed `MAX_FAILURES` times in a row, or with an error of `FATAL_ERRORS`; the error is
    chained."""
    failures = 0
    while True:
        start_s = time.monotonic()
        try:
            await loop()
            failure: Exception = Unexpected("It returned.")
        except Exception as error:  # noqa: BLE001 -- any error of a loop is logged, and the loop restarted
            failure = error
        reason = reason_of(failure)
        failures = 1 if time.monotonic() - start_s >= STABLE_AFTER_S else failures + 1
        if failures >= MAX_FAILURES or any(isinstance(error, FATAL_ERRORS) for error in single_errors(failure)):
            log.error("a loop failed; the process ends", loop=name, reason=reason, exc_info=failure)
            raise LoopEndedError(f"The loop {name} failed: {reason}") from failure
        pause_s = BACKOFF.delay_s(failures)
        log.error("a loop failed", loop=name, reason=reason, next_try_s=pause_s, exc_info=failure)
        on_failure(f"The loop {name} failed, and is started again in {pause_s:g} s: {reason}")
        await asyncio.sleep(pause_s)
