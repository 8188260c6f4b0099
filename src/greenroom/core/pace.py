"""How often something may be done that others can ask for as often as they like: some times at once, then steadily."""

from __future__ import annotations


class Pace:
    """Allows `at_once` times from the start or after a quiet time, beyond that one time in `every_s` seconds.

    In any span of t seconds it allows at most `at_once` + t / `every_s` times. Times are of one clock.
    """

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once = at_once
        self._every_s = every_s
        self._left = float(at_once)
        self._seen_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Whether it may be done now; if so it counts as done."""
        passed_s = 0.0 if self._seen_s is None else now_s - self._seen_s
        self._seen_s = now_s
        self._left = min(float(self._at_once), self._left + passed_s / self._every_s)
        if self._left < 1:
            return False
        self._left -= 1
        return True
