"""The rules by which a process that ended is started again, and a live process that does not work is restarted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""Exits that are older than this do not count."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0

STRIKES: Final = 3
"""The number of answers 500 in a row after which a Manager is restarted."""
SILENT_S: Final = 120.0
"""A process without any answer for this long is restarted. A frozen Manager has lost the leadership long before."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `pause_s` seconds."""

    pause_s: float
    reason: str


def next_start(name: str, how: str, exits_s: Sequence[float], now_s: float) -> Restart:
    """Return the start after an exit: at once after the first exit, then after pauses that double up to ten seconds.

    The number of attempts is not limited. `exits_s` are the times of the exits of the process, including this one, on
    the clock of `now_s`; `how` is, for example, "was killed by SIGKILL".
    """
    recent = sum(1 for at in exits_s if now_s - at <= WINDOW_S)
    pause_s = 0.0 if recent <= 1 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "immediately" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {how}; it is started again {when}{times}")


CRASH_WINDOW_S: Final = 300.0
CRASH_STARTS: Final = 3
HEALTHY_S: Final = 60.0
"""The time after which a running process is not crash-looping."""


def crash_loop(starts_s: Sequence[float], last_error: str) -> str:
    """Return the reason why a process counts as crash-looping, as a sentence; empty if it does not.

    A process counts as crash-looping after `CRASH_STARTS` starts within `CRASH_WINDOW_S`, each less than `HEALTHY_S`
    after the start before it. `starts_s` are the times of its starts in their order, the present start last.
    `last_error` is the error that ended the process before; empty if it is not known.
    """
    number = 1
    for earlier, later in zip(reversed(starts_s[:-1]), reversed(starts_s), strict=False):
        if later - earlier >= HEALTHY_S or starts_s[-1] - earlier > CRASH_WINDOW_S:
            break
        number += 1
    if number < CRASH_STARTS:
        return ""
    why = f"The last error: {last_error}" if last_error else "It was killed, or ended without an error."
    return f"It is crash-looping: it started {number} times within {CRASH_WINDOW_S / 60:.0f} minutes. {why}"


def named(name: str, crash_loop: str) -> str:
    """Return the sentence of `crash_loop` with `name` as its subject."""
    return f"{name}{crash_loop.removeprefix('It')}"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The failed health checks of a live process: the answers 500 in a row, or since when it does not answer."""

    strikes: int = 0
    silent_since_s: float | None = None


UNSUSPECTED: Final = Suspicion()


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """The result of a health check: the failures so far, and a reason if the process must be restarted."""

    suspicion: Suspicion
    restart: str | None = None


def judge_silence(name: str, before: Suspicion, status: int | None, now_s: float) -> HealthVerdict:
    """Restart the api or an Agent after `SILENT_S` without any answer; any answer shows that it works.

    `before` is the suspicion of the last verdict. `status` is the HTTP status of the health check; None = no answer.
    """
    if status is not None:
        return HealthVerdict(UNSUSPECTED)
    return _silent(name, before.silent_since_s, now_s, "")


def judge_manager(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    """Restart a Manager at its third answer 500 in a row, or after `SILENT_S` without an answer.

    A Manager is not restarted for an answer 503 (disabled), nor while the database may be the cause. A frozen Manager
    does no harm, because its leadership expires; a disabled Manager may be silent without a limit. `enabled` is None
    if the database could not be read.
    """
    if enabled is None:
        return HealthVerdict(UNSUSPECTED)
    if status == 500:
        return _unhealthy(name, before.strikes + 1)
    if status is None and enabled:
        return _silent(name, before.silent_since_s, now_s, " while the database could be reached")
    return HealthVerdict(UNSUSPECTED)


def _unhealthy(name: str, strikes: int) -> HealthVerdict:
    if strikes < STRIKES:
        return HealthVerdict(Suspicion(strikes=strikes))
    return HealthVerdict(
        UNSUSPECTED, f"{name} answered 500 to {STRIKES} health checks in a row while the database could be reached"
    )


def _silent(name: str, before_s: float | None, now_s: float, how: str) -> HealthVerdict:
    since_s = now_s if before_s is None else before_s
    if now_s - since_s < SILENT_S:
        return HealthVerdict(Suspicion(silent_since_s=since_s))
    return HealthVerdict(UNSUSPECTED, f"{name} answered no health check for {SILENT_S:g} s{how}")
