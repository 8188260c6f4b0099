"""Only one controller at a time: requests may arrive in any order, terms only grow, and the page accepts one sender."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.errors import Held
from greenroom.core.lease import (
    CONTROL_CHANGED,
    USER,
    Control,
    Person,
    current_control,
    expire_control,
    person_has_control_text,
    return_control,
    take_control,
    withdraw_control,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AWAY_S = 30.0
ADA = Person(viewer=USER, name="ada", owns=True)
INES = Person(viewer="v1", name="Ines", owns=False)
OTTO = Person(viewer="v2", name="Otto", owns=False)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_the_program_has_control_until_a_person_takes_it_for_a_time():
    first = Control()
    assert (first.holder, first.term) == ("program", 0)
    theirs = take_control(first, NOW, INES, AWAY_S)
    assert (theirs.holder, theirs.term, theirs.viewer, theirs.until) == ("person", 1, "v1", after(AWAY_S))
    assert current_control(theirs, after(AWAY_S - 1)) == theirs
    assert current_control(theirs, after(AWAY_S)) == Control(term=1)


def test_a_persons_time_that_is_over_is_written_down_once_as_a_term_of_the_program():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    assert expire_control(theirs, after(AWAY_S - 1)) == theirs
    ended = expire_control(theirs, after(AWAY_S))
    assert ended == Control(term=2)
    assert expire_control(ended, after(AWAY_S)) == ended


def test_who_may_not_control_it_any_more_loses_that_term_alone():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    assert withdraw_control(theirs, 1) == Control(term=2)
    assert withdraw_control(theirs, 0) == theirs
    assert withdraw_control(Control(term=1), 1) == Control(term=1)


def test_who_has_control_renews_it_and_keeps_the_term():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    assert take_control(theirs, after(10), INES, AWAY_S, term=1) == Control(
        term=1, viewer="v1", name="Ines", until=after(10 + AWAY_S)
    )
    assert take_control(theirs, after(10), INES, AWAY_S).term == 1


def test_a_renewal_takes_nothing_back_that_was_lost():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    for now, at in ((theirs, after(AWAY_S)), (take_control(theirs, NOW, ADA, AWAY_S), NOW)):
        with pytest.raises(Held, match=CONTROL_CHANGED):
            take_control(now, at, INES, AWAY_S, term=1)
    assert take_control(theirs, after(AWAY_S), INES, AWAY_S).term == 2


def test_of_two_people_the_first_has_it_and_the_user_may_take_it_back():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    with pytest.raises(Held, match="Ines has control of this desktop; ask them to hand it back"):
        take_control(theirs, NOW, OTTO, AWAY_S)
    with pytest.raises(
        Held, match="Ines has control of this desktop; only this person or the user of the session can return it"
    ):
        return_control(theirs, NOW, OTTO)
    assert take_control(theirs, NOW, ADA, AWAY_S).viewer == USER
    assert return_control(theirs, NOW, ADA) == Control(term=2)
    assert take_control(theirs, after(AWAY_S), OTTO, AWAY_S).viewer == "v2"


def test_handing_back_twice_is_a_success_and_a_late_one_takes_nothing_from_the_next():
    theirs = take_control(Control(), NOW, INES, AWAY_S)
    back = return_control(theirs, NOW, INES, term=1)
    assert back == Control(term=2)
    assert return_control(back, NOW, INES, term=1) == back
    again = take_control(back, NOW, INES, AWAY_S)
    with pytest.raises(Held, match=CONTROL_CHANGED):
        return_control(again, NOW, INES, term=1)


def test_a_program_reads_who_has_it():
    assert person_has_control_text("Ines") == (
        "Ines has control of this desktop: wait until they hand it back, and look at the screen again then."
    )


steps = st.lists(
    st.tuples(
        st.sampled_from([ADA, INES, OTTO]),
        st.sampled_from(["take", "back"]),
        st.none() | st.integers(0, 6),
        st.floats(0, 40),
        st.integers(0, 3),
    ),
    max_size=25,
)


class Fence:
    """The page's handling of orders: it ignores those of an earlier term, and ends control after their duration."""

    def __init__(self) -> None:
        self.now = Control()

    def order(self, new: Control, at: datetime, late_s: float) -> None:
        if new.term >= self.now.term:
            until = None if new.until is None else new.until + timedelta(seconds=late_s)
            self.now = Control(term=new.term, viewer=new.viewer, name=new.name, until=until)


def one_at_a_time(take: Callable[..., Control], said: list[tuple[Person, str, int | None, float, int]]) -> None:
    """Orders reach the page in any order; it never accepts two senders at a time, and terms are never reused."""
    row, at, page, under_way = Control(), NOW, Fence(), list[Control]()
    holders: dict[int, str] = {0: ""}
    for person, what, term, wait_s, delivered in said:
        at += timedelta(seconds=wait_s)
        before = current_control(row, at)
        try:
            row = take(row, at, person, AWAY_S, term) if what == "take" else return_control(row, at, person, term)
        except Held:
            assert before.viewer not in ("", person.viewer) or term is not None, "what is free may be had"
            continue
        assert row.term >= before.term
        assert holders.setdefault(row.term, row.viewer) == row.viewer, "a term is of one alone"
        if before.viewer not in ("", person.viewer):
            assert person.owns or row == before, "no guest takes it from another"
        under_way.append(row)
        for _ in range(min(delivered, len(under_way))):
            seen = page.now.term
            page.order(under_way.pop(delivered % len(under_way)), at, 0.1)
            assert page.now.term >= seen
    for order in [*under_way, row]:
        page.order(order, at, 0.1)
    assert page.now.term == row.term
    assert page.now.viewer == row.viewer


def test_one_controls_at_a_time():
    holds(one_at_a_time, take_control, steps)


def ignores_others(now: Control, at: datetime, person: Person, away_s: float, term: int | None = None) -> Control:
    return take_control(current_control(now, at) if person.owns else Control(term=now.term), at, person, away_s)


def keeps_the_term(now: Control, at: datetime, person: Person, away_s: float, term: int | None = None) -> Control:
    new = take_control(now, at, person, away_s, term)
    return Control(term=now.term, viewer=new.viewer, name=new.name, until=new.until)


@pytest.mark.parametrize("mutant", [ignores_others, keeps_the_term])
def test_a_wrong_way_to_take_control_is_caught(mutant: Callable[..., Any]):
    catches(one_at_a_time, mutant, steps)
