"""How the pauses after failures grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.backoff import Backoff

FAST = Backoff(first_s=2.0, max_s=300.0)


def test_the_pause_doubles_to_its_ceiling():
    assert [FAST.delay_s(failures) for failures in (0, 1, 2, 3, 9, 100_000)] == [0, 2, 4, 8, 300, 300]


@given(st.integers(1, 50), st.floats(0, 1))
def test_a_spread_takes_up_to_half_of_the_pause(failures: int, spread: float):
    assert FAST.delay_s(failures) / 2 <= FAST.delay_s(failures, spread) <= FAST.delay_s(failures)
    assert FAST.delay_s(failures, 0.0) == FAST.delay_s(failures) / 2
