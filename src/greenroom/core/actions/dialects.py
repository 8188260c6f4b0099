"""Parses the actions of clients, in two formats. An item with the field `action` is an action of the computer-use tool
(`computer`). An item with the field `type` is an action of this module.

The actions with `type` are the `ComputerAction`s of OpenAI's Responses API (click, double_click, drag, keypress, move,
screenshot, scroll, type, wait) and three actions of hosted browsers (goto, navigate, press).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct, field

from greenroom.core.actions import actions, computer
from greenroom.core.actions.actions import (
    MAX_ACTIONS,
    MAX_NOTCHES,
    MAX_TEXT_BYTES,
    MAX_TOTAL_SECONDS,
    Action,
    Button,
    Clipboard,
    Coordinate,
    Point,
    Press,
    WaitStep,
    Write,
    checked_text,
    web_address,
)
from greenroom.core.actions.keys import MAX_KEYS, chord_of, keysym_of
from greenroom.core.errors import Invalid
from greenroom.core.text import suggest_name

PIXELS_PER_NOTCH: Final = 100
"""The pixels that a page scrolls for one notch of the wheel. `scroll` of the Responses API counts pixels."""
WAIT_S: Final = 2.0
"""The duration of the action `wait`, which has no field for a duration."""

_BUTTONS: Final = {
    "left": Button.LEFT,
    "right": Button.RIGHT,
    "wheel": Button.MIDDLE,
    "middle": Button.MIDDLE,
}
_KEYS_FOR_BUTTONS: Final = {"back": "XF86Back", "forward": "XF86Forward"}
"""Buttons that RFB does not have → the keys that have the same effect in browsers and file managers."""
Keys = Annotated[list[str], Meta(max_length=MAX_KEYS)]
Pixels = Annotated[int, Meta(ge=-MAX_NOTCHES * PIXELS_PER_NOTCH, le=MAX_NOTCHES * PIXELS_PER_NOTCH)]


def _keysyms(keys: list[str]) -> tuple[int, ...]:
    # Clients of the Responses API send ["CTRL", "C"] and mean ctrl+c, so an upper-case letter does not mean shift.
    is_chord = len(keys) > 1
    return tuple(dict.fromkeys(keysym_of(key.lower() if is_chord and len(key) == 1 else key) for key in keys))


def _notches(pixels: int) -> int:
    notches = -(-abs(pixels) // PIXELS_PER_NOTCH)
    return notches if pixels > 0 else -notches


class _PointOfPath(Struct, frozen=True, forbid_unknown_fields=True):
    x: Coordinate
    y: Coordinate


def _xy(place: _PointOfPath | tuple[Coordinate, Coordinate]) -> tuple[int, int]:
    return (place.x, place.y) if isinstance(place, _PointOfPath) else place


class _ClientAction(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class _PointAction(_ClientAction, frozen=True):
    x: Coordinate
    y: Coordinate
    keys: Keys = []

    @property
    def at(self) -> Point:
        return Point(self.x, self.y, "x, y")


class _Click(_PointAction, frozen=True, tag="click"):
    button: Literal["left", "right", "wheel", "middle", "back", "forward"] = "left"

    def to_action(self) -> Action:
        if self.button in _KEYS_FOR_BUTTONS:
            return actions.Press((_keysyms([*self.keys, _KEYS_FOR_BUTTONS[self.button]]),))
        return actions.Click(_BUTTONS[self.button], self.at, keys=_keysyms(self.keys))


class _DoubleClick(_PointAction, frozen=True, tag="double_click"):
    def to_action(self) -> Action:
        return actions.Click(Button.LEFT, self.at, 2, _keysyms(self.keys))


class _Move(_PointAction, frozen=True, tag="move"):
    def to_action(self) -> Action:
        return actions.Move(self.at, _keysyms(self.keys))


class _Scroll(_PointAction, frozen=True, tag="scroll", kw_only=True):
    scroll_x: Pixels = 0
    scroll_y: Pixels = 0
    camel_scroll_x: Pixels = field(name="scrollX", default=0)
    camel_scroll_y: Pixels = field(name="scrollY", default=0)

    def to_action(self) -> Action:
        across, down = self.scroll_x or self.camel_scroll_x, self.scroll_y or self.camel_scroll_y
        return actions.Scroll(_notches(across), _notches(down), self.at, _keysyms(self.keys))


class _Drag(_ClientAction, frozen=True, tag="drag"):
    path: Annotated[list[_PointOfPath | tuple[Coordinate, Coordinate]], Meta(min_length=2, max_length=1000)]
    keys: Keys = []

    def to_action(self) -> Action:
        points = (Point(*_xy(place), f"path[{index}]") for index, place in enumerate(self.path))
        return actions.Drag(tuple(points), _keysyms(self.keys))


class _Keypress(_ClientAction, frozen=True, tag="keypress"):
    keys: Annotated[Keys, Meta(min_length=1)]

    def to_action(self) -> Action:
        return actions.Press((_keysyms(self.keys),))


class _Type(_ClientAction, frozen=True, tag="type"):
    text: str

    def to_action(self) -> Action:
        return actions.Write(checked_text(self.text))


class _Wait(_ClientAction, frozen=True, tag="wait"):
    def to_action(self) -> Action:
        return actions.WaitStep(WAIT_S)


class _Screenshot(_ClientAction, frozen=True, tag="screenshot"):
    def to_action(self) -> Action:
        return actions.TakeScreenshot()


class _GoTo(_ClientAction, frozen=True, tag="goto"):
    url: str

    def to_action(self) -> Action:
        return actions.OpenAddress(web_address(self.url))


class _Navigate(_GoTo, frozen=True, tag="navigate"):
    pass


class _Press(_ClientAction, frozen=True, tag="press"):
    key: str

    def to_action(self) -> Action:
        return actions.Press((chord_of(self.key),))


ClientAction = (  # any action with `type`
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


FOCUS: Final = "focus"
"""The action that moves the focus to an element. Its reference to the element is sent to the session. In all other
actions, the place of the element on the screen replaces the reference.
"""
_PLACE_FIELDS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    field: {
        str(info.tag): names
        for kind in union.__args__
        if (info := kind.__struct_config__) and set(names) <= set(kind.__struct_fields__)
    }
    for field, union, names in (
        ("action", computer.ClientAction, ("coordinate",)),
        ("type", ClientAction, ("x", "y")),
    )
}
"""The fields that contain the place of an action on the screen. The first key is the field with the name of the action
(`action` or `type`), the second key is this name.
"""

PlaceOrReason = tuple[int, int] | str
"""The place of an element, or a sentence with the reason why there is none."""


def refs_of(items: Sequence[object]) -> list[str]:
    """Return the references to the elements whose places the actions need, without duplicates."""
    refs = [ref for item in items if (ref := _ref_of(item)) is not None]
    return list(dict.fromkeys(ref for ref in refs if isinstance(ref, str)))


def replace_references(items: Sequence[object], places: Mapping[str, PlaceOrReason]) -> list[object]:
    """Return the actions with places on the screen in place of references to elements. `places` maps each reference to
    its place. Raises Invalid: an element or its place does not exist, or the action cannot have an element."""
    return [_replace_reference(item, places, f"actions[{index}].ref") for index, item in enumerate(items)]


def _ref_of(item: object) -> object:
    """Return the reference to an element in an action; None if the action does not need the place of an element."""
    if not isinstance(item, Mapping):
        return None
    fields = cast("Mapping[Any, Any]", item)
    return None if fields.get("action") == FOCUS else fields.get("ref")


def _replace_reference(item: object, places: Mapping[str, PlaceOrReason], where: str) -> object:
    ref = _ref_of(item)
    if ref is None:
        return item
    fields = {name: value for name, value in cast("Mapping[Any, Any]", item).items() if value is not None}
    del fields["ref"]
    field = "action" if "action" in fields else "type"
    names = _PLACE_FIELDS[field].get(str(fields.get(field)))
    if names is None:
        raise Invalid(f"{where}: only {', '.join((*_PLACE_FIELDS[field], FOCUS))} can have an element.")
    if not fields.keys().isdisjoint(names):
        raise Invalid(f"{where}: an action has an element or a coordinate, not both.")
    place = places.get(ref) if isinstance(ref, str) else None
    if not isinstance(place, tuple):
        raise Invalid(f"{where}: {place or 'this is not a reference of an element.'}")
    return fields | ({"coordinate": list(place)} if field == "action" else dict(zip(names, place, strict=True)))


_CHECKED_FIELDS: Final = ("text", "keys", "key", "url", "ref")
"""Fields with an additional check of their content. No action has more than one of these fields."""
_ELEMENT_FIELDS: Final = frozenset(("selector", "xpath", "element"))
"""Fields of other products that name an element of a web page. Greenroom refuses them."""
MAX_REASON: Final = 200
"""Maximum characters of a reason in an error; a reason can contain any text from the client."""
MAX_DEPTH: Final = 2
"""The levels of nested lists and objects in which floats are converted to integers: the path of a drag has two."""
ACTION_NAMES: Final[dict[str, tuple[str, ...]]] = {
    field: tuple(str(info.tag) for kind in union.__args__ if (info := kind.__struct_config__))
    for field, union in (("action", computer.ClientAction), ("type", ClientAction))
}
"""The names of all actions, by the field that contains the name (`action` or `type`)."""


def parse(items: Sequence[object]) -> list[Action]:
    """Return the actions of a batch. Raises Invalid: an item is not an action, or the batch exceeds a limit."""
    if len(items) > MAX_ACTIONS:
        raise Invalid(f"actions: there are {len(items)}; the maximum is {MAX_ACTIONS}.")
    actions = [_parse_item(item, f"actions[{index}]") for index, item in enumerate(items)]
    seconds = sum(_seconds(action) for action in actions)
    if seconds > MAX_TOTAL_SECONDS:
        raise Invalid(f"actions: they wait {seconds:g} s in total; the maximum is {MAX_TOTAL_SECONDS:g} s.")
    size = sum(len(action.text.encode()) for action in actions if isinstance(action, (Write, Clipboard)))
    if size > MAX_TEXT_BYTES:
        raise Invalid(f"actions: their texts have {size} bytes in total; the maximum is {MAX_TEXT_BYTES}.")
    return actions


def _parse_item(item: object, where: str) -> Action:
    if not isinstance(item, Mapping):
        raise Invalid(
            f'{where}: this is not an action; write one like {{"action": "left_click", "coordinate": [x, y]}}.'
        )
    # Some clients send null for fields that they do not set.
    fields = {
        name: _with_integers(value) for name, value in cast("Mapping[Any, Any]", item).items() if value is not None
    }
    for name in _ELEMENT_FIELDS & fields.keys():
        raise Invalid(f"{where}.{name}: use DevTools for elements of a page, at `urls.cdp` of the lease.")
    field = "action" if "action" in fields else "type"
    action_name, known_names = fields.get(field), ACTION_NAMES[field]
    if not isinstance(action_name, str):
        raise Invalid(f"{where}: `action` is missing; it is one of {', '.join(ACTION_NAMES['action'])}.")
    if action_name not in known_names:
        suggestion = suggest_name(action_name, known_names, f"it is one of {', '.join(known_names)}.")
        raise Invalid(f"{where}.{field}: there is no action {action_name[:40]!r}; {suggestion}")
    try:
        parsed: computer.ClientAction | ClientAction = (
            msgspec.convert(fields, computer.ClientAction)
            if field == "action"
            else msgspec.convert(fields, ClientAction)
        )
        return parsed.to_action()
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise Invalid(f"{where}{path.rstrip('`')}: {reason[:1].lower()}{reason[1:MAX_REASON]}.") from error
    except UnicodeEncodeError as error:
        raise Invalid(f"{where}: a name contains an unpaired surrogate, which is not a character.") from error
    except Invalid as error:
        checked_field = next(name for name in _CHECKED_FIELDS if name in fields)
        raise Invalid(f"{where}.{checked_field}: {error.message}") from error


def _with_integers(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the value with floats such as 5.0 as integers, because clients in some languages have only floats."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list() if depth:
            return [_with_integers(part, depth - 1) for part in cast("list[Any]", value)]
        case dict() if depth:
            return {name: _with_integers(part, depth - 1) for name, part in cast("dict[Any, Any]", value).items()}
        case _:
            return value


def _seconds(action: Action) -> float:
    match action:
        case WaitStep(seconds):
            return seconds
        case Press(chords, seconds):
            return seconds * len(chords)
        case _:
            return 0
