"""How late a process and its host are, and how much longer it is worth waiting for that: *slow* is not *dead*.

A time limit says how long something healthy takes on a quiet host, with a margin. On a busy host everything takes
proportionally longer, healthy or not, so the waiting side multiplies the limit by `times`. Something that ended, or
that answers that it cannot, is not slow, and gets no more time than on a quiet host.

Invariants, tested as properties: the factor is between 1 and `MAX_TIMES`, it is 1 on a quiet host, and never falls
where anything becomes later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_TIMES: Final = 10.0
"""Nobody waits longer than so many times the limit, however late everything is."""
ON_TIME_S: Final = 0.05
"""A process that runs at most so late is on time; one that runs k times as late needs k times as long.

What it waits for takes several turns of this and of other processes, and each of them comes so much later.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """What a process measured of itself and its host during the last seconds."""

    own_s: float = 0.0
    """How late it ran after the moment at which it wanted to, on average."""
    queue: float = 0.0
    """Tasks of the host that wanted a core, for each core, on average."""
    waiting: float = 1.0
    """The share of the time in which any of them had to wait; 1 where the kernel does not tell."""


ON_TIME: Final = Lateness()


def times(lateness: Lateness) -> float:
    """How many times as long as on a quiet host something healthy may take.

    With n tasks for each core everything takes n times as long while they wait for each other. A queue seen at moments
    in which nothing waited for long is none: `waiting` weighs it.
    """
    host = 1.0 + lateness.waiting * max(0.0, lateness.queue - 1.0)
    return min(MAX_TIMES, max(1.0, host, lateness.own_s / ON_TIME_S))


def allowed_s(limit_s: float, lateness: Lateness, most_s: float = math.inf) -> float:
    """What becomes of a limit that holds on a quiet host; never less than that, and more up to `most_s` alone."""
    return max(limit_s, min(most_s, limit_s * times(lateness)))


def because(lateness: Lateness, who: str = "its Agent") -> str:
    """What is to be said where more time was given, as the end of a sentence; empty on a quiet host.

    `who` measured it.
    """
    factor = times(lateness)
    if factor <= 1.0:
        return ""
    return (
        f", {factor:.1f} times as long as on a quiet host ({who} ran {lateness.own_s:.2f} s late,"
        f" {lateness.queue:.0f} tasks wanted each core)"
    )
