"""Users first: the order in which an Agent changes containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import strategies as st
from tests.unit.properties import Property, catches, holds

from greenroom.core.session.reconcile import ActionKind
from greenroom.core.session.starts import SlotCount, Urgency, WaitingChange, changes_to_begin, urgency_of

USER, FREES_ROOM, REFILL = Urgency.USER, Urgency.FREES_ROOM, Urgency.REFILL


@pytest.mark.parametrize(
    ("kind", "has_user", "urgency"),
    [
        (ActionKind.CREATE, True, USER),
        (ActionKind.START, True, USER),
        (ActionKind.UNPAUSE, True, USER),
        (ActionKind.STOP, True, FREES_ROOM),
        (ActionKind.REMOVE, False, FREES_ROOM),
        (ActionKind.EXAMINE, False, FREES_ROOM),
        (ActionKind.CREATE, False, REFILL),
        (ActionKind.START, False, REFILL),
    ],
)
def test_a_start_is_urgent_where_a_user_waits_for_it(kind: ActionKind, has_user: bool, urgency: Urgency):
    assert urgency_of(kind, has_user=has_user) is urgency


# Which turns begin, as properties ---------------------------------------------------------------------------------

Case = tuple[list[WaitingChange], int, SlotCount]
Chooser = Callable[[Iterable[WaitingChange], int, SlotCount], list[WaitingChange]]
CASES: st.SearchStrategy[Case] = st.tuples(
    st.lists(
        st.builds(WaitingChange, st.sampled_from(Urgency), st.integers(0, 30)),
        max_size=12,
        unique_by=lambda t: t.number,
    ),
    st.integers(0, 10),
    st.builds(SlotCount, st.integers(1, 6), st.integers(0, 3)),
)


def _fair(chooser: Chooser, case: Case) -> None:
    waiting, in_use, slots = case
    begun = chooser(waiting, in_use, slots)
    left = [turn for turn in waiting if turn not in begun]
    assert all(turn in waiting for turn in begun)
    for turn in begun:
        sooner = [other for other in left if (other.urgency, other.number) < (turn.urgency, turn.number)]
        assert not sooner, "a turn more urgent, or as urgent and here for longer, was passed over"


def _within_the_slots(chooser: Chooser, case: Case) -> None:
    waiting, in_use, slots = case
    begun = chooser(waiting, in_use, slots)
    for place, turn in enumerate(begun, start=in_use + 1):
        assert place <= slots.ordinary + (slots.for_users if turn.urgency is USER else 0)


def _nothing_free_while_a_turn_waits(chooser: Chooser, case: Case) -> None:
    waiting, in_use, slots = case
    begun = chooser(waiting, in_use, slots)
    used = in_use + len(begun)
    left = {turn.urgency for turn in waiting if turn not in begun}
    assert not left or used >= slots.ordinary
    assert USER not in left or used >= slots.ordinary + slots.for_users


def _first_come(waiting: Iterable[WaitingChange], in_use: int, slots: SlotCount) -> list[WaitingChange]:
    return sorted(waiting, key=lambda turn: turn.number)[: max(0, slots.ordinary - in_use)]


def _people_have_no_more(waiting: Iterable[WaitingChange], in_use: int, slots: SlotCount) -> list[WaitingChange]:
    return changes_to_begin(waiting, in_use, SlotCount(slots.ordinary))


def _everybody_has_more(waiting: Iterable[WaitingChange], in_use: int, slots: SlotCount) -> list[WaitingChange]:
    return changes_to_begin(waiting, in_use, SlotCount(slots.ordinary + slots.for_users))


@pytest.mark.parametrize("check", [_fair, _within_the_slots, _nothing_free_while_a_turn_waits])
def test_turns_are_fair_within_the_slots_and_leave_none_free(check: Property):
    holds(check, changes_to_begin, CASES)


@pytest.mark.mutant
@pytest.mark.parametrize(
    ("check", "mutant"),
    [
        (_fair, _first_come),
        (_within_the_slots, _everybody_has_more),
        (_nothing_free_while_a_turn_waits, _people_have_no_more),
    ],
)
def test_the_properties_catch_their_mutants(check: Property, mutant: Chooser):
    catches(check, mutant, CASES)
