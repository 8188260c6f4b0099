"""The actions of Anthropic's computer-use tool, which have the field `action` (docs/reference/actions.md).

The module has the actions of the versions computer_20241022, computer_20250124 and computer_20251124. Greenroom adds
`set_clipboard`, `get_clipboard`, `open_address` and `focus`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from greenroom.core.actions import actions
from greenroom.core.actions.actions import (
    MAX_NOTCHES,
    MAX_REF_LENGTH,
    MAX_SECONDS,
    Action,
    Button,
    Coordinate,
    Point,
    checked_text,
    web_address,
)
from greenroom.core.actions.keys import chord_of, chords_of

Pair = tuple[Coordinate, Coordinate]
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
Notches = Annotated[int, Meta(ge=0, le=MAX_NOTCHES)]


def point(pair: Pair, field: str = "coordinate") -> Point:
    """Return the point for `pair`, which is [x, y] in the field `field` of an action."""
    return Point(pair[0], pair[1], field)


def _modifier_keys(text: str | None) -> tuple[int, ...]:
    return chord_of(text) if text else ()


class _ClientAction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    pass


class _Key(_ClientAction, frozen=True, tag="key"):
    text: str

    def to_action(self) -> Action:
        return actions.Press(chords_of(self.text))


class _HoldKey(_ClientAction, frozen=True, tag="hold_key"):
    text: str
    duration: Seconds

    def to_action(self) -> Action:
        return actions.Press((chord_of(self.text),), self.duration)


class _Type(_ClientAction, frozen=True, tag="type"):
    """Greenroom adds the field `coordinate`: a click there precedes the text."""

    text: str
    coordinate: Pair | None = None

    def to_action(self) -> Action:
        return actions.Write(checked_text(self.text), point(self.coordinate) if self.coordinate else None)


class _Focus(_ClientAction, frozen=True, tag="focus"):
    ref: Annotated[str, Meta(max_length=MAX_REF_LENGTH)]

    def to_action(self) -> Action:
        return actions.FocusElement(checked_text(self.ref))


class _MouseMove(_ClientAction, frozen=True, tag="mouse_move"):
    coordinate: Pair

    def to_action(self) -> Action:
        return actions.Move(point(self.coordinate))


class _Click(_ClientAction, frozen=True):
    coordinate: Pair | None = None
    text: str | None = None
    button: ClassVar[Button] = Button.LEFT
    times: ClassVar[int] = 1

    def to_action(self) -> Action:
        at = point(self.coordinate) if self.coordinate else None
        return actions.Click(self.button, at, self.times, _modifier_keys(self.text))


class _LeftClick(_Click, frozen=True, tag="left_click"):
    pass


class _RightClick(_Click, frozen=True, tag="right_click"):
    button = Button.RIGHT


class _MiddleClick(_Click, frozen=True, tag="middle_click"):
    button = Button.MIDDLE


class _DoubleClick(_Click, frozen=True, tag="double_click"):
    times = 2


class _TripleClick(_Click, frozen=True, tag="triple_click"):
    times = 3


class _LeftClickDrag(_ClientAction, frozen=True, tag="left_click_drag"):
    """computer_20241022 has no `start_coordinate`: the drag starts at the position of the pointer."""

    coordinate: Pair
    start_coordinate: Pair | None = None
    text: str | None = None

    def to_action(self) -> Action:
        start = (point(self.start_coordinate, "start_coordinate"),) if self.start_coordinate else ()
        return actions.Drag((*start, point(self.coordinate)), _modifier_keys(self.text))


class _LeftMouseDown(_ClientAction, frozen=True, tag="left_mouse_down"):
    coordinate: Pair | None = None
    pressed: ClassVar[bool] = True

    def to_action(self) -> Action:
        return actions.LeftButton(self.pressed, point(self.coordinate) if self.coordinate else None)


class _LeftMouseUp(_LeftMouseDown, frozen=True, tag="left_mouse_up"):
    pressed = False


class _Scroll(_ClientAction, frozen=True, tag="scroll"):
    """`scroll_amount` is in notches of the wheel."""

    scroll_direction: Literal["up", "down", "left", "right"]
    scroll_amount: Notches
    coordinate: Pair | None = None
    text: str | None = None

    def to_action(self) -> Action:
        across, down = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}[self.scroll_direction]
        at = point(self.coordinate) if self.coordinate else None
        return actions.Scroll(across * self.scroll_amount, down * self.scroll_amount, at, _modifier_keys(self.text))


class _Wait(_ClientAction, frozen=True, tag="wait"):
    duration: Seconds

    def to_action(self) -> Action:
        return actions.WaitStep(self.duration)


class _Screenshot(_ClientAction, frozen=True, tag="screenshot"):
    def to_action(self) -> Action:
        return actions.TakeScreenshot()


class _CursorPosition(_ClientAction, frozen=True, tag="cursor_position"):
    def to_action(self) -> Action:
        return actions.CursorPosition()


class _Zoom(_ClientAction, frozen=True, tag="zoom"):
    """`region` is [x1, y1, x2, y2]; the picture is not scaled down."""

    region: tuple[Coordinate, Coordinate, Coordinate, Coordinate]

    def to_action(self) -> Action:
        left, top, right, bottom = self.region
        return actions.TakeScreenshot((Point(left, top, "region"), Point(right, bottom, "region")))


class _SetClipboard(_ClientAction, frozen=True, tag="set_clipboard"):
    text: str

    def to_action(self) -> Action:
        return actions.Clipboard(checked_text(self.text))


class _GetClipboard(_ClientAction, frozen=True, tag="get_clipboard"):
    def to_action(self) -> Action:
        return actions.ReadClipboard()


class _OpenAddress(_ClientAction, frozen=True, tag="open_address"):
    url: str

    def to_action(self) -> Action:
        return actions.OpenAddress(web_address(self.url))


ClientAction = (  # any action of the computer-use tool
    _Key
    | _HoldKey
    | _Type
    | _Focus
    | _MouseMove
    | _LeftClick
    | _RightClick
    | _MiddleClick
    | _DoubleClick
    | _TripleClick
    | _LeftClickDrag
    | _LeftMouseDown
    | _LeftMouseUp
    | _Scroll
    | _Wait
    | _Screenshot
    | _CursorPosition
    | _Zoom
    | _SetClipboard
    | _GetClipboard
    | _OpenAddress
)
