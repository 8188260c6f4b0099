"""Mouse and keyboard calls of the SDKs of hosted browser services, and the resulting actions."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.api.bodies import Json
from greenroom.core.actions.dialects import parse
from greenroom.interfaces.sdk.common import Gesture, NotSupportedError

AT: dict[str, Any] = {"x": 640, "y": 400}


@pytest.mark.parametrize(
    ("actions", "names"),
    [
        (Gesture(**AT).click(), ["left_click"]),
        (Gesture(**AT, num_clicks=2, hold_keys=["ctrl"]).click(), ["double_click"]),
        (Gesture(**AT, num_clicks=3).click(), ["triple_click"]),
        (Gesture(**AT, button="right").click(), ["right_click"]),
        (Gesture(coordinates=(5, 6), button="middle").click(), ["middle_click"]),
        (Gesture(**AT, button="back").click(), ["click"]),
        (Gesture(**AT, click_type="down").click(), ["left_mouse_down"]),
        (Gesture(click_type="up").click(), ["left_mouse_up"]),
        (Gesture(**AT).move(), ["mouse_move"]),
        (Gesture(path=[(1, 2), (3, 4)], hold_keys=["shift"]).drag(), ["drag"]),
        (Gesture(**AT, delta_x=-1, delta_y=2).turn_wheel(), ["scroll", "scroll"]),
        (Gesture(**AT, delta_y=250).scroll(), ["scroll"]),
        (Gesture(keys=["Ctrl+a"]).press(seconds=0), ["key"]),
        (Gesture(keys=["shift"]).press(seconds=0.5), ["hold_key"]),
        (Gesture(text="Grüße").write(), ["type"]),
    ],
)
def test_a_gesture_is_an_action_that_is_understood(actions: list[Json], names: list[str]):
    assert [one.get("action", one.get("type")) for one in actions] == names
    assert len(parse(actions)) >= len(names)


def test_the_wheel_turns_in_the_direction_of_the_sign():
    turned = Gesture(**AT, delta_x=-1, delta_y=2).turn_wheel()
    assert [(one["scroll_direction"], one["scroll_amount"]) for one in turned] == [("left", 1), ("down", 2)]


@pytest.mark.parametrize(
    "given",
    [
        {"button": "right", "click_type": "down"},
        {"button": "right", "num_clicks": 2},
        {"num_clicks": 4},
        {"button": "back"},
    ],
)
def test_a_click_without_a_counterpart_is_refused(given: dict[str, Any]):
    with pytest.raises(NotSupportedError, match="Greenroom has no counterpart of"):
        Gesture(**given).click()


def test_another_button_drags_nothing():
    with pytest.raises(NotSupportedError, match="with the left button, not with right"):
        Gesture(path=[(1, 2), (3, 4)], button="right").drag()
