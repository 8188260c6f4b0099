"""The conversion of clients' requests to actions, or to an error message."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.actions import actions as a
from greenroom.core.actions import computer, dialects
from greenroom.core.actions.actions import Action, Button, Point
from greenroom.core.actions.dialects import ACTION_NAMES, parse
from greenroom.core.actions.plan import Size, plan
from greenroom.core.errors import Invalid

CTRL, SHIFT, S = 0xFFE3, 0xFFE1, ord("s")
AT = Point(3, 4, "coordinate")
XY = Point(3, 4, "x, y")

MEANINGS: list[tuple[dict[str, Any], Action]] = [
    ({"action": "key", "text": "ctrl+s"}, a.Press(((CTRL, S),))),
    ({"action": "key", "text": "Tab Return"}, a.Press(((0xFF09,), (0xFF0D,)))),
    ({"action": "hold_key", "text": "shift", "duration": 1.5}, a.Press(((SHIFT,),), 1.5)),
    ({"action": "type", "text": "Grüße"}, a.Write("Grüße")),
    ({"action": "type", "text": "x", "coordinate": [3, 4]}, a.Write("x", AT)),
    ({"action": "focus", "ref": "1.2-3"}, a.FocusElement("1.2-3")),
    ({"action": "mouse_move", "coordinate": [3, 4]}, a.Move(AT)),
    ({"action": "left_click"}, a.Click(Button.LEFT)),
    ({"action": "left_click", "coordinate": [3, 4], "text": "ctrl"}, a.Click(Button.LEFT, AT, 1, (CTRL,))),
    ({"action": "left_click", "coordinate": [3, 4], "text": None}, a.Click(Button.LEFT, AT)),
    ({"action": "right_click", "coordinate": [3, 4]}, a.Click(Button.RIGHT, AT)),
    ({"action": "middle_click", "coordinate": [3, 4]}, a.Click(Button.MIDDLE, AT)),
    ({"action": "double_click", "coordinate": [3, 4]}, a.Click(Button.LEFT, AT, 2)),
    ({"action": "triple_click", "coordinate": [3, 4]}, a.Click(Button.LEFT, AT, 3)),
    (
        {"action": "left_click_drag", "start_coordinate": [1, 2], "coordinate": [3, 4]},
        a.Drag((Point(1, 2, "start_coordinate"), AT)),
    ),
    ({"action": "left_click_drag", "coordinate": [3, 4]}, a.Drag((AT,))),
    ({"action": "left_mouse_down"}, a.LeftButton(True)),
    ({"action": "left_mouse_up", "coordinate": [3, 4]}, a.LeftButton(False, AT)),
    ({"action": "left_mouse_down", "coordinate": [3, 4]}, a.LeftButton(True, AT)),
    ({"action": "left_mouse_up"}, a.LeftButton(False)),
    ({"action": "scroll", "coordinate": [3, 4], "scroll_direction": "up", "scroll_amount": 5}, a.Scroll(0, -5, AT)),
    (
        {"action": "scroll", "scroll_direction": "right", "scroll_amount": 2, "text": "shift"},
        a.Scroll(2, 0, None, (SHIFT,)),
    ),
    ({"action": "wait", "duration": 2}, a.WaitStep(2)),
    ({"action": "screenshot"}, a.TakeScreenshot()),
    ({"action": "cursor_position"}, a.CursorPosition()),
    ({"action": "zoom", "region": [1, 2, 3, 4]}, a.TakeScreenshot((Point(1, 2, "region"), Point(3, 4, "region")))),
    ({"action": "set_clipboard", "text": "x"}, a.Clipboard("x")),
    ({"action": "get_clipboard"}, a.ReadClipboard()),
    ({"action": "open_address", "url": "https://a.example/?q=1"}, a.OpenAddress("https://a.example/?q=1")),
    ({"type": "click", "button": "right", "x": 3, "y": 4}, a.Click(Button.RIGHT, XY)),
    ({"type": "click", "button": "back", "x": 3, "y": 4}, a.Press(((0x1008FF26,),))),
    ({"type": "double_click", "x": 3, "y": 4, "keys": ["SHIFT"]}, a.Click(Button.LEFT, XY, 2, (SHIFT,))),
    ({"type": "move", "x": 3, "y": 4}, a.Move(XY)),
    ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": 250}, a.Scroll(0, 3, XY)),
    ({"type": "scroll", "x": 3, "y": 4, "scroll_x": -1, "scroll_y": 0}, a.Scroll(-1, 0, XY)),
    ({"type": "scroll", "x": 3, "y": 4, "scrollX": 0, "scrollY": -120}, a.Scroll(0, -2, XY)),
    (
        {"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]},
        a.Drag((Point(1, 2, "path[0]"), Point(3, 4, "path[1]"))),
    ),
    (
        {"type": "drag", "path": [{"x": 1.0, "y": 2}, [3, 4.0]]},
        a.Drag((Point(1, 2, "path[0]"), Point(3, 4, "path[1]"))),
    ),
    ({"action": "mouse_move", "coordinate": [3.0, 4.0]}, a.Move(Point(3, 4, "coordinate"))),
    ({"type": "move", "x": 3.0, "y": 4}, a.Move(XY)),
    ({"type": "drag", "path": [[1, 2], [3, 4]]}, a.Drag((Point(1, 2, "path[0]"), Point(3, 4, "path[1]")))),
    ({"type": "keypress", "keys": ["CTRL", "s"]}, a.Press(((CTRL, S),))),
    ({"type": "type", "text": "x"}, a.Write("x")),
    ({"type": "wait"}, a.WaitStep(2)),
    ({"type": "screenshot"}, a.TakeScreenshot()),
    ({"type": "goto", "url": "http://a.example"}, a.OpenAddress("http://a.example")),
    ({"type": "navigate", "url": "http://a.example"}, a.OpenAddress("http://a.example")),
    ({"type": "keypress", "keys": ["CTRL", "S"]}, a.Press(((CTRL, S),))),
    ({"type": "keypress", "keys": ["S"]}, a.Press(((ord("S"),),))),
    ({"type": "press", "key": "Enter"}, a.Press(((0xFF0D,),))),
]


@pytest.mark.parametrize(("item", "to_action"), MEANINGS, ids=lambda value: str(value)[:60])
def test_an_item_means_an_action(item: dict[str, Any], to_action: Action) -> None:
    assert parse([item]) == [to_action]


def test_every_verb_has_an_example() -> None:
    shown = {(field, item[field]) for item, _ in MEANINGS for field in item if field in ACTION_NAMES}
    assert shown == {(field, verb) for field, verbs in ACTION_NAMES.items() for verb in verbs}


REFUSED: list[tuple[object, str]] = [
    (7, "actions[1]: this is not an action"),
    ({}, "actions[1]: `action` is missing; it is one of key"),
    ({"action": ["x"]}, "actions[1]: `action` is missing"),
    ({"action": "left_klick"}, "actions[1].action: there is no action 'left_klick'; did you mean left_click"),
    ({"type": "qqq"}, "actions[1].type: there is no action 'qqq'; it is one of click, "),
    ({"action": "left_click", "coordinate": [1, "2"]}, "actions[1].coordinate[1]: expected `int`, got `str`."),
    ({"action": "left_click", "coordinate": [1, 2.5]}, "actions[1].coordinate[1]: expected `int`, got `float`."),
    ({"action": "left_click", "coordinate": [1, 1e300]}, "actions[1].coordinate"),
    ({"action": "left_click", "x": 1}, "actions[1]: object contains unknown field `x`."),
    ({"action": "key"}, "actions[1]: object missing required field `text`."),
    ({"action": "key", "text": "Retrun"}, "actions[1].text: there is no key 'Retrun'; did you mean Return"),
    ({"action": "wait", "duration": 31}, "actions[1].duration: expected `float` <= 30.0."),
    (
        {"action": "type", "text": "x" * 1_000_001},
        "actions[1].text: the text has 1000001 bytes; the maximum is 1000000",
    ),
    ({"action": "type", "text": "\ud800"}, "actions[1].text: the text contains an unpaired surrogate"),
    ({"action": "open_address", "url": "file:///etc/passwd"}, "actions[1].url: a web address must begin with http"),
    ({"action": "open_address", "url": "https://[x"}, "actions[1].url: this is not a web address"),
    ({"action": "open_address", "url": "https://:80/"}, "actions[1].url: a web address must begin"),
    ({"action": "open_address", "url": "https://a:99999/"}, "actions[1].url: this is not a web address: Port out of"),
    ({"action": "key", "text": "a " * 101}, "actions[1].text: 101 chords follow each other; the maximum is 100"),
    ({"action": "wait", "duration": float("nan")}, "actions[1].duration: expected `float` >= 0.0."),
    ({"action": "left_click", "\ud800": 1}, "actions[1]: a name contains an unpaired surrogate"),
    ({"type": "click", "button": "\ud800", "x": 1, "y": 1}, "actions[1]: a name contains an unpaired surrogate"),
    ({"action": "left_click", "coordinate": [10**400, 1]}, "actions[1].coordinate"),
    ({"type": "keypress", "keys": ["CTRL", "Excape"]}, "actions[1].keys: there is no key 'Excape'"),
    ({"type": "press", "key": ""}, "actions[1].key: the name of a key is missing"),
    ({"action": "focus", "ref": "\ud800"}, "actions[1].ref: the text contains an unpaired surrogate"),
    ({"action": "focus", "ref": "x" * 61}, "actions[1].ref: expected `str` of length <= 60."),
    ({"action": "open_address", "url": "https://a.example/" + "x" * 8000}, "actions[1].url: the address has 8018 char"),
    ({"type": "click", "selector": "#a"}, "actions[1].selector: use DevTools for elements of a page"),
    ({"type": "drag", "path": [{"x": 1, "y": 1}]}, "actions[1].path: expected `array` of length >= 2."),
    ({"type": "keypress", "keys": []}, "actions[1].keys: expected `array` of length >= 1."),
]


@pytest.mark.parametrize(("item", "sentence"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_is_refused_is_named(item: object, sentence: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse([{"action": "screenshot"}, item])
    assert refusal.value.message.startswith(sentence)


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([{"action": "screenshot"}] * 101, "actions: there are 101; the maximum is 100"),
        ([{"action": "wait", "duration": 25}] * 3, "actions: they wait 75 s in total; the maximum is 60 s"),
        ([{"action": "hold_key", "text": "a", "duration": 21}] * 3, "actions: they wait 63 s in total"),
        ([{"action": "type", "text": "x" * 600_000}] * 2, "actions: their texts have 1200000 bytes in total"),
    ],
)
def test_a_batch_is_bounded(items: list[object], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        parse(items)


TEXT = st.text(st.sampled_from("a+é \n\0\u202e\ud800"), max_size=4)  # JSON can contain half of a surrogate pair
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NEARLY = (  # values that belong to different fields
    st.lists(st.integers(-1, 30), min_size=2, max_size=4)
    | st.lists(st.builds(dict, x=st.integers(-1, 30), y=st.integers(-1, 30)), min_size=1, max_size=3)
    | st.integers(-1, 30)
    | st.lists(st.sampled_from(["CTRL", "s", "\ud800"]), max_size=2)
    | st.sampled_from(["ctrl+s", "https://a.example/", "http://[", "left", "up", "\ud800"])
)
FIELDS = sorted(
    {
        name
        for kind in (*computer.ClientAction.__args__, *dialects.ClientAction.__args__)
        for name in kind.__struct_fields__
    }
)
ITEMS = JSON | st.sampled_from(sorted(ACTION_NAMES)).flatmap(
    lambda field: st.builds(
        lambda verb, rest: {**rest, field: verb},
        st.sampled_from(ACTION_NAMES[field]) | JSON,
        st.dictionaries(st.sampled_from(FIELDS) | TEXT, NEARLY | JSON, max_size=3),
    )
)
BATCHES = st.lists(ITEMS, max_size=2)


def reads_or_refuses(read: Callable[[list[object]], list[Action]], items: list[object]) -> None:
    """Neither parsing nor planning raises an error other than Invalid."""
    try:
        with contextlib.suppress(Invalid):
            plan(read(items), Size(20, 20), (0, 0))
    except Exception as error:
        raise AssertionError(items) from error


def test_any_json_is_read_or_refused() -> None:
    holds(reads_or_refuses, parse, BATCHES)


@pytest.mark.mutant
def test_a_mutant_that_leaves_characters_to_the_library_is_caught() -> None:
    def mutant(items: list[object]) -> list[Action]:
        try:
            return [msgspec.convert(item, computer.ClientAction).to_action() for item in items]
        except msgspec.ValidationError as error:
            raise Invalid("actions") from error

    catches(reads_or_refuses, mutant, BATCHES)
