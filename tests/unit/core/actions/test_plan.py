"""Actions become steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.actions import steps
from greenroom.core.actions.actions import Button
from greenroom.core.actions.dialects import parse
from greenroom.core.actions.plan import PAUSE_S, Size, plan, shown_at
from greenroom.core.actions.steps import Key, Pointer, Step
from greenroom.core.errors import Invalid

SCREEN = Size(1280, 800)
CTRL = 0xFFE3


def planned(*items: dict[str, Any], display: Size | None = None, held: Button = Button.NONE) -> list[list[Step]]:
    return plan(parse(items), SCREEN, (5, 6), display, held)


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ({"action": "mouse_move", "coordinate": [1, 2]}, [Pointer(0, 1, 2)]),
        ({"action": "left_click"}, [Pointer(0, 5, 6), Pointer(1, 5, 6), Pointer(0, 5, 6)]),
        (
            {"action": "right_click", "coordinate": [1, 2], "text": "ctrl"},
            [Key(CTRL, True), Pointer(0, 1, 2), Pointer(4, 1, 2), Pointer(0, 1, 2), Key(CTRL, False)],
        ),
        ({"action": "double_click"}, [Pointer(0, 5, 6), *[Pointer(1, 5, 6), Pointer(0, 5, 6)] * 2]),
        (
            {"action": "left_click_drag", "coordinate": [9, 6]},
            [
                Pointer(0, 5, 6),
                Pointer(1, 5, 6),
                steps.Wait(PAUSE_S),
                Pointer(1, 7, 6),
                Pointer(1, 9, 6),
                steps.Wait(PAUSE_S),
                Pointer(0, 9, 6),
            ],
        ),
        (
            {"action": "scroll", "scroll_direction": "down", "scroll_amount": 2},
            [Pointer(0, 5, 6), *[Pointer(16, 5, 6), Pointer(0, 5, 6)] * 2],
        ),
        (
            {"action": "scroll", "scroll_direction": "left", "scroll_amount": 1},
            [Pointer(0, 5, 6), Pointer(32, 5, 6), Pointer(0, 5, 6)],
        ),
        (
            {"action": "key", "text": "ctrl+s"},
            [Key(CTRL, True), Key(0x73, True), Key(0x73, False), Key(CTRL, False)],
        ),
        (
            {"action": "hold_key", "text": "a", "duration": 2},
            [Key(0x61, True), steps.Wait(2), Key(0x61, False)],
        ),
        ({"action": "type", "text": "é"}, [steps.Type("é")]),
        ({"action": "wait", "duration": 1}, [steps.Wait(1)]),
        ({"action": "screenshot"}, [steps.Screenshot()]),
        ({"action": "zoom", "region": [0, 0, 1280, 800]}, [steps.Screenshot((0, 0, 1280, 800))]),
        ({"action": "cursor_position"}, [steps.CursorPosition()]),
        ({"action": "set_clipboard", "text": "x"}, [steps.Clipboard("x")]),
        ({"action": "get_clipboard"}, [steps.ReadClipboard()]),
        ({"action": "open_address", "url": "https://a.example"}, [steps.Open("https://a.example")]),
    ],
)
def test_the_steps_of_an_action(item: dict[str, Any], wanted: list[Step]) -> None:
    assert planned(item) == [wanted]


def test_a_button_is_held_until_it_is_let_go_of() -> None:
    down, move, up = planned(
        {"action": "left_mouse_down"}, {"action": "mouse_move", "coordinate": [1, 2]}, {"action": "left_mouse_up"}
    )
    assert (down, move, up) == (
        [Pointer(0, 5, 6), Pointer(1, 5, 6)],
        [Pointer(1, 1, 2)],
        [Pointer(1, 1, 2), Pointer(0, 1, 2)],
    )


def test_a_button_is_held_from_one_request_to_the_next() -> None:
    assert planned({"action": "left_mouse_down"}) == [[Pointer(0, 5, 6), Pointer(1, 5, 6)]]
    assert planned({"action": "mouse_move", "coordinate": [1, 2]}, held=Button.LEFT) == [[Pointer(1, 1, 2)]]
    assert planned({"action": "left_mouse_up"}, held=Button.LEFT) == [[Pointer(1, 5, 6), Pointer(0, 5, 6)]]


def test_a_click_lets_go_of_its_button_and_leaves_others_held() -> None:
    wheel = {"action": "scroll", "scroll_direction": "up", "scroll_amount": 1}
    assert planned(wheel, {"action": "left_click"}, wheel, held=Button.LEFT) == [
        [Pointer(1, 5, 6), Pointer(9, 5, 6), Pointer(1, 5, 6)],
        [Pointer(1, 5, 6), Pointer(1, 5, 6), Pointer(0, 5, 6)],
        [Pointer(0, 5, 6), Pointer(8, 5, 6), Pointer(0, 5, 6)],
    ]


def test_coordinates_of_another_size_are_scaled() -> None:
    display = Size(640, 400)
    click, look, part = planned(
        {"action": "mouse_move", "coordinate": [639, 100]},
        {"action": "screenshot"},
        {"action": "zoom", "region": [0, 0, 640, 200]},
        display=display,
    )
    assert click == [Pointer(0, 1278, 200)]
    assert look == [steps.Screenshot(None, 640, 400)]
    assert part == [steps.Screenshot((0, 0, 1280, 400))]
    assert shown_at(1278, 200, SCREEN, display) == (639, 100)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (
            {"action": "left_click", "coordinate": [1400, 20]},
            "actions[1].coordinate: [1400, 20] is outside the screen of 1280 x 800.",
        ),
        ({"type": "move", "x": 3, "y": 800}, "actions[1]: [3, 800] is outside the screen of 1280 x 800."),
        (
            {"type": "drag", "path": [{"x": 0, "y": 0}, {"x": -1, "y": 0}]},
            "actions[1].path[1]: [-1, 0] is outside the screen of 1280 x 800.",
        ),
        (
            {"action": "zoom", "region": [0, 0, 1281, 5]},
            "actions[1].region: [1281, 5] is outside the screen of 1280 x 800.",
        ),
        (
            {"action": "zoom", "region": [5, 5, 5, 9]},
            "actions[1].region: it is empty; give [x1, y1, x2, y2] with x1 < x2 and y1 < y2.",
        ),
    ],
)
def test_what_is_not_on_the_screen_is_refused(item: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refusal:
        planned({"action": "screenshot"}, item)
    assert refusal.value.message == sentence


NUMBERS = st.integers(-20, 1400)
PAIRS = st.tuples(NUMBERS, NUMBERS)
ITEMS = st.one_of(
    st.builds(
        lambda verb, at: {"action": verb, "coordinate": at, "text": "ctrl+shift"},
        st.sampled_from(["left_click", "right_click", "triple_click", "left_click_drag"]),
        PAIRS,
    ),
    st.builds(
        lambda verb, at: {"action": verb, "coordinate": at},
        st.sampled_from(["mouse_move", "left_mouse_down", "left_mouse_up"]),
        PAIRS,
    ),
    st.builds(
        lambda at, way: {
            "action": "scroll",
            "coordinate": at,
            "scroll_direction": way,
            "scroll_amount": 3,
            "text": "alt",
        },
        PAIRS,
        st.sampled_from(["up", "down", "left", "right"]),
    ),
    st.builds(lambda path: {"type": "drag", "path": [{"x": x, "y": y} for x, y in path]}, st.lists(PAIRS, min_size=2)),
    st.just({"action": "hold_key", "text": "ctrl+a", "duration": 0.1}),
)


@given(st.lists(ITEMS, max_size=8), st.none() | st.builds(Size, st.integers(1, 3000), st.integers(1, 3000)))
def test_nothing_stays_held_and_nothing_leaves_the_screen(items: list[dict[str, Any]], display: Size | None) -> None:
    try:
        batch = planned(*items, display=display)
    except Invalid:
        return
    held: set[int] = set()
    buttons = 0
    left = 0  # what left_mouse_down holds
    for item, done in zip(items, batch, strict=True):
        for step in done:
            match step:
                case Key(keysym, down):
                    (held.add if down else held.remove)(keysym)
                case Pointer(buttons, x, y):
                    assert x in range(SCREEN.width)
                    assert y in range(SCREEN.height)
                case _:
                    pass
        match item.get("action", item.get("type")):
            case "left_mouse_down":
                left = 1
            case "left_mouse_up" | "left_click" | "triple_click" | "left_click_drag" | "drag":
                left = 0
            case _:
                pass
        assert not held
        assert buttons == left
