"""The growth of pauses after failures."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.rate_limits import Backoff

FAST = Backoff(first_s=2.0, max_s=300.0)


def test_the_pause_doubles_to_its_ceiling():
    assert [FAST.delay_s(failures) for failures in (0, 1, 2, 3, 9, 100_000)] == [0, 2, 4, 8, 300, 300]


@for_all(
    st.integers(1, 50),
    st.floats(0, 1),
    subject=FAST.delay_s,
    mutants=[
        lambda failures, spread=1.0: FAST.delay_s(failures) * spread,
        lambda failures, spread=1.0: FAST.delay_s(failures),
    ],
)
def test_a_spread_takes_up_to_half_of_the_pause(subject: Any, failures: int, spread: float):
    assert subject(failures) / 2 <= subject(failures, spread) <= subject(failures)
    assert subject(failures, 0.0) == subject(failures) / 2
