"""Something is allowed some times at once and then steadily, never more often, and again after a quiet time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.rate_limits import Pace

AT_ONCE, EVERY_S = 3, 5.0
pauses = st.lists(st.floats(min_value=0, max_value=20), max_size=60)


def allowed(subject: Any, pauses_s: list[float]) -> list[float]:
    """Times at which it was allowed, when it is asked for after each of the pauses."""
    pace, now, times = subject(AT_ONCE, EVERY_S), 0.0, list[float]()
    for pause in pauses_s:
        now += pause
        if pace.allows(now):
            times.append(now)
    return times


def never_more_often(subject: Any, pauses_s: list[float]) -> None:
    times = allowed(subject, pauses_s)
    assert len(times) == len(pauses_s) or len(times) >= AT_ONCE, "no request is refused without reason"
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= AT_ONCE + (times[last] - times[first]) / EVERY_S + 1e-6


class Hoards(Pace):
    """After a quiet time it allows any number at once."""

    def allows(self, now_s: float) -> bool:
        self._at_once = 1000
        return super().allows(now_s)


class Stingy(Pace):
    """One at a time, also after a quiet time."""

    def __init__(self, at_once: int, every_s: float) -> None:
        super().__init__(min(at_once, 1), every_s)


def test_it_is_never_allowed_more_often():
    holds(never_more_often, Pace, pauses)


@pytest.mark.parametrize("mutant", [Hoards, Stingy])
def test_the_property_of_paces_catches_its_mutants(mutant: Any):
    catches(never_more_often, mutant, pauses)


def test_the_newest_is_allowed_in_the_end():
    assert allowed(Pace, [0, 0, 0, 0, 4.9, 0.2]) == [0, 0, 0, pytest.approx(5.1)]
