"""How many launches may wait for their turn in an api: as many as it serves within `MOST_S`, as fast as it is now.

A launch that would wait longer is refused at once, with its place in the queue and when to come again. Without a limit
all who wait would share what there is, and no user would be served in time.
"""

from __future__ import annotations

import math
from typing import Final

from greenroom.core.errors import Busy
from greenroom.core.launch.plan import TraceStep

AT_ONCE: Final = 8
"""Launches that are served side by side: half of the api's connections, so that other requests have some, too."""
MOST_S: Final = 10.0
FEWEST: Final = 100
"""As many may wait however slow the last launches were: they say little of the next ones."""
WEIGHT: Final = 0.05
"""Of one launch in the smoothed time."""


class Pace:
    """How long launches keep their turn at present."""

    def __init__(self) -> None:
        self._each_s = 0.0

    def served(self, taken_s: float) -> None:
        """A launch kept its turn this long."""
        self._each_s += WEIGHT * (taken_s - self._each_s)

    def wait_s(self, waiting: int) -> float:
        """How long a launch waits that comes now, if `waiting` wait already."""
        return (waiting + 1) * self._each_s / AT_ONCE

    def admit(self, waiting: int) -> None:
        """Raises Busy: too many wait already."""
        wait_s = self.wait_s(waiting)
        if waiting < FEWEST or wait_s <= MOST_S:
            return
        seconds = math.ceil(wait_s)
        raise Busy(
            f"{waiting} launches wait for their turn at the moment, which takes about {seconds} s; nothing was started."
            f" Try again in {seconds} s.",
            position=waiting + 1,
            expected_s=round(wait_s, 1),
            retry_after_s=seconds,
        )


def refused_step(error: Busy) -> TraceStep:
    """The only line in the trace of a launch that got no turn."""
    return TraceStep(
        order=1, step="turn", zone_name="", candidate=None, used=False, code=error.code, reason=error.message
    )
