"""A reference to an element may replace a coordinate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.actions.dialects import PlaceOrReason, parse, refs_of, replace_references
from greenroom.core.errors import Invalid

PLACES: dict[str, PlaceOrReason] = {"1.2-3": (7, 8), "1.2-4": "Element 1.2-4 no longer exists; read the tree again."}
GONE = "actions[1].ref: Element 1.2-4 no longer exists; read the tree again."


def test_each_element_whose_place_is_needed_is_asked_for_once():
    items: list[object] = [
        {"action": "left_click", "ref": "1.2-3"},
        {"action": "type", "text": "x", "ref": "1.2-3"},
        {"type": "click", "ref": "1.2-4"},
        {"action": "focus", "ref": "1.2-5"},
        {"action": "left_click", "coordinate": [1, 2]},
        {"action": "left_click", "ref": 7},
        "no action",
    ]
    assert refs_of(items) == ["1.2-3", "1.2-4"]


@pytest.mark.parametrize(
    ("item", "same"),
    [
        ({"action": "left_click", "text": "ctrl"}, {"action": "left_click", "text": "ctrl", "coordinate": [7, 8]}),
        ({"action": "type", "text": "x"}, {"action": "type", "text": "x", "coordinate": [7, 8]}),
        ({"action": "left_click", "coordinate": None}, {"action": "left_click", "coordinate": [7, 8]}),
        ({"type": "double_click", "keys": ["CTRL"]}, {"type": "double_click", "keys": ["CTRL"], "x": 7, "y": 8}),
    ],
)
def test_the_place_of_an_element_is_where_the_action_is_done(item: dict[str, Any], same: dict[str, Any]):
    assert replace_references([item | {"ref": "1.2-3"}], PLACES) == [same]
    assert parse([same])


@pytest.mark.parametrize("item", [{"action": "focus", "ref": "1.2-3"}, {"action": "wait", "duration": 1}, 7])
def test_all_else_stays_as_it_is(item: object):
    assert replace_references([item], PLACES) == [item]


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"action": "left_click", "ref": "1.2-4"}, GONE),
        ({"action": "left_click", "ref": "1.2-5"}, "actions[1].ref: this is not a reference of an element."),
        ({"action": "left_click", "ref": 7}, "actions[1].ref: this is not a reference of an element."),
        ({"action": "left_click", "ref": "1.2-3", "coordinate": [1, 2]}, "an element or a coordinate, not both."),
        ({"type": "click", "ref": "1.2-3", "y": 1}, "an element or a coordinate, not both."),
        ({"action": "key", "text": "a", "ref": "1.2-3"}, "actions[1].ref: only type, mouse_move, left_click, "),
        ({"type": "keypress", "keys": ["a"], "ref": "1.2-3"}, "actions[1].ref: only click, double_click, "),
        ({"ref": "1.2-3"}, "actions[1].ref: only click, "),
    ],
)
def test_an_element_that_cannot_be_used_is_one_sentence(item: dict[str, Any], sentence: str):
    with pytest.raises(Invalid) as refused:
        replace_references([{"action": "screenshot"}, item], PLACES)
    assert sentence in refused.value.message


ITEMS = st.lists(
    st.sampled_from(["left_click", "right_click", "mouse_move"]).flatmap(
        lambda verb: st.one_of(
            st.sampled_from(["1.2-3", "1.2-6"]).map(lambda ref: {"action": verb, "ref": ref}),
            st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda at: {"action": verb, "coordinate": list(at)}),
        )
    ),
    max_size=8,
)
KNOWN: dict[str, PlaceOrReason] = {"1.2-3": (7, 8), "1.2-6": (0, 0)}


def _is_at_its_element(subject: Callable[..., list[Any]], items: list[dict[str, Any]]) -> None:
    found = subject(items, {ref: KNOWN[ref] for ref in refs_of(items)})
    assert len(parse(found)) == len(items)
    for item, each in zip(items, found, strict=True):
        at = KNOWN[item["ref"]] if "ref" in item else tuple(item["coordinate"])
        assert each == {"action": item["action"], "coordinate": list(at)}


def test_every_action_is_done_at_its_own_element():
    holds(_is_at_its_element, replace_references, ITEMS)


def test_the_property_catches_a_place_that_is_used_for_all_that_follow():
    def mutant(items: list[dict[str, Any]], places: dict[str, PlaceOrReason]) -> list[object]:
        first = next(iter(places.values()), (1, 1))
        return replace_references(items, dict.fromkeys(places, first))

    catches(_is_at_its_element, mutant, ITEMS)
