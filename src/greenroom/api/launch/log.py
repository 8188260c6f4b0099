"""The log of launches: a row for each that succeeded, missed a pool or was refused.

A shortage is one row, not one for each launch; the ledger has all launches. The first refused launch of a workspace is
logged at once and in full. Further ones for the same reasons are counted and logged as one row at the end of the
window. If there were any, another window begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.core.errors import Busy, Refused
from greenroom.core.launch.plan import Miss
from greenroom.core.launch.request import Launch, LaunchRequest
from greenroom.core.log_codes import LogCode
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.sessions.launch import MissedAttempt, PlacedSession, Search

WINDOW_S: Final = 60.0

Key = tuple[str, ...]
Later = Callable[[float, Callable[[], None]], object]
"""A function that calls another function after some seconds."""


def call_later(delay_s: float, function: Callable[[], None]) -> object:
    """Call a function with the timer of the event loop."""
    return asyncio.get_running_loop().call_later(delay_s, function)


@dataclass(slots=True)
class _Window:
    """The refusals in one window; `last` is the last message."""

    title: str
    count: int = 0
    last: str = ""


class Shortages:
    """Collects equal refusals for `window_s`; `later` ends a window."""

    def __init__(self, logs: LogWriter, window_s: float = WINDOW_S, later: Later = call_later) -> None:
        self._logs = logs
        self._window_s = window_s
        self._later = later
        self._open: dict[Key, _Window] = {}

    def refused(self, key: Key, title: str, message: str, *, user_id: str, username: str, launch_id: str) -> None:
        """Record a refused launch. `key` identifies a shortage: the workspace and the codes of the reasons."""
        if (window := self._open.get(key)) is not None:
            window.count += 1
            window.last = message
            return
        self._open[key] = _Window(title)
        self._later(self._window_s, lambda: self._end(key))
        self._logs.write(
            LogCode.LAUNCH_FAILED,
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
            LogCode.LAUNCH_FAILED,
            f"{window.count} more launches of {window.title} were refused within {self._window_s:.0f} s for "
            f"the same reasons; the ledger of launches contains each of them. The last one: {window.last}",
            details={"count": window.count},
        )


class RepeatedRowFilter:
    """Limits repeated rows, so that a program with many failed launches does not displace other rows of the log."""

    def __init__(self, window_s: float = WINDOW_S, later: Later = call_later) -> None:
        self._window_s = window_s
        self._later = later
        self._logged: set[tuple[str | None, ...]] = set()

    def is_new(self, *key: str | None) -> bool:
        """True if the key was not logged within the window. It counts as logged from now on."""
        if key in self._logged:
            return False
        self._logged.add(key)
        self._later(self._window_s, lambda: self._logged.discard(key))
        return True


class LaunchLog:
    """Writes the log rows of launches. For failed ones, the same row about the same user is written once a minute."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._shortages = Shortages(logs)
        self._repeats = RepeatedRowFilter()

    def succeeded(self, launch: Launch, got: PlacedSession, missed: Sequence[MissedAttempt]) -> None:
        """Log that a session was assigned or created.

        Each skipped pool has a row, which explains the start on demand.
        """
        attempt = got.attempt
        self._log_missed(launch, missed, got.session_id)
        self._logs.write(
            LogCode.SESSION_LAUNCHED,
            f"{launch.username} launched {launch.image.friendly_name}: {got.reason}",
            zone_name=attempt.zone.zone_name,
            session_id=got.session_id,
            user_id=launch.request.user_id,
            username=launch.username,
            staging_config_id=attempt.pool.staging_config_id if attempt.pool else None,
        )
        got.log_yielding(self._logs, f"{launch.username}, who launched {launch.image.friendly_name} on demand")

    def failed(self, launch: Launch, error: Refused, search: Search) -> None:
        """Log that no attempt succeeded."""
        self._log_missed(launch, search.missed)
        name = launch.image.friendly_name
        self._shortages.refused(
            (launch.image.image_id, *sorted({miss.code for miss in search.on_demand_misses})),
            name,
            f"{launch.username} could not launch {name}: {error.message}",
            user_id=launch.request.user_id,
            username=launch.username,
            launch_id=launch.launch_id,
        )

    def refused_before_turn(self, request: LaunchRequest, error: Busy, launch_id: str) -> None:
        """Log a launch that was refused because of too many others.

        Nothing was read yet, so the name of the user is unknown.
        """
        key, message = (error.code,), f"A launch was refused: {error.message}"
        self._shortages.refused(
            key, "any workspace", message, user_id=request.user_id, username="", launch_id=launch_id
        )

    def refused(self, launch: Launch, error: Refused, missed: Sequence[MissedAttempt]) -> None:
        """Log a launch that was refused although a session was available."""
        self._log_missed(launch, missed)
        if not self._repeats.is_new(launch.request.user_id, launch.image.image_id, error.code):
            return
        self._logs.write(
            LogCode.LAUNCH_REFUSED,
            f"{launch.username} could not launch {launch.image.friendly_name}: {error.message}",
            user_id=launch.request.user_id,
            username=launch.username,
            details={"launch_id": launch.launch_id, "code": error.code},
        )

    def _log_missed(self, launch: Launch, missed: Sequence[MissedAttempt], session_id: str | None = None) -> None:
        """Log each reason why staging configs did not serve, with the session that the user got instead, if any."""
        for attempt, misses in ((each.attempt, each.misses) for each in missed):
            if attempt.pool is None:
                continue
            config_id = attempt.pool.staging_config_id
            for miss in misses:
                if session_id or self._repeats.is_new(launch.request.user_id, config_id, miss.code, miss.setting):
                    self._miss(launch, attempt.zone.zone_name, config_id, miss, session_id)

    def _miss(self, launch: Launch, zone_name: str, staging_config_id: str, miss: Miss, session_id: str | None) -> None:
        self._logs.write(
            LogCode.STAGING_VIOLATION if miss.setting else LogCode.STAGING_MISS,
            f"{launch.username} gets no staged {launch.image.friendly_name} from zone {zone_name}: {miss.reason}",
            zone_name=zone_name,
            session_id=session_id,
            user_id=launch.request.user_id,
            username=launch.username,
            staging_config_id=staging_config_id,
            setting=miss.setting,
            details={"code": miss.code, "group": miss.group, "launch_id": launch.launch_id},
        )
