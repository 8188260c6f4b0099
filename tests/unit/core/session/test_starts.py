"""The starts that begin on a host, and the number of start slots."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import Property, catches, for_all, holds

from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.core.session.starts import (
    AFTER_HANDOVER_S,
    FOR_HANDOVERS_S,
    Load,
    Start,
    Urgency,
    begins_after_s,
    default_start_slots,
    load_of,
    load_of_other_machines,
    next_start_slots,
    next_starts,
)

USER, REFILL = Urgency.USER, Urgency.REFILL
Case = tuple[list[Start], list[Start], int]
Chooser = Callable[[Collection[Start], Collection[Start], int], list[Start]]


def users(*numbers: int) -> list[Start]:
    return [Start(USER, 0, number) for number in numbers]


def refills(*numbers: int) -> list[Start]:
    return [Start(REFILL, 0, number) for number in numbers]


@pytest.mark.parametrize(
    ("waiting", "begun", "width", "starting"),
    [
        (refills(1, 2, 3, 4), [], 3, refills(1, 2, 3)),
        (refills(1) + users(2, 3), refills(4, 5, 6), 2, users(2, 3)),
        (refills(1, 2), users(3), 3, refills(1)),
        (refills(1, 2, 3, 4), users(5), 7, refills(1, 2, 3)),
        (refills(2), users(3) + refills(1), 3, []),
        ([Start(REFILL, 3, 1), Start(REFILL, 0, 9)], refills(2, 3), 3, [Start(REFILL, 0, 9)]),
        (users(5, 6) + refills(4), users(1, 2), 3, users(5)),
    ],
    ids=[
        "refills alone have all start slots",
        "users do not wait for refills that began",
        "one refill beside a user",
        "and half of what users leave",
        "but no more",
        "a workspace without a start slot is next",
        "users wait for users, and refills for all of them",
    ],
)
def test_who_begins(waiting: list[Start], begun: list[Start], width: int, starting: list[Start]):
    assert next_starts(waiting, begun, width) == starting


# Properties -------------------------------------------------------------------------------------------------------


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    turns = draw(
        st.lists(
            st.builds(Start, st.sampled_from([USER, REFILL]), st.integers(0, 3), st.integers(0, 30)),
            max_size=14,
            unique_by=lambda turn: turn.number,
        )
    )
    begun = draw(st.sets(st.sampled_from(turns))) if turns else set[Start]()
    return [turn for turn in turns if turn not in begun], sorted(begun), draw(st.integers(1, 6))


CASES = _cases()


def _of(urgency: Urgency, turns: Collection[Start]) -> int:
    return sum(turn.urgency is urgency for turn in turns)


def _in_order(chooser: Chooser, case: Case) -> None:
    waiting, begun, width = case
    starting = chooser(waiting, begun, width)
    left = [turn for turn in waiting if turn not in starting]
    for urgency in (USER, REFILL):
        first = [(turn.workspace_slots, turn.number) for turn in starting if turn.urgency is urgency]
        then = [(turn.workspace_slots, turn.number) for turn in left if turn.urgency is urgency]
        assert not first or not then or max(first) < min(then), "one that waited longer, or has none, was passed over"


def _users_take_no_notice_of_refills(chooser: Chooser, case: Case) -> None:
    waiting, begun, width = case
    starting = chooser(waiting, begun, width)
    assert _of(USER, starting) == min(_of(USER, waiting), max(0, width - _of(USER, begun)))


def _refills_wait_while_a_user_does(chooser: Chooser, case: Case) -> None:
    waiting, begun, width = case
    starting = chooser(waiting, begun, width)
    unpainted = _of(USER, begun) + _of(USER, starting)
    most = max(1, (width - unpainted) // 2) if unpainted else width
    if _of(USER, starting) < _of(USER, waiting):
        most = 0
    assert _of(REFILL, starting) == min(_of(REFILL, waiting), max(0, most - _of(REFILL, begun)))


def _first_come(waiting: Collection[Start], begun: Collection[Start], width: int) -> list[Start]:
    return sorted(waiting, key=lambda turn: turn.number)[: max(0, width - len(begun))]


def _latest_first(waiting: Collection[Start], begun: Collection[Start], width: int) -> list[Start]:
    count = {urgency: _of(urgency, next_starts(waiting, begun, width)) for urgency in (USER, REFILL)}
    latest = sorted(waiting, key=lambda turn: -turn.number)
    return [t for u in count for t in [turn for turn in latest if turn.urgency is u][: count[u]]]


def _all_refills(waiting: Collection[Start], begun: Collection[Start], width: int) -> list[Start]:
    starting = next_starts(waiting, begun, width)
    return starting + [turn for turn in waiting if turn not in starting and turn.urgency is REFILL]


@pytest.mark.parametrize("check", [_in_order, _users_take_no_notice_of_refills, _refills_wait_while_a_user_does])
def test_starts_keep_the_rules(check: Property):
    holds(check, next_starts, CASES)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutant"),
    [
        (_in_order, _latest_first),
        (_users_take_no_notice_of_refills, _first_come),
        (_refills_wait_while_a_user_does, _all_refills),
    ],
)
def test_the_properties_catch_their_mutants(check: Property, mutant: Chooser):
    catches(check, mutant, CASES)


# After a hand-over ------------------------------------------------------------------------------------------------


@for_all(
    waits_since_s=st.floats(0, 1e6),
    handover_s=st.floats(0, 1e6),
    subject=begins_after_s,
    mutants=[
        lambda waits_since_s, handover_s: max(waits_since_s, handover_s + AFTER_HANDOVER_S),
        lambda waits_since_s, handover_s: waits_since_s,
    ],
)
def test_a_start_of_a_pool_begins_after_a_hand_over_but_is_not_put_off_for_long(
    subject: Any, waits_since_s: float, handover_s: float
):
    begins_s = subject(waits_since_s, handover_s)
    assert waits_since_s <= begins_s <= waits_since_s + FOR_HANDOVERS_S
    assert begins_s >= min(handover_s + AFTER_HANDOVER_S, waits_since_s + FOR_HANDOVERS_S)
    assert begins_s == waits_since_s or begins_s <= handover_s + AFTER_HANDOVER_S, "it does not wait for nothing"


# Width ------------------------------------------------------------------------------------------------------------

CROWDED = Lateness(queue=6.0)


@pytest.mark.parametrize(
    ("width", "host", "short", "then"),
    [
        (3, Lateness(queue=0.5), True, 4),
        (8, Lateness(queue=0.5), True, 8),
        (3, Lateness(queue=0.5), False, 3),
        (3, Lateness(queue=1.5), True, 3),
        (3, CROWDED, True, 2),
        (2, CROWDED, True, 2),
        (3, Lateness(queue=6.0, waiting=0.1), True, 3),
        (5, ON_TIME, False, 4),
        (2, ON_TIME, False, 3),
    ],
    ids=[
        "cores are idle",
        "even then four for each",
        "nothing waits",
        "the cores are used",
        "a crowd",
        "half of the usual are left",
        "a long queue in which nothing waits",
        "back to the usual",
        "from below",
    ],
)
def test_the_number_of_places_on_two_cores(width: int, host: Lateness, short: bool, then: int):
    assert next_start_slots(width, 2.0, load_of(host), starts_wait=short) == then


def test_of_other_machines_only_what_starts_there_says_how_full_they_are():
    assert load_of_other_machines(0) is Load.IDLE, "more may start while some wait"
    assert load_of_other_machines(1) is Load.CROWDED, "one had no first frame in its time"


@for_all(
    cores=st.floats(0, 64),
    queue=st.floats(0, 100),
    waiting=st.floats(0, 1),
    short=st.booleans(),
    subject=next_start_slots,
    mutants=[
        lambda width, cores, load, *, starts_wait: width - 1,
        lambda width, cores, load, *, starts_wait: width + 1,
    ],
)
def test_there_is_always_a_place_and_their_number_changes_by_one(
    subject: Any, cores: float, queue: float, waiting: float, short: bool
):
    host, width = Lateness(queue=queue, waiting=waiting), default_start_slots(cores)
    for _ in range(50):
        before, width = width, subject(width, cores, load_of(host), starts_wait=short)
        assert abs(width - before) <= 1
        assert max(1, default_start_slots(cores) / 2) <= width <= max(default_start_slots(cores), 4 * max(1, cores) + 1)
