"""When parts are started again, and when a Manager that lives but does not work is ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.restarts import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STRIKES,
    WINDOW_S,
    judge_manager,
    next_start,
)

times = st.lists(st.floats(min_value=0, max_value=1000), max_size=40)


def test_the_first_exit_is_answered_at_once_and_says_why():
    restart = next_start("api", "was killed by SIGKILL", [100.0], 100.0)
    assert restart.pause_s == 0
    assert restart.reason == "api was killed by SIGKILL; it is started again at once"


def test_further_exits_are_answered_after_doubling_pauses():
    pauses = [next_start("api", "x", [100.0] * n, 100.0).pause_s for n in range(1, 9)]
    assert pauses == [0, FIRST_PAUSE_S, 0.5, 1, 2, 4, 8, LONGEST_PAUSE_S]
    assert "in 0.5 s, exit 3 within 60 s" in next_start("api", "x", [100.0] * 3, 100.0).reason


@given(times, st.floats(min_value=0, max_value=2000))
def test_a_part_is_never_given_up_and_never_waits_longer_than_ten_seconds(exits: list[float], now: float):
    assert 0 <= next_start("x", "ended", exits, now).pause_s <= LONGEST_PAUSE_S


@given(times, st.floats(min_value=0, max_value=2000))
def test_one_more_exit_never_shortens_the_pause(exits: list[float], now: float):
    assert next_start("x", "ended", [*exits, now], now).pause_s >= next_start("x", "ended", exits, now).pause_s


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=20))
def test_old_exits_are_forgotten(exits: list[float]):
    now = 101 + WINDOW_S
    assert next_start("x", "ended", [*exits, now], now).pause_s == 0


answers = st.lists(st.tuples(st.sampled_from([None, 200, 404, 500, 503]), st.booleans()), max_size=40)


@given(answers)
def test_a_manager_is_restarted_exactly_at_the_third_500_in_a_row_with_the_database_there(
    seen: list[tuple[int | None, bool]],
):
    strikes, row = 0, 0
    for status, database in seen:
        verdict = judge_manager("manager-a-1", strikes, status, database_answers=database)
        row = row + 1 if status == 500 and database else 0
        assert (verdict.restart is not None) == (row == STRIKES)
        row = 0 if row == STRIKES else row
        strikes = verdict.strikes


@given(st.integers(min_value=0, max_value=2), st.booleans())
def test_503_never_restarts_a_manager(strikes: int, database: bool):
    assert judge_manager("m", strikes, 503, database_answers=database).restart is None
