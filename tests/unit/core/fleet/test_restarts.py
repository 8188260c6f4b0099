"""The restarts of parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.restarts import FIRST_PAUSE_S, MAX_PAUSE_S, WINDOW_S, Restart, next_start


def test_the_first_exit_is_answered_at_once_and_says_why():
    restart = next_start("api", "was killed by SIGKILL", [100.0], 100.0)
    assert restart.pause_s == 0
    assert restart.reason == "api was killed by SIGKILL; it is started again immediately"


def test_further_exits_are_answered_after_doubling_pauses():
    pauses = [next_start("api", "x", [100.0] * n, 100.0).pause_s for n in range(1, 9)]
    assert pauses == [0, FIRST_PAUSE_S, 0.5, 1, 2, 4, 8, MAX_PAUSE_S]
    assert "in 0.5 s, exit 3 within 60 s" in next_start("api", "x", [100.0] * 3, 100.0).reason


# A part is never abandoned: its pause is bounded, grows with each exit, and old exits are forgotten.

exits = st.tuples(st.lists(st.floats(min_value=0, max_value=200), max_size=40), st.floats(min_value=0, max_value=300))


def pauses_are_bounded_and_grow(subject: Any, case: tuple[list[float], float]) -> None:
    before, now = case
    pause_s = subject("x", "ended", before, now).pause_s
    assert 0 <= pause_s <= MAX_PAUSE_S
    assert subject("x", "ended", [*before, now], now).pause_s >= pause_s
    later = max([now, *before]) + WINDOW_S + 1
    assert subject("x", "ended", [*before, later], later).pause_s == 0


def forgets_nothing(name: str, how: str, exits_s: list[float], now_s: float) -> Restart:
    return next_start(name, how, [now_s] * len(exits_s), now_s)


def waits_without_bound(name: str, how: str, exits_s: list[float], now_s: float) -> Restart:
    restart = next_start(name, how, exits_s, now_s)
    return replace(restart, pause_s=restart.pause_s * 2)


def test_pauses_are_bounded_and_grow():
    holds(pauses_are_bounded_and_grow, next_start, exits)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [forgets_nothing, waits_without_bound])
def test_the_property_of_pauses_catches_its_mutants(mutant: Any):
    catches(pauses_are_bounded_and_grow, mutant, exits)
