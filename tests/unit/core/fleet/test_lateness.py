"""The distinction between slow and dead: the additional time to wait, and the source of the figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.liveness import (
    MAX_LATENESS_FACTOR,
    MAX_ON_TIME_DELAY_S,
    ON_TIME,
    Lateness,
    extended_limit_s,
    lateness_factor,
    lateness_reason,
)

amounts = st.floats(0, 1e6)
states = st.builds(Lateness, own_s=amounts, queue=amounts, waiting=st.floats(0, 1))
pairs = st.tuples(states, states)
Factor = Callable[[Lateness], float]


def bounded_and_growing(subject: Factor, pair: tuple[Lateness, Lateness]) -> None:
    one, other = pair
    later = Lateness(
        own_s=max(one.own_s, other.own_s),
        queue=max(one.queue, other.queue),
        waiting=max(one.waiting, other.waiting),
    )
    for state in pair:
        assert 1.0 <= subject(state) <= subject(later) <= MAX_LATENESS_FACTOR
    quiet = Lateness(own_s=min(one.own_s, MAX_ON_TIME_DELAY_S), queue=min(one.queue, 1.0), waiting=one.waiting)
    assert subject(quiet) == 1.0


def unbounded(state: Lateness) -> float:
    return max(1.0, state.queue, state.own_s / MAX_ON_TIME_DELAY_S)


def never_longer(_: Lateness) -> float:
    return 0.0


def longer_on_a_quiet_host(state: Lateness) -> float:
    return min(MAX_LATENESS_FACTOR, 1.0 + state.own_s)


def test_limits_grow_with_lateness_within_bounds_not_on_a_quiet_host():
    holds(bounded_and_growing, lateness_factor, pairs)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [unbounded, never_longer, longer_on_a_quiet_host])
def test_the_property_catches_its_mutants(mutant: Factor):
    catches(bounded_and_growing, mutant, pairs)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Lateness(own_s=0.2), 4.0),
        (Lateness(queue=6.0), 6.0),
        (Lateness(queue=6.0, waiting=0.5), 3.5),
        (Lateness(queue=60.0), MAX_LATENESS_FACTOR),
        (Lateness(queue=60.0, waiting=0.0), 1.0),
    ],
)
def test_what_is_k_times_as_late_gets_k_times_as_long(state: Lateness, expected: float):
    assert lateness_factor(state) == pytest.approx(expected)
    assert extended_limit_s(1.5, state) == pytest.approx(1.5 * expected)
    assert (lateness_reason(state) == "") == (expected == 1.0)


def test_a_limit_never_shrinks_and_grows_only_to_what_is_the_most():
    assert extended_limit_s(1.5, ON_TIME) == 1.5
    assert extended_limit_s(120.0, Lateness(queue=60.0), max_s=600.0) == 600.0
    assert extended_limit_s(700.0, Lateness(queue=60.0), max_s=600.0) == 700.0


def test_why_there_was_more_time_names_who_measured_it():
    state = Lateness(own_s=0.2, queue=3.4)
    assert lateness_reason(state) == (
        ", 4.0 times as long as on a quiet host (its Agent ran 0.20 s late, 3 tasks waited for each core)"
    )
    assert "(host-1 ran 0.20 s late" in lateness_reason(state, "host-1")
    assert lateness_reason(Lateness(queue=1.5)).startswith(", 1.5 times as long")
