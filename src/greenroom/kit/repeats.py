"""Limits log rows of events that repeat: each event is logged once in an interval."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class RepeatFilter:
    """Remembers the events that were logged within the last `every_s` seconds, at most `max_events` of them; with more
    events, the oldest is forgotten. Repetitions are not counted (`core.rate_limits.RepeatCounter` counts them). `now_s`
    returns the time."""

    def __init__(
        self, every_s: float, *, max_events: int = 10_000, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._max_events = max_events
        self._now_s = now_s
        self._logged_at_s: OrderedDict[Hashable, float] = OrderedDict()

    def must_log(self, *event: Hashable) -> bool:
        """Return True if the event must be logged now, and remember it."""
        now_s = self._now_s()
        while self._logged_at_s and now_s - next(iter(self._logged_at_s.values())) >= self._every_s:
            self._logged_at_s.popitem(last=False)
        if event in self._logged_at_s:
            return False
        if len(self._logged_at_s) >= self._max_events:
            self._logged_at_s.popitem(last=False)
        self._logged_at_s[event] = now_s
        return True
