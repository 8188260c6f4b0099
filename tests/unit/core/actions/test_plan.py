"""The conversion of actions to steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import catches, holds

from greenroom.core.actions import actions
from greenroom.core.actions import plan as action_plan
from greenroom.core.actions.actions import Button
from greenroom.core.actions.dialects import parse
from greenroom.core.actions.plan import PAUSE_S, Key, Pointer, Size, Step, plan, to_display_point
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
            {"action": "type", "text": "a", "coordinate": [1, 2]},
            [Pointer(0, 1, 2), Pointer(1, 1, 2), Pointer(0, 1, 2), action_plan.Type("a")],
        ),
        ({"action": "focus", "ref": "1.2-3"}, [actions.FocusElement("1.2-3")]),
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
                actions.WaitStep(PAUSE_S),
                Pointer(1, 7, 6),
                Pointer(1, 9, 6),
                actions.WaitStep(PAUSE_S),
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
            [Key(0x61, True), actions.WaitStep(2), Key(0x61, False)],
        ),
        ({"action": "type", "text": "é"}, [action_plan.Type("é")]),
        ({"action": "wait", "duration": 1}, [actions.WaitStep(1)]),
        ({"action": "screenshot"}, [action_plan.Screenshot()]),
        ({"action": "zoom", "region": [0, 0, 1280, 800]}, [action_plan.Screenshot((0, 0, 1280, 800))]),
        ({"action": "cursor_position"}, [actions.CursorPosition()]),
        ({"action": "set_clipboard", "text": "x"}, [actions.Clipboard("x")]),
        ({"action": "get_clipboard"}, [actions.ReadClipboard()]),
        ({"action": "open_address", "url": "https://a.example"}, [actions.OpenAddress("https://a.example")]),
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
    assert look == [action_plan.Screenshot(None, 640, 400)]
    assert part == [action_plan.Screenshot((0, 0, 1280, 400))]
    assert to_display_point(1278, 200, SCREEN, display) == (639, 100)


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
            "actions[1].region: it is empty; write [x1, y1, x2, y2] with x1 < x2 and y1 < y2.",
        ),
    ],
)
def test_what_is_not_on_the_screen_is_refused(item: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refusal:
        planned({"action": "screenshot"}, item)
    assert refusal.value.message == sentence


NUMBERS = st.sampled_from([-1, 0, 5, 639, 799, 800, 1279, 1280])
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
    st.builds(
        lambda path: {"type": "drag", "path": [{"x": x, "y": y} for x, y in path]},
        st.lists(PAIRS, min_size=2, max_size=3),
    ),
    st.just({"action": "hold_key", "text": "ctrl+a", "duration": 0.1}),
)


BATCHES = st.tuples(
    st.lists(ITEMS, max_size=3), st.none() | st.builds(Size, st.integers(1, 3000), st.integers(1, 3000))
)
Batch = tuple[list[dict[str, Any]], Size | None]


def leaves_nothing_held(planned: Callable[..., list[list[Step]]], batch: Batch) -> None:
    """After each action no key is pressed, and no button except that of left_mouse_down."""
    items, display = batch
    try:
        done = planned(*items, display=display)
    except Invalid:
        return
    keys: set[int] = set()
    buttons = wanted = 0
    for item, steps_of_it in zip(items, done, strict=True):
        for step in steps_of_it:
            match step:
                case Key(keysym, down):
                    (keys.add if down else keys.remove)(keysym)
                case Pointer(mask):
                    buttons = mask
                case _:
                    pass
        match item.get("action", item.get("type")):
            case "left_mouse_down":
                wanted = 1
            case "left_mouse_up" | "left_click" | "triple_click" | "left_click_drag" | "drag":
                wanted = 0
            case _:
                pass
        assert not keys
        assert buttons == wanted


def stays_on_the_screen(planned: Callable[..., list[list[Step]]], batch: Batch) -> None:
    items, display = batch
    with contextlib.suppress(Invalid):
        for step in chain.from_iterable(planned(*items, display=display)):
            if isinstance(step, Pointer):
                assert step.x in range(SCREEN.width)
                assert step.y in range(SCREEN.height)


def test_no_action_leaves_anything_held() -> None:
    holds(leaves_nothing_held, planned, BATCHES)


def test_nothing_leaves_the_screen() -> None:
    holds(stays_on_the_screen, planned, BATCHES)


@pytest.mark.mutant
@pytest.mark.parametrize("forgotten", [Key(CTRL, down=False), Pointer(0, 0, 0)], ids=["a key", "a button"])
def test_a_mutant_that_forgets_to_let_go_is_caught(forgotten: Step) -> None:
    def is_forgotten(step: Step) -> bool:
        match step, forgotten:
            case (Key(), Key()):
                return step == forgotten
            case (Pointer(mask), Pointer(released)):
                return mask == released
            case _:
                return False

    def mutant(*items: dict[str, Any], display: Size | None) -> list[list[Step]]:
        return [[step for step in done if not is_forgotten(step)] for done in planned(*items, display=display)]

    catches(leaves_nothing_held, mutant, BATCHES)


@pytest.mark.mutant
def test_a_mutant_that_takes_the_first_pixel_outside_is_caught() -> None:
    def mutant(*items: dict[str, Any], display: Size | None) -> list[list[Step]]:
        return plan(parse(items), Size(SCREEN.width + 1, SCREEN.height + 1), (5, 6), display)

    catches(stays_on_the_screen, mutant, BATCHES)
