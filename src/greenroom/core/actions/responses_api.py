"""`ComputerAction` of the Responses API, recognized by its field `type`: click, double_click, drag, keypress, move,
screenshot, scroll, type, wait; and of hosted browsers goto, navigate, press.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from greenroom.core.actions import actions
from greenroom.core.actions.actions import MAX_NOTCHES, Action, Button, Coordinate, Point, checked_text, web_address
from greenroom.core.actions.keys import MAX_KEYS, chord_of, keysym_of

PIXELS_A_NOTCH: Final = 100
"""The pixels that a page scrolls for one notch of the wheel. Actions of this API scroll by pixels."""
WAIT_S: Final = 2.0
"""The duration of `wait`, which has no field for it."""

_BUTTONS: Final = {
    "left": Button.LEFT,
    "right": Button.RIGHT,
    "wheel": Button.MIDDLE,
    "middle": Button.MIDDLE,
}
_KEYS_FOR_BUTTONS: Final = {"back": "XF86Back", "forward": "XF86Forward"}
"""Buttons that RFB does not have → the keys that have the same effect in browsers and file managers."""
Keys = Annotated[list[str], Meta(max_length=MAX_KEYS)]
Pixels = Annotated[int, Meta(ge=-MAX_NOTCHES * PIXELS_A_NOTCH, le=MAX_NOTCHES * PIXELS_A_NOTCH)]


def _modifier_keys(keys: list[str]) -> tuple[int, ...]:
    # Clients of this API send CTRL, C for ctrl+c, not for ctrl+shift+c.
    is_chord = len(keys) > 1
    return tuple(dict.fromkeys(keysym_of(key.lower() if is_chord and len(key) == 1 else key) for key in keys))


def _notches(pixels: int) -> int:
    notches = -(-abs(pixels) // PIXELS_A_NOTCH)
    return notches if pixels > 0 else -notches


class _Place(Struct, frozen=True, forbid_unknown_fields=True):
    x: Coordinate
    y: Coordinate


def _xy(place: _Place | tuple[Coordinate, Coordinate]) -> tuple[int, int]:
    return (place.x, place.y) if isinstance(place, _Place) else place


class _Verb(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class _PointVerb(_Verb, frozen=True):
    x: Coordinate
    y: Coordinate
    keys: Keys = []

    @property
    def at(self) -> Point:
        return Point(self.x, self.y, "x, y")


class _Click(_PointVerb, frozen=True, tag="click"):
    button: Literal["left", "right", "wheel", "middle", "back", "forward"] = "left"

    def to_action(self) -> Action:
        if self.button in _KEYS_FOR_BUTTONS:
            return actions.Press((_modifier_keys([*self.keys, _KEYS_FOR_BUTTONS[self.button]]),))
        return actions.Click(_BUTTONS[self.button], self.at, keys=_modifier_keys(self.keys))


class _DoubleClick(_PointVerb, frozen=True, tag="double_click"):
    def to_action(self) -> Action:
        return actions.Click(Button.LEFT, self.at, 2, _modifier_keys(self.keys))


class _Move(_PointVerb, frozen=True, tag="move"):
    def to_action(self) -> Action:
        return actions.Move(self.at, _modifier_keys(self.keys))


class _Scroll(_PointVerb, frozen=True, tag="scroll", kw_only=True):
    scroll_x: Pixels = 0
    scroll_y: Pixels = 0
    x_in_js: Pixels = field(name="scrollX", default=0)
    y_in_js: Pixels = field(name="scrollY", default=0)

    def to_action(self) -> Action:
        across, down = self.scroll_x or self.x_in_js, self.scroll_y or self.y_in_js
        return actions.Scroll(_notches(across), _notches(down), self.at, _modifier_keys(self.keys))


class _Drag(_Verb, frozen=True, tag="drag"):
    path: Annotated[list[_Place | tuple[Coordinate, Coordinate]], Meta(min_length=2, max_length=1000)]
    keys: Keys = []

    def to_action(self) -> Action:
        points = (Point(*_xy(place), f"path[{index}]") for index, place in enumerate(self.path))
        return actions.Drag(tuple(points), _modifier_keys(self.keys))


class _Keypress(_Verb, frozen=True, tag="keypress"):
    keys: Annotated[Keys, Meta(min_length=1)]

    def to_action(self) -> Action:
        return actions.Press((_modifier_keys(self.keys),))


class _Type(_Verb, frozen=True, tag="type"):
    text: str

    def to_action(self) -> Action:
        return actions.Write(checked_text(self.text))


class _Wait(_Verb, frozen=True, tag="wait"):
    def to_action(self) -> Action:
        return actions.WaitStep(WAIT_S)


class _Screenshot(_Verb, frozen=True, tag="screenshot"):
    def to_action(self) -> Action:
        return actions.TakeScreenshot()


class _GoTo(_Verb, frozen=True, tag="goto"):
    url: str

    def to_action(self) -> Action:
        return actions.OpenAddress(web_address(self.url))


class _Navigate(_GoTo, frozen=True, tag="navigate"):
    pass


class _Press(_Verb, frozen=True, tag="press"):
    key: str

    def to_action(self) -> Action:
        return actions.Press((chord_of(self.key),))


Verb = (
    _Click
    | _DoubleClick
    | _Move
    | _Scroll
    | _Drag
    | _Keypress
    | _Type
    | _Wait
    | _Screenshot
    | _GoTo
    | _Navigate
    | _Press
)
