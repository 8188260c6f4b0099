"""Desired lists that arrive late, twice or out of order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.session.reconcile import difference, is_applicable, merge, updated_list

IDS = ["s1", "s2", "s3"]


@dataclass(frozen=True)
class Entry:
    session_id: str
    generation: int


Merge = Callable[..., tuple[dict[str, Entry], dict[str, int]]]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[dict[str, int]], list[int]]:
    """The successive lists of a Manager, and an order in which they arrive; the newest arrives last."""
    lists: list[dict[str, int]] = [{}]
    generation = dict.fromkeys(IDS, 0)
    for _ in range(draw(st.integers(1, 5))):
        now = dict(lists[-1])
        for session_id in draw(st.sets(st.sampled_from(IDS), min_size=1)):
            if session_id in now and draw(st.booleans()):
                del now[session_id]
                generation[session_id] += 100
            elif generation[session_id] < 100:
                generation[session_id] += 1
                now[session_id] = generation[session_id]
        lists.append(now)
    order = draw(st.lists(st.integers(0, len(lists) - 1), max_size=8))
    return lists, [*order, len(lists) - 1]


def _deliver(merging: Merge, lists: list[dict[str, int]], order: list[int]) -> dict[str, Entry]:
    held: dict[str, Entry] = {}
    marks: dict[str, int] = {}
    highest = dict.fromkeys(IDS, 0)
    for index in order:
        held, marks = merging(held, [Entry(s, g) for s, g in lists[index].items()], marks)
        for session_id, entry in held.items():
            assert entry.generation >= highest[session_id], "a generation went back"
            highest[session_id] = entry.generation
    return held


@for_all(deliveries(), subject=merge, mutants=[lambda held, news, _marks: merge(held, news, {})])
def test_late_and_repeated_lists_end_in_the_newest_generation(
    subject: Any, delivery: tuple[list[dict[str, int]], list[int]]
):
    lists, order = delivery
    held = _deliver(subject, lists, order)
    assert {entry.session_id: entry.generation for entry in held.values()} == lists[-1]


def test_a_session_that_left_does_not_come_back_with_a_late_list():
    held, marks = merge({}, [Entry("s1", 5)], {})
    held, marks = merge(held, [], marks)
    held, marks = merge(held, [Entry("s1", 4)], marks)
    assert held == {}


def test_what_did_not_change_stays_the_same_entry():
    held, marks = merge({}, [Entry("s1", 5), Entry("s2", 1)], {})
    assert marks == {"s1": 5, "s2": 1}
    after, marks = merge(held, [Entry("s1", 5), Entry("s2", 2)], marks)
    assert after["s1"] is held["s1"]
    assert (after["s2"], marks) == (Entry("s2", 2), {"s1": 5, "s2": 2})
    late, marks = merge(after, [Entry("s2", 1)], marks)
    assert (late, marks) == ({"s2": Entry("s2", 2)}, {"s1": 5, "s2": 2}), "the one held stays"


@pytest.mark.parametrize(
    ("term", "seen_term", "fresh", "expected"),
    [(3, 3, True, True), (4, 3, True, True), (2, 3, True, False), (3, 3, False, False)],
)
def test_a_lower_term_and_an_old_reading_are_no_news(term: int, seen_term: int, fresh: bool, expected: bool):
    assert is_applicable(term, seen_term, fresh) is expected


@for_all(
    deliveries(),
    subject=difference,
    mutants=[
        lambda before, now: replace(difference(before, now), left=frozenset()),
        lambda before, now: replace(difference(before, now), changed=now.keys() - before.keys()),
    ],
)
def test_what_changed_makes_of_a_list_what_the_whole_one_makes(
    subject: Any, delivery: tuple[list[dict[str, int]], list[int]]
):
    held, marks = dict[str, Entry](), dict[str, int]()
    for before, now in pairwise(delivery[0]):
        delta = subject(before, now)
        whole = merge(held, [Entry(s, g) for s, g in now.items()], marks)
        kept = {s: entry for s, entry in held.items() if s not in delta.left}
        held, marks = merge(held, [Entry(s, now[s]) for s in delta.changed], marks, kept=kept)
        assert (held, marks) == whole
        assert not delta.left & now.keys()
        assert all(now[s] == before[s] for s in now.keys() - delta.changed)


@for_all(
    deliveries(),
    st.sets(st.sampled_from(IDS)),
    subject=updated_list,
    mutants=[
        lambda known, _read, found: {**known, **found},  # keeps sessions that left
        lambda known, read, found: {**{k: g for k, g in known.items() if k not in read}, **found},  # always differs
    ],
)
def test_reading_the_named_sessions_makes_of_a_list_what_the_whole_one_makes(
    subject: Any, delivery: tuple[list[dict[str, int]], list[int]], more: set[str]
):
    """A changed session is named; others may be named."""
    lists, _ = delivery
    known: Mapping[str, int] = lists[0]
    for before, now in pairwise(lists):
        read = {s for s in IDS if before.get(s) != now.get(s)} | more
        after = subject(known, read, {s: g for s, g in now.items() if s in read})
        assert after == now
        assert after is known or before != now, "a list that did not change is another object"
        known = after
