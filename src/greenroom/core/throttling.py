"""How often somebody may be wrong: by account and address, by address alone, by account alone. Times are given."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_SOURCES: Final = 10_000

PATIENT_UNTIL: Final = 20
"""Failures of one account from all addresses within the window, from which on attempts are spaced."""
MAX_PAUSE_S: Final = 30.0


def pause_s(failures: int) -> float:
    """The time between two attempts at an account with so many failures from all addresses: it grows, and ends.

    So an account is never guessed at faster than twice a minute for long, and is open to its user where they are logged
    in. Elsewhere they compete with whoever guesses for the same turns.
    """
    if failures < PATIENT_UNTIL:
        return 0.0
    return min(2.0 ** min(failures - PATIENT_UNTIL, 10), MAX_PAUSE_S)


class Failures:
    """Failures of each address: so many at once, afterwards as many within each window, evenly (a leaky bucket)."""

    def __init__(self) -> None:
        self._paid_off: OrderedDict[tuple[str, str], float] = OrderedDict()

    def wait_s(self, what: str, source: str, now_s: float, *, most: int, window_s: float) -> float:
        """How long the address has to wait before its next attempt at `what`; 0 = not at all."""
        debt_s = self._paid_off.get((what, source), now_s) - now_s
        return max(0.0, debt_s - window_s + window_s / most)

    def failed(self, what: str, source: str, now_s: float, *, most: int, window_s: float) -> None:
        """One more attempt of the address failed."""
        owed_until = max(self._paid_off.pop((what, source), now_s), now_s)
        self._paid_off[what, source] = min(owed_until + window_s / most, now_s + window_s)
        if len(self._paid_off) > MAX_SOURCES:
            self._paid_off.popitem(last=False)
