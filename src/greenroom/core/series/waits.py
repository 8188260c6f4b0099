"""Waits of launches as counts between fixed bounds, from which percentiles of any period are computed.

Percentiles of two periods cannot be averaged, but counts can be added. The bounds are the preferred numbers of ISO 3
with ten steps per decade, so a percentile differs from the exact one by at most 28 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WAIT_BOUNDS_MS: Final = tuple(
    digits * 10**decade for decade in range(4) for digits in (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
)
"""0.1 s to 800 s. Bucket n has the waits from bound n-1 to before bound n; bucket 0 has shorter waits."""
UNKNOWN_WAIT: Final = -1
"""The bucket of launches whose user did not get a usable session, or whose wait was not measured."""


def percentile_s(counts: Mapping[int, int], part: float) -> float | None:
    """Return the wait in seconds that this part of the launches did not exceed; None = no wait is known.

    `counts` maps buckets to numbers of launches. Within a bucket, the waits count as evenly distributed.
    """
    known = {bucket: number for bucket, number in counts.items() if bucket != UNKNOWN_WAIT and number}
    left = part * sum(known.values())
    for bucket in sorted(known):
        if left <= known[bucket]:
            low, high = _limits_ms(bucket)
            return (low + (high - low) * left / known[bucket]) / 1000
        left -= known[bucket]
    return None


def _limits_ms(bucket: int) -> tuple[int, int]:
    """Return the limits of a bucket; the last one has no upper limit, so its waits count as its lower limit."""
    low = WAIT_BOUNDS_MS[bucket - 1] if bucket else 0
    return low, WAIT_BOUNDS_MS[min(bucket, len(WAIT_BOUNDS_MS) - 1)]
