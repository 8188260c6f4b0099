"""Users first: the order in which an Agent changes containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import strategies as st
from tests.unit.properties import Property, catches, holds

from greenroom.core.session.reconcile import ActionKind
from greenroom.core.session.starts import SlotCount, Turn, Urgency, next_turns, urgency_of

PERSON, ROOM, REFILL = Urgency.PERSON, Urgency.ROOM, Urgency.REFILL


@pytest.mark.parametrize(
    ("kind", "has_user", "urgency"),
    [
        (ActionKind.CREATE, True, PERSON),
        (ActionKind.START, True, PERSON),
        (ActionKind.UNPAUSE, True, PERSON),
        (ActionKind.STOP, True, ROOM),
        (ActionKind.REMOVE, False, ROOM),
        (ActionKind.EXAMINE, False, ROOM),
        (ActionKind.CREATE, False, REFILL),
        (ActionKind.START, False, REFILL),
    ],
)
def test_a_start_is_urgent_where_a_user_waits_for_it(kind: ActionKind, has_user: bool, urgency: Urgency):
    assert urgency_of(kind, has_user=has_user) is urgency


# Which turns begin, as properties ---------------------------------------------------------------------------------

Case = tuple[list[Turn], int, SlotCount]
Chooser = Callable[[Iterable[Turn], int, SlotCount], list[Turn]]
CASES: st.SearchStrategy[Case] = st.tuples(
    st.lists(st.builds(Turn, st.sampled_from(Urgency), st.integers(0, 30)), max_size=12, unique_by=lambda t: t.number),
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
        assert place <= slots.ordinary + (slots.for_people if turn.urgency is PERSON else 0)


def _nothing_free_while_a_turn_waits(chooser: Chooser, case: Case) -> None:
    waiting, in_use, slots = case
    begun = chooser(waiting, in_use, slots)
    used = in_use + len(begun)
    left = {turn.urgency for turn in waiting if turn not in begun}
    assert not left or used >= slots.ordinary
    assert PERSON not in left or used >= slots.ordinary + slots.for_people


def _first_come(waiting: Iterable[Turn], in_use: int, slots: SlotCount) -> list[Turn]:
    return sorted(waiting, key=lambda turn: turn.number)[: max(0, slots.ordinary - in_use)]


def _people_have_no_more(waiting: Iterable[Turn], in_use: int, slots: SlotCount) -> list[Turn]:
    return next_turns(waiting, in_use, SlotCount(slots.ordinary))


def _everybody_has_more(waiting: Iterable[Turn], in_use: int, slots: SlotCount) -> list[Turn]:
    return next_turns(waiting, in_use, SlotCount(slots.ordinary + slots.for_people))


@pytest.mark.parametrize("check", [_fair, _within_the_slots, _nothing_free_while_a_turn_waits])
def test_turns_are_fair_within_the_slots_and_leave_none_free(check: Property):
    holds(check, next_turns, CASES)


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
