"""How late a process and its host are, and how much longer to wait for that: *slow* is not *dead*.

A time limit says how long something healthy takes on a quiet host, with a margin; the waiting side multiplies it by
`times`. Something that ended, or that answers that it cannot, gets no extra time. Invariants, tested as properties: the
factor is 1 to `MAX_TIMES`, is 1 on a quiet host, and never falls when anything becomes later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_TIMES: Final = 10.0
"""No wait is longer than this many times the limit."""
ON_TIME_S: Final = 0.05
"""A process that runs at most this late is on time; one that runs k times as late needs k times as long, because what
it waits for takes several such turns of this and of other processes.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """What a process measured of itself and its host over the last seconds."""

    own_s: float = 0.0
    """Average delay after the moment at which it wanted to run."""
    queue: float = 0.0
    """Average number of tasks that wanted a core, per core."""
    waiting: float = 1.0
    """Share of the time in which any of them had to wait; 1 where the kernel does not report it."""


ON_TIME: Final = Lateness()


def crowd(lateness: Lateness) -> float:
    """The tasks that each core has beyond the first. `waiting` weighs the queue, because a long queue sampled while
    nothing waited for long is none."""
    return lateness.waiting * max(0.0, lateness.queue - 1.0)


def times(lateness: Lateness) -> float:
    """How many times as long as on a quiet host something healthy may take.

    With n tasks per core everything takes n times as long while they wait for each other.
    """
    return min(MAX_TIMES, max(1.0, 1.0 + crowd(lateness), lateness.own_s / ON_TIME_S))


def allowed_s(limit_s: float, lateness: Lateness, most_s: float = math.inf) -> float:
    """The limit of a quiet host, extended for `lateness`: never less than `limit_s`, at most `most_s`."""
    return max(limit_s, min(most_s, limit_s * times(lateness)))


def because(lateness: Lateness, who: str = "its Agent") -> str:
    """Why more time was allowed, as the end of a sentence; empty on a quiet host. `who` measured the lateness."""
    factor = times(lateness)
    if factor <= 1.0:
        return ""
    return (
        f", {factor:.1f} times as long as on a quiet host ({who} ran {lateness.own_s:.2f} s late,"
        f" {lateness.queue:.0f} tasks wanted each core)"
    )
