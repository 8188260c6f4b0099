"""The clock of beliefs and intervals: unlike `time.monotonic()` it goes on while the machine sleeps."""

from __future__ import annotations

import time


def boottime_s() -> float:
    """Seconds since the machine was started, sleep included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
