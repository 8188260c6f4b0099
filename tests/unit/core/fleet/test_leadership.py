"""Belief, eviction and quiet of the Primary: examples, and properties that each catch a mutant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.fleet.leadership import (
    EXPIRY_JITTER_S,
    RECHECK_S,
    ActingWindow,
    Predecessor,
    Timings,
    election_reason,
    is_quiet,
    loss_reason,
    may_act,
    next_read_in_s,
    next_renewal_in_s,
    raised_term,
    timings_problem,
    window_after_renewal,
)

DEFAULT = Timings(ttl_s=6, renew_s=2, margin_s=1, statement_timeout_s=0.9)


def test_the_default_timings_are_allowed():
    assert timings_problem(DEFAULT) is None


def test_timings_without_room_for_two_renewals_are_refused():
    problem = timings_problem(Timings(ttl_s=6, renew_s=2.1, margin_s=1, statement_timeout_s=0.9))
    assert problem is not None
    assert "5.1 s must be less than" in problem
    assert "= 5 s" in problem


def test_no_manager_believes_without_a_renewal():
    assert not may_act(None, 0)


def before(**changes: Any) -> Predecessor:
    values: dict[str, Any] = {
        "instance_id": "m1",
        "enabled": True,
        "is_same_manager": False,
        "resigned": False,
        "expired": False,
    }
    return Predecessor(**(values | changes))


@pytest.mark.parametrize(
    ("previous", "reason"),
    [
        (None, "the zone had no Primary before"),
        (before(enabled=False, resigned=True), "m1 was disabled"),
        (before(enabled=False, expired=True), "m1 was disabled"),
        (before(resigned=True), "m1 resigned"),
        (before(expired=True), "m1 stopped responding"),
        (before(), "the process of m1, or its connection to the database, ended"),
        (before(is_same_manager=True), "it was the Primary before and returned first"),
        (before(instance_id=None, enabled=False), "the Manager that was the Primary was deleted"),
    ],
)
def test_the_reason_of_an_election(previous: Predecessor | None, reason: str):
    assert election_reason(previous) == reason


@pytest.mark.parametrize(
    ("now_s", "reason"), [(6.9, "the line was cut"), (7.1, "it did not renew its leadership in time")]
)
def test_the_reason_of_a_loss(now_s: float, reason: str):
    assert loss_reason(ActingWindow(term=3, trusted_until_s=7), now_s, "the line was cut") == reason


# Properties -----------------------------------------------------------------------------------------------------------

seconds = st.floats(0, 100, allow_nan=False)


@dataclass(frozen=True)
class Renewal:
    """A renewal in progress, with all times on one clock: sent, executed by the database, answered, and processed."""

    sent_s: float
    on_the_way_s: float
    back_s: float
    later_s: float


short = st.floats(0, 3, allow_nan=False)
renewals = st.builds(Renewal, seconds, short, short, short)


def belief_never_outlasts_the_lease(renew: Callable[..., ActingWindow], case: Renewal) -> None:
    executed_s = case.sent_s + case.on_the_way_s
    lease_ends_s = executed_s + DEFAULT.ttl_s
    now_s = executed_s + case.back_s + case.later_s
    if may_act(renew(case, DEFAULT), now_s):
        assert now_s < lease_ends_s - DEFAULT.margin_s + 1e-9


def from_sending(case: Renewal, timings: Timings) -> ActingWindow:
    return window_after_renewal(1, case.sent_s, timings)


def from_the_answer(case: Renewal, timings: Timings) -> ActingWindow:
    return window_after_renewal(1, case.sent_s + case.on_the_way_s + case.back_s, timings)


def without_margin(case: Renewal, timings: Timings) -> ActingWindow:
    return ActingWindow(term=1, trusted_until_s=case.sent_s + timings.ttl_s)


def test_belief_never_outlasts_the_lease():
    holds(belief_never_outlasts_the_lease, from_sending, renewals)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [from_the_answer, without_margin])
def test_the_property_of_belief_catches_its_mutants(mutant: Callable[..., ActingWindow]):
    catches(belief_never_outlasts_the_lease, mutant, renewals)


timings = st.builds(
    Timings,
    ttl_s=st.floats(0.5, 60),
    renew_s=st.floats(0.1, 20),
    margin_s=st.floats(0.05, 5),
    statement_timeout_s=st.floats(0.1, 5),
)


def an_allowed_rhythm_survives_one_lost_renewal(problem: Callable[[Timings], str | None], case: Timings) -> None:
    """After a renewal at 0 the next one is lost and the one after it takes as long as permitted: belief still lasts."""
    if problem(case) is None:
        assert may_act(window_after_renewal(1, 0, case), 2 * case.renew_s + case.statement_timeout_s)


def ignores_the_timeout(case: Timings) -> str | None:
    return None if 2 * case.renew_s < case.ttl_s - case.margin_s else "no"


def counts_one_renewal(case: Timings) -> str | None:
    return None if case.renew_s + case.statement_timeout_s < case.ttl_s - case.margin_s else "no"


def test_an_allowed_rhythm_survives_one_lost_renewal():
    holds(an_allowed_rhythm_survives_one_lost_renewal, timings_problem, timings)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [ignores_the_timeout, counts_one_renewal])
def test_the_property_of_rhythm_catches_its_mutants(mutant: Callable[[Timings], str | None]):
    catches(an_allowed_rhythm_survives_one_lost_renewal, mutant, timings)


looks = st.tuples(st.floats(-1e6, 1e6) | st.just(float("-inf")) | st.just(float("inf")), st.floats(0, 1))


def looks_in_time(look: Callable[[float, float], float], case: tuple[float, float]) -> None:
    """Never before the end of a valid leadership unless there is another check anyway, never more than the jitter after
    it."""
    remaining_s, jitter = case
    wait_s = look(remaining_s, jitter)
    assert 0 < wait_s <= RECHECK_S + EXPIRY_JITTER_S
    assert wait_s >= min(remaining_s, RECHECK_S)
    assert wait_s <= max(remaining_s, 0) + EXPIRY_JITTER_S + 1e-9


def test_the_lease_is_looked_at_in_time():
    holds(looks_in_time, next_read_in_s, looks)


@pytest.mark.mutant
@pytest.mark.parametrize(
    "mutant",
    [lambda remaining, jitter: RECHECK_S, lambda remaining, jitter: max(0.0, min(remaining / 2, 1))],
    ids=["only the interval", "half the rest"],
)
def test_the_property_of_looking_catches_its_mutants(mutant: Callable[[float, float], float]):
    catches(looks_in_time, mutant, looks)


silences = st.tuples(seconds, seconds, seconds, st.floats(0.1, 60))


def silence_counts_only_after_a_whole_interval(quiet: Callable[..., bool], case: tuple[float, ...]) -> None:
    take, reconnect, server, missing = case
    value = quiet(since_takeover_s=take, since_reconnect_s=reconnect, since_server_start_s=server, missing_s=missing)
    assert value == (take < missing or reconnect < missing or server < missing)


def forgets_the_server(**case: float) -> bool:
    return min(case["since_takeover_s"], case["since_reconnect_s"]) < case["missing_s"]


def needs_all(**case: float) -> bool:
    return max(case["since_takeover_s"], case["since_reconnect_s"], case["since_server_start_s"]) < case["missing_s"]


def test_silence_counts_only_after_a_whole_interval():
    holds(silence_counts_only_after_a_whole_interval, is_quiet, silences)


@pytest.mark.mutant
@pytest.mark.parametrize("mutant", [forgets_the_server, needs_all])
def test_the_property_of_quiet_catches_its_mutants(mutant: Callable[..., bool]):
    catches(silence_counts_only_after_a_whole_interval, mutant, silences)


terms = st.tuples(st.integers(0, 100), st.integers(0, 100))


def terms_only_grow(raised: Callable[[int, int], int | None], case: tuple[int, int]) -> None:
    """With the decided term, no Agent has seen a term that is as high as or higher than a raised one."""
    term, seen = case
    new_term = raised(term, seen)
    assert (new_term is None) == (seen <= term)
    assert new_term is None or new_term > max(term, seen)


def test_a_term_is_raised_above_what_any_agent_has_seen():
    holds(terms_only_grow, raised_term, terms)


@pytest.mark.mutant
def test_the_property_of_terms_catches_its_mutant():
    def takes_over(term: int, seen: int) -> int | None:
        return seen if seen > term else None

    catches(terms_only_grow, takes_over, terms)


rhythms = st.tuples(seconds, seconds)


def renewals_keep_their_rhythm(wait: Callable[..., float], case: tuple[float, float]) -> None:
    sent_s, took_s = case
    wait_s = wait(sent_s, sent_s + took_s, DEFAULT)
    assert wait_s >= 0
    assert wait_s + took_s <= max(DEFAULT.renew_s, took_s) + 1e-6


def test_renewals_keep_their_rhythm_however_long_one_took():
    holds(renewals_keep_their_rhythm, next_renewal_in_s, rhythms)


def test_the_property_of_rhythm_catches_a_pause_after_the_answer():
    def after_the_answer(sent_s: float, now_s: float, timings: Any) -> float:
        return timings.renew_s

    catches(renewals_keep_their_rhythm, after_the_answer, rhythms)


def test_a_belief_is_of_one_term_and_over_at_its_last_moment():
    window = window_after_renewal(7, 100.0, DEFAULT)
    assert window.term == 7
    assert may_act(window, window.trusted_until_s - 0.001)
    assert not may_act(window, window.trusted_until_s)
    assert not may_act(None, 0.0)
