"""When a process that died is started again, and when one that lives but does not work is ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""Exits longer ago than this are forgotten."""

FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0

STRIKES: Final = 3
"""Answers 500 in a row after which a Manager is restarted."""
SILENT_S: Final = 120.0
"""After so long without any answer a process is restarted; of a frozen Manager another one is Primary long before."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `pause_s` seconds."""

    pause_s: float
    reason: str


def next_start(name: str, how: str, exits_s: Sequence[float], now_s: float) -> Restart:
    """The start after an exit: at once the first time, then after pauses that double up to ten seconds.

    Starting is never given up: a process that is always away longer than needed is better than one gone for good.

    Args:
        name: of the process, for the reason.
        how: how it ended, e.g. "was killed by SIGKILL".
        exits_s: times of its exits so far, this one included, in seconds of any one clock.
        now_s: the time now on that clock.
    """
    recent = sum(1 for at in exits_s if now_s - at <= WINDOW_S)
    pause_s = 0.0 if recent <= 1 else min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "at once" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {how}; it is started again {when}{times}")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is held against a process that lives: its answers 500 in a row, or since when it answers nothing at all."""

    strikes: int = 0
    silent_since_s: float | None = None


UNSUSPECTED: Final = Suspicion()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a health check means: what is held against the process now, and a reason if it is to be restarted."""

    suspicion: Suspicion
    restart: str | None = None


def judge_silence(name: str, before: Suspicion, status: int | None, now_s: float) -> Verdict:
    """The api or an Agent is restarted when it has answered nothing for `SILENT_S`; any answer shows that it lives.

    Args:
        name: of the process, for the reason.
        before: of the last verdict on this process.
        status: HTTP status of its health check; None when there was no answer.
        now_s: the time now, in seconds of any one clock.
    """
    if status is not None:
        return Verdict(UNSUSPECTED)
    return _silent(name, before.silent_since_s, now_s, "")


def judge_manager(name: str, before: Suspicion, status: int | None, now_s: float, *, enabled: bool | None) -> Verdict:
    """A Manager is restarted at its third answer 500 in a row, or when it has answered nothing for `SILENT_S`.

    It is never restarted for 503 (disabled), nor while the database may be to blame. One that is frozen for a moment
    does no harm, as its lease ends by itself; one that is disabled may be silent for as long as somebody wants it so.

    Args:
        name: of the Manager, for the reason.
        before: of the last verdict on this process.
        status: HTTP status of `/__healthcheck`; None when there was no answer.
        now_s: the time now, in seconds of any one clock.
        enabled: whether it is enabled; None = the database could not be asked.
    """
    if enabled is None:
        return Verdict(UNSUSPECTED)
    if status == 500:
        return _unhealthy(name, before.strikes + 1)
    if status is None and enabled:
        return _silent(name, before.silent_since_s, now_s, " while the database could be reached")
    return Verdict(UNSUSPECTED)


def _unhealthy(name: str, strikes: int) -> Verdict:
    if strikes < STRIKES:
        return Verdict(Suspicion(strikes=strikes))
    return Verdict(
        UNSUSPECTED, f"{name} answered 500 to {STRIKES} health checks in a row while the database could be reached"
    )


def _silent(name: str, before_s: float | None, now_s: float, how: str) -> Verdict:
    since_s = now_s if before_s is None else before_s
    if now_s - since_s < SILENT_S:
        return Verdict(Suspicion(silent_since_s=since_s))
    return Verdict(UNSUSPECTED, f"{name} answered no health check for {SILENT_S:g} s{how}")
