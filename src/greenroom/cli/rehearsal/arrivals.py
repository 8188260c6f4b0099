"""When users arrive on a morning, and how many staged sessions serve them all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import ceil
from random import Random


def arrivals(users: int, within_s: float, seed: int) -> list[float]:
    """Seconds from the beginning at which each user clicks, in order: most of them in the middle of `within_s`."""
    drawn = Random(seed)  # noqa: S311 -- repeatable, not secret
    return sorted(drawn.triangular(0, within_s, within_s / 2) for _ in range(users))


def staged_needed(clicks_s: Sequence[float], refill_s: float) -> int:
    """The smallest pool with which every launch is staged, where each place is filled again `refill_s` after its claim.

    That is the largest number of clicks within any `refill_s`.
    """
    clicks = sorted(clicks_s)
    return max((bisect_left(clicks, click + refill_s) - place for place, click in enumerate(clicks)), default=0)


def peak_per_s(times_s: Sequence[float], window_s: float) -> float:
    """The highest rate over any `window_s`."""
    times = sorted(times_s)
    most = max((bisect_right(times, time + window_s) - place for place, time in enumerate(times)), default=0)
    return most / window_s


def percentile(values: Sequence[float], rank: float) -> float | None:
    """The smallest value that at least `rank` % of them do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(len(values) * rank / 100) - 1)]
