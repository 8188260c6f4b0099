"""When parts are started again, and when a Manager that lives but does not work is ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.restarts import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STRIKES,
    WINDOW_S,
    Restart,
    Verdict,
    judge_manager,
    next_start,
)


def test_the_first_exit_is_answered_at_once_and_says_why():
    restart = next_start("api", "was killed by SIGKILL", [100.0], 100.0)
    assert restart.pause_s == 0
    assert restart.reason == "api was killed by SIGKILL; it is started again at once"


def test_further_exits_are_answered_after_doubling_pauses():
    pauses = [next_start("api", "x", [100.0] * n, 100.0).pause_s for n in range(1, 9)]
    assert pauses == [0, FIRST_PAUSE_S, 0.5, 1, 2, 4, 8, LONGEST_PAUSE_S]
    assert "in 0.5 s, exit 3 within 60 s" in next_start("api", "x", [100.0] * 3, 100.0).reason


# A part is never given up: its pause is bounded, grows with each exit, and old exits are forgotten.

exits = st.tuples(st.lists(st.floats(min_value=0, max_value=200), max_size=40), st.floats(min_value=0, max_value=300))


def pauses_are_bounded_and_grow(subject: Any, case: tuple[list[float], float]) -> None:
    before, now = case
    pause_s = subject("x", "ended", before, now).pause_s
    assert 0 <= pause_s <= LONGEST_PAUSE_S
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


@pytest.mark.parametrize("mutant", [forgets_nothing, waits_without_bound])
def test_the_property_of_pauses_catches_its_mutants(mutant: Any):
    catches(pauses_are_bounded_and_grow, mutant, exits)


# A Manager is restarted exactly at the third 500 in a row during which the database could be reached.

answers = st.lists(st.tuples(st.sampled_from([None, 200, 404, 500, 500, 503]), st.booleans()), max_size=40)


def restarted_at_the_third_500(subject: Any, seen: list[tuple[int | None, bool]]) -> None:
    strikes, row = 0, 0
    for status, database in seen:
        verdict = subject("manager-a-1", strikes, status, database_answers=database)
        row = row + 1 if status == 500 and database else 0
        assert (verdict.restart is not None) == (row == STRIKES)
        row = 0 if row == STRIKES else row
        strikes = verdict.strikes


def counts_503(name: str, strikes: int, status: int | None, *, database_answers: bool) -> Verdict:
    return judge_manager(name, strikes, 500 if status == 503 else status, database_answers=database_answers)


def blames_the_manager(name: str, strikes: int, status: int | None, *, database_answers: bool) -> Verdict:
    return judge_manager(name, strikes, status, database_answers=True)


def test_a_manager_is_restarted_at_the_third_500():
    holds(restarted_at_the_third_500, judge_manager, answers)


@pytest.mark.parametrize("mutant", [counts_503, blames_the_manager])
def test_the_property_of_strikes_catches_its_mutants(mutant: Any):
    catches(restarted_at_the_third_500, mutant, answers)
