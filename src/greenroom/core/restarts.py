"""When a process that died is started again, and when a Manager that lives but does not work is ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""Exits longer ago than this are forgotten."""

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0

STRIKES: Final = 3
"""Answers 500 in a row after which a Manager is restarted."""


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
    pause_s = 0.0 if recent <= 1 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(recent - 2, 16))
    when = "at once" if pause_s == 0 else f"in {pause_s:g} s"
    times = "" if recent <= 1 else f", exit {recent} within {WINDOW_S:g} s"
    return Restart(pause_s, f"{name} {how}; it is started again {when}{times}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a health answer means: the strikes so far, and a reason if the process is to be restarted now."""

    strikes: int
    restart: str | None = None


def judge_manager(name: str, strikes: int, status: int | None, *, database_answers: bool) -> Verdict:
    """Count a Manager's answers 500 in a row; the third one means a restart, if the database is not to blame.

    503 (disabled), no answer at all (it may be frozen, and its lease ends by itself) and anything else end the row.

    Args:
        name: of the Manager, for the reason.
        strikes: what the last verdict had.
        status: HTTP status of `/__healthcheck`; None when there was no answer.
        database_answers: whether `up` reached the database at the same time.
    """
    if status != 500 or not database_answers:
        return Verdict(0)
    if strikes + 1 < STRIKES:
        return Verdict(strikes + 1)
    return Verdict(0, f"{name} answered 500 to {STRIKES} health checks in a row while the database could be reached")
