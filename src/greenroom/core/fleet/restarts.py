"""When a dead process is started again, and when one that is alive but does not work is ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""Older exits are forgotten."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0

STRIKES: Final = 3
"""Answers 500 in a row until a Manager is restarted."""
SILENT_S: Final = 120.0
"""Without any answer for this long a process is restarted; a frozen Manager has lost its lease long before."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `pause_s` seconds."""

    pause_s: float
    reason: str


def next_start(name: str, how: str, exits_s: Sequence[float], now_s: float) -> Restart:
    """The start after an exit: at once the first time, then after pauses that double up to ten seconds.

    There is no last attempt: a process that comes back late is better than one that never does. `exits_s` are the times
    of its exits, this one included, on the clock of `now_s`; `how` is e.g. "was killed by SIGKILL".
    """
    recent = sum(1 for at in exits_s if now_s - at <= WINDOW_S)
    pause_s = 0.0 if recent <= 1 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "at once" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {how}; it is started again {when}{times}")


CRASH_WINDOW_S: Final = 300.0
CRASH_STARTS: Final = 3
HEALTHY_S: Final = 60.0
"""A process that ran for this long is not crash-looping."""


def crash_loop(starts_s: Sequence[float], last_error: str) -> str:
    """Why a process counts as crash-looping, as a sentence; empty if it does not.

    It does after `CRASH_STARTS` starts within `CRASH_WINDOW_S` with less than `HEALTHY_S` between two of them.
    `starts_s` are the times of its starts in their order, the present one last; `last_error` ended the process before,
    empty: not known.
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
    """The sentence of `crash_loop` with `name` as its subject."""
    return f"{name}{crash_loop.removeprefix('It')}"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The evidence against a live process: its answers 500 in a row, or since when it has not answered at all."""

    strikes: int = 0
    silent_since_s: float | None = None


UNSUSPECTED: Final = Suspicion()


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """The result of a health check: the evidence so far, and a reason if the process is to be restarted."""

    suspicion: Suspicion
    restart: str | None = None


def judge_silence(name: str, before: Suspicion, status: int | None, now_s: float) -> HealthVerdict:
    """Restart the api or an Agent after `SILENT_S` without any answer; any answer shows that it works. `before` is from
    its last verdict; `status` is the HTTP status of the health check, None = no answer.
    """
    if status is not None:
        return HealthVerdict(UNSUSPECTED)
    return _silent(name, before.silent_since_s, now_s, "")


def judge_manager(
    name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None
) -> HealthVerdict:
    """Restart a Manager at its third answer 500 in a row, or after `SILENT_S` without an answer.

    Never for 503 (disabled), nor while the database may be the cause. A frozen Manager does no harm, because its lease
    ends by itself; a disabled one may be silent forever. `enabled` None = the database could not be asked.
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
