"""One log row for a shortage, instead of one for each launch that meets it; the ledger of launches has them all.

The first refused launch of a workspace is written at once and in full. Those that follow for the same reasons are
counted and written as one row when the window is over; as long as there are any, the next window begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from greenroom.db.logs import LogWriter

WINDOW_S: Final = 60.0

Key = tuple[str, ...]
Later = Callable[[float, Callable[[], None]], object]
"""Calls a function some seconds from now."""


def call_later(delay_s: float, function: Callable[[], None]) -> object:
    """The event loop's timer."""
    return asyncio.get_running_loop().call_later(delay_s, function)


@dataclass(slots=True)
class _Window:
    """What was kept back in one window; `last` is the message of the last one."""

    title: str
    count: int = 0
    last: str = ""


class Shortages:
    """See the module.

    Args:
        logs: where rows go.
        window_s: how long equal refusals are gathered.
        later: what ends a window; the event loop's timer.
    """

    def __init__(self, logs: LogWriter, window_s: float = WINDOW_S, later: Later = call_later) -> None:
        self._logs = logs
        self._window_s = window_s
        self._later = later
        self._open: dict[Key, _Window] = {}

    def refused(self, key: Key, title: str, message: str, *, user_id: str, username: str, launch_id: str) -> None:
        """A launch was refused.

        Args:
            key: what has to be the same to be one shortage: the workspace and the codes of the reasons.
            title: the workspace's name.
            message: the whole sentence, for administrators.
            user_id: who launched.
            username: his name.
            launch_id: the launch in the ledger.
        """
        if (window := self._open.get(key)) is not None:
            window.count += 1
            window.last = message
            return
        self._open[key] = _Window(title)
        self._later(self._window_s, lambda: self._end(key))
        self._logs.write(
            "WARNING",
            "launch-failed",
            message,
            user_id=user_id,
            username=username,
            details={"launch_id": launch_id},
        )

    def _end(self, key: Key) -> None:
        window = self._open.pop(key)
        if window.count == 0:
            return
        self._open[key] = _Window(window.title)
        self._later(self._window_s, lambda: self._end(key))
        self._logs.write(
            "WARNING",
            "launch-failed",
            f"{window.count} more launches of {window.title} were refused within {self._window_s:.0f} s for the same"
            f" reasons; each is in the ledger of launches. The last one: {window.last}",
            details={"count": window.count},
        )
