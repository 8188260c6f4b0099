"""Loops that keep running: an item that fails stops no other item, and a loop that fails is started again.

Each loop wraps the work of one item (an image, a session, a row) in `one_item`, and writes the reason of a failure to
the status of that item. The roles start their loops with `kept`.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Final, Never

import structlog

from greenroom.core.backoff import Backoff
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
