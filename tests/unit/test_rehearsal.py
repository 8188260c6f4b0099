"""A rehearsal: the arrival of its users, the number of staged sessions that they need, and the messages about
shortages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.cli.rehearsal import (
    Reason,
    RehearsalPlan,
    RehearsalResult,
    RehearsedVisit,
    SupplyAtStart,
    arrivals,
    count_reasons,
    peak_per_s,
    percentile,
    staged_needed,
    summarize,
)

MORNINGS = st.tuples(st.integers(0, 60), st.floats(0.1, 1e4), st.integers(0, 2**32))
CLICKS = st.tuples(st.lists(st.integers(0, 40), max_size=25), st.integers(1, 12))
"""Whole seconds, so that clicks and refills coincide."""


def _is_a_morning(subject: Callable[..., list[float]], given: tuple[int, float, int]) -> None:
    users, within_s, seed = given
    found = subject(users, within_s, seed)
    assert len(found) == users
    assert found == sorted(found)
    assert all(0 <= click <= within_s for click in found)
    assert found == subject(users, within_s, seed)


def test_users_come_in_order_within_the_time_and_the_same_for_a_seed():
    holds(_is_a_morning, arrivals, MORNINGS)
    catches(_is_a_morning, lambda *given: arrivals(*given)[::-1], MORNINGS)
    catches(_is_a_morning, lambda users, within_s, seed: arrivals(users, 2 * within_s, seed), MORNINGS)


def test_most_users_come_in_the_middle():
    clicks = arrivals(1000, 90, 1)
    first, middle, last = (sum(30 * part <= click < 30 * (part + 1) for click in clicks) for part in range(3))
    assert middle > 2 * first
    assert middle > 2 * last


def _misses(pool: int, launches_s: Sequence[float], refill_s: float) -> int:
    """A pool in which each place is refilled `refill_s` after its claim, click by click."""
    ready_s, misses = [0.0] * pool, 0
    for click in sorted(launches_s):
        free = next((place for place, at in enumerate(ready_s) if at <= click), None)
        if free is None:
            misses += 1
        else:
            ready_s[free] = click + refill_s
    return misses


def _is_smallest(subject: Callable[..., int], given: tuple[list[int], int]) -> None:
    launches_s, refill_s = given
    pool = subject(launches_s, refill_s)
    assert _misses(pool, launches_s, refill_s) == 0
    assert pool == 0 or _misses(pool - 1, launches_s, refill_s) > 0


def test_the_pool_needed_is_the_smallest_that_misses_no_launch():
    holds(_is_smallest, staged_needed, CLICKS)
    catches(_is_smallest, lambda launches_s, refill_s: len(launches_s), CLICKS)
    catches(_is_smallest, lambda launches_s, refill_s: staged_needed(launches_s, refill_s + 1), CLICKS)


def test_rates_and_percentiles():
    assert peak_per_s([0, 1, 1.5, 2, 9], 2) == 2
    assert peak_per_s([], 2) == 0
    assert percentile([], 50) is None
    assert [percentile([4, 1, 3, 2], rank) for rank in (50, 99, 100)] == [2, 4, 4]


MORNING = RehearsalPlan(users=4, within_s=10, usable_within_s=30, seed=0, image_id="i", workspace="Desktop")
SUPPLY = SupplyAtStart(
    desired=2,
    staged=2,
    cores=64,
    cores_free=60,
    memory=64 * 10**9,
    memory_free=60 * 10**9,
    session_cores=2,
    session_memory=2 * 10**9,
)
SERVED = RehearsedVisit(launched_s=1, reply_s=0.1, outcome="staged", usable_s=0.2)
EMPTY = Reason(code="pool_empty", sentence="No staged session is free.", launches=2)


def short(
    visits: Sequence[RehearsedVisit] = (SERVED,) * 4,
    supply: SupplyAtStart = SUPPLY,
    *not_staged: Reason,
    refill_s: float | None = 3,
) -> RehearsalResult:
    return summarize(MORNING, supply, visits, not_staged=list(not_staged), refill_s=refill_s)


def test_nothing_is_short_when_all_are_served():
    visits = [replace(SERVED, launched_s=5.0 * number) for number in range(4)]
    found = short(visits)
    assert (found.short, found.passed, found.staged, found.staged_needed) == ([], True, 4, 1)


def test_the_pool_says_how_many_would_have_been_enough():
    visits = [*[SERVED] * 2, *[replace(SERVED, outcome="on_demand", usable_s=3.0)] * 2]
    found = short(visits, SUPPLY, EMPTY)
    assert found.short == [
        (
            "The pool of Desktop was empty for 2 launches. It has 2 places; with 4 every launch would have been "
            "staged, because a place is filled again within 3.0 s."
        )
    ]
    assert found.passed
    enough = short(visits, replace(SUPPLY, desired=4), EMPTY)
    assert enough.short == [
        (
            "The pool of Desktop was empty for 2 launches, although 4 staged sessions are enough; "
            "run greenroom staging list for the reason."
        )
    ]


def test_a_setting_that_excludes_staging_is_no_shortage_of_the_pool():
    setting = Reason(code="volume_mapping", sentence="Volume mappings exclude staging.", launches=1)
    assert short([SERVED], SUPPLY, setting).short == [
        "1 launch got no staged session: Volume mappings exclude staging."
    ]


def test_room_counts_all_users_and_the_pool_that_serves_them():
    few = replace(SUPPLY, cores_free=9, memory_free=9 * 10**9)
    assert short(supply=few).short == [
        "Cores: 4 users and 4 staged sessions need 12 more than is reserved now; 9 of 64 are free.",
        "Memory: 4 users and 4 staged sessions need 12 GB more than is reserved now; 9 GB of 64 GB are free.",
    ]
    just = replace(SUPPLY, cores_free=12, memory_free=12 * 10**9)
    assert short(supply=just).short == []


def test_refusals_are_said_as_the_api_says_them():
    refused = RehearsedVisit(
        launched_s=1, reply_s=0.1, outcome="refused", code="session-limit", sentence="The limit is reached."
    )
    found = short([SERVED, SERVED, refused, refused])
    assert found.refusals == [Reason(code="session-limit", sentence="The limit is reached.", launches=2)]
    assert found.short == ["2 launches were refused: The limit is reached."]
    assert not found.passed


def test_late_users_and_slow_replies_are_short():
    late = RehearsedVisit(launched_s=1, reply_s=1.4, outcome="late")
    found = short([SERVED, SERVED, SERVED, late])
    assert found.short == [
        "1 of 4 users had no usable session within 30 s.",
        "The api: 1 of 4 launches waited 1.4 s or longer for the reply; the limit is 1 s.",
    ]
    assert not found.passed


def test_reasons_are_counted_by_their_code():
    def refused(code: str, sentence: str) -> Any:
        return RehearsedVisit(launched_s=0, reply_s=0, outcome="refused", code=code, sentence=sentence)

    visits = [refused("a", "One."), refused("b", "Two."), refused("b", "Other.")]
    assert count_reasons(visits) == [
        Reason(code="b", sentence="Two.", launches=2),
        Reason(code="a", sentence="One.", launches=1),
    ]
