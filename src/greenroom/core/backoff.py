"""Exponential back-off: the pause after a failure doubles with each failure in a row, up to a maximum."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses from `first_s`, after the first failure, to `max_s`."""

    first_s: float
    max_s: float

    def delay_s(self, failures: int, spread: float = 1.0) -> float:
        """The pause after so many failures in a row; 0 after none. `spread`, 0 to 1, is random where many must not come
        back together: from half of the pause to all of it.
        """
        if failures <= 0:
            return 0.0
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 100)) * (0.5 + spread / 2)
