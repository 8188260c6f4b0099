"""Points of time series: each moment counts once, and nothing is deleted before it is rolled up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import Invalid
from greenroom.core.series.points import (
    COARSEST,
    DAY_S,
    FINEST,
    HOUR_S,
    MAX_POINTS,
    RESOLUTIONS,
    STEPS_S,
    Done,
    ReadPlan,
    Span,
    first_done,
    plan_count,
    plan_deletion,
    plan_read,
    plan_roll_up,
    point_begin,
)

NOW_S = 1_800_000_000
STEP_S = [each.step_s for each in RESOLUTIONS]


@st.composite
def progress(draw: st.DrawFn) -> Done:
    """The ends of final points before NOW_S: a coarser resolution never ends after a finer one."""
    ends = sorted(draw(st.lists(st.integers(NOW_S - COARSEST.keep_s, NOW_S), min_size=3, max_size=3)), reverse=True)
    coarse = point_begin(ends[2], STEP_S[2])
    middle = max(point_begin(ends[1], STEP_S[1]), coarse)
    return dict(zip(STEP_S, (max(point_begin(ends[0], STEP_S[0]), middle), middle, coarse), strict=True))


def periods() -> st.SearchStrategy[tuple[float, float]]:
    """Two times of the last 90 days, the earlier one first."""
    ages = st.floats(0, 90 * DAY_S, allow_nan=False)
    return st.tuples(ages, ages).map(lambda pair: (NOW_S - max(pair) - 1, NOW_S - min(pair)))


def without_the_fine_end(since_s: float, until_s: float, now_s: float, done: Done) -> ReadPlan:
    plan = plan_read(since_s, until_s, now_s, done)
    return ReadPlan(plan.step_s, plan.begin_s, plan.end_s, plan.spans[:1])


def with_the_same_time_twice(since_s: float, until_s: float, now_s: float, done: Done) -> ReadPlan:
    plan = plan_read(since_s, until_s, now_s, done)
    return ReadPlan(plan.step_s, plan.begin_s, plan.end_s, (*plan.spans, Span(60, plan.begin_s, plan.end_s)))


@for_all(periods(), progress(), subject=plan_read, mutants=[without_the_fine_end, with_the_same_time_twice])
def test_the_spans_of_a_request_cover_its_period_once(subject: Any, period: tuple[float, float], done: Done):
    plan = subject(*period, NOW_S, done)
    assert plan.begin_s <= period[0]
    assert period[1] <= plan.end_s
    assert [span.begin_s for span in plan.spans] == [plan.begin_s, *(span.end_s for span in plan.spans[:-1])]
    assert plan.spans[-1].end_s == plan.end_s
    for span in plan.spans:
        assert plan.step_s % span.step_s == 0, "a stored point is in one point of the answer"
        assert span.step_s == FINEST.step_s or span.end_s <= done[span.step_s], "these points are final"


def ends_too_fine(since_s: float, until_s: float, now_s: float, done: Done) -> ReadPlan:
    return ReadPlan(60, point_begin(since_s, 60), point_begin(until_s, 60) + 60, ())


@for_all(periods(), progress(), subject=plan_read, mutants=[ends_too_fine])
def test_an_answer_has_a_bounded_number_of_points(subject: Any, period: tuple[float, float], done: Done):
    plan = subject(*period, NOW_S, done)
    assert 1 <= len(plan.times) <= MAX_POINTS
    assert plan.times[0] % plan.step_s == 0


@pytest.mark.parametrize(
    ("period_s", "step_s"),
    [(HOUR_S, 60), (6 * HOUR_S, 60), (DAY_S, 300), (7 * DAY_S, 1800), (30 * DAY_S, 7200), (90 * DAY_S, 21600)],
)
def test_the_periods_of_the_console_have_fine_points(period_s: int, step_s: int):
    assert plan_read(NOW_S - period_s, NOW_S, NOW_S, {}).step_s == step_s


def test_an_hour_of_last_week_has_the_points_that_are_still_stored():
    since_s = NOW_S - 7 * DAY_S
    assert plan_read(since_s, since_s + HOUR_S, NOW_S, {}).step_s == 900
    assert plan_read(since_s - 20 * DAY_S, since_s - 20 * DAY_S + HOUR_S, NOW_S, {}).step_s == 7200


@pytest.mark.parametrize(
    ("since_s", "until_s"), [(NOW_S, NOW_S), (NOW_S + 60, NOW_S + 120), (NOW_S - 200 * DAY_S, NOW_S - 100 * DAY_S)]
)
def test_a_period_without_stored_time_is_refused(since_s: int, until_s: int):
    with pytest.raises(Invalid, match="within the last 90 days"):
        plan_read(since_s, until_s, NOW_S, {})


def test_each_step_of_an_answer_consists_of_whole_stored_points():
    for step_s in STEPS_S:
        assert step_s % max(each for each in STEP_S if each <= step_s) == 0


def rolls_up_unfinished(number: int, done: Done) -> Span | None:
    span = plan_roll_up(number, done)
    return None if span is None else Span(span.step_s, span.begin_s, span.end_s + RESOLUTIONS[number].step_s)


@for_all(
    st.sampled_from((1, 2)), progress(), subject=plan_roll_up, mutants=[rolls_up_unfinished, lambda number, done: None]
)
def test_roll_ups_end_with_whole_final_points(subject: Any, number: int, done: Done):
    finer, coarser = RESOLUTIONS[number - 1], RESOLUTIONS[number]
    end_s = done[coarser.step_s]
    while (span := subject(number, {**done, coarser.step_s: end_s})) is not None:
        assert (span.step_s, span.begin_s) == (finer.step_s, end_s)
        assert end_s < span.end_s <= done[finer.step_s]
        assert span.end_s % coarser.step_s == 0
        end_s = span.end_s
    assert done[finer.step_s] - end_s < coarser.step_s, "no whole point is left"


def by_age_alone(number: int, now_s: float, done: Done) -> int:
    return int(now_s) - RESOLUTIONS[number].keep_s


@for_all(st.sampled_from((0, 1, 2)), progress(), subject=plan_deletion, mutants=[by_age_alone])
def test_points_are_deleted_by_age_and_after_their_roll_up(subject: Any, number: int, done: Done):
    before_s = subject(number, NOW_S, done)
    assert before_s <= NOW_S - RESOLUTIONS[number].keep_s
    assert number == 2 or before_s <= done[STEP_S[number + 1]]
    assert before_s == NOW_S - RESOLUTIONS[number].keep_s or before_s == done[STEP_S[number + 1]]


def test_launches_are_counted_until_now_and_are_final_when_they_are_settled():
    minute_s = point_begin(NOW_S, 60)
    plan = plan_count(minute_s - HOUR_S - 60, minute_s + 30, HOUR_S)
    assert plan.span == Span(60, minute_s - HOUR_S - 60, minute_s + 60)
    assert plan.done_s == minute_s - HOUR_S
    assert plan.is_last


def test_a_long_past_is_counted_in_parts():
    begin_s = point_begin(NOW_S - 3 * DAY_S, 60)
    plan = plan_count(begin_s, NOW_S, HOUR_S)
    assert plan.span == Span(60, begin_s, begin_s + 2 * HOUR_S)
    assert plan.done_s == begin_s + 2 * HOUR_S
    assert not plan.is_last


def test_a_clock_that_was_set_back_counts_nothing():
    plan = plan_count(NOW_S, NOW_S - DAY_S, HOUR_S)
    assert plan.span.begin_s == plan.span.end_s
    assert plan.done_s == NOW_S
    assert plan.is_last


def test_the_first_round_begins_with_the_oldest_stored_launch():
    assert first_done(NOW_S - DAY_S, NOW_S) == dict.fromkeys(STEP_S, point_begin(NOW_S - DAY_S, 7200))
    assert min(first_done(0, NOW_S).values()) == point_begin(NOW_S - COARSEST.keep_s, 7200)
