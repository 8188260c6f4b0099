"""Parses actions as clients send them. An item with `action` is an action of the computer-use tool (`computer`); an
item with `type` is an action of the Responses API (`responses_api`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from greenroom.core.actions import computer, responses_api
from greenroom.core.actions.actions import (
    MAX_ACTIONS,
    MAX_TEXT_BYTES,
    MAX_TOTAL_SECONDS,
    Action,
    Clipboard,
    Press,
    WaitStep,
    Write,
)
from greenroom.core.errors import Invalid

FOCUS: Final = "focus"
"""The only action that needs an element itself instead of its place on the screen."""
_PLACE_FIELDS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    field: {
        str(info.tag): names
        for kind in union.__args__
        if (info := kind.__struct_config__) and set(names) <= set(kind.__struct_fields__)
    }
    for field, union, names in (
        ("action", computer.Verb, ("coordinate",)),
        ("type", responses_api.Verb, ("x", "y")),
    )
}
"""The field that names the action (`action` or `type`) → the actions at a place on the screen → their fields for the
place.
"""

Place = tuple[int, int] | str
"""The place of an element, or a sentence with the reason why there is none."""


def refs_of(items: Sequence[object]) -> list[str]:
    """Return the references of the elements whose places the actions need, without duplicates."""
    refs = [ref for item in items if (ref := _ref_of(item)) is not None]
    return list(dict.fromkeys(ref for ref in refs if isinstance(ref, str)))


def located(items: Sequence[object], places: Mapping[str, Place]) -> list[object]:
    """Replace references to elements by places. Raises Invalid: an element or its place does not exist."""
    return [_located(item, places, f"actions[{index}].ref") for index, item in enumerate(items)]


def _ref_of(item: object) -> object:
    """Return the reference of the element in an action; None if the action does not need its place."""
    if not isinstance(item, Mapping):
        return None
    fields = cast("Mapping[Any, Any]", item)
    return None if fields.get("action") == FOCUS else fields.get("ref")


def _located(item: object, places: Mapping[str, Place], where: str) -> object:
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
"""Fields whose content is checked in addition to their type. No action has more than one of them."""
_ELEMENTS: Final = frozenset(("selector", "xpath", "element"))
"""Fields that name an element of a web page."""
MAX_REASON: Final = 200
"""Maximum characters of a reason, which can contain arbitrary names from the client."""
MAX_DEPTH: Final = 2
"""The levels of lists and objects below which an action has no numbers; the path of a drag has two."""
VERBS: Final[dict[str, tuple[str, ...]]] = {
    field: tuple(str(info.tag) for kind in union.__args__ if (info := kind.__struct_config__))
    for field, union in (("action", computer.Verb), ("type", responses_api.Verb))
}
"""The verbs of each dialect, by the field that names them."""


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
    for name in _ELEMENTS & fields.keys():
        raise Invalid(f"{where}.{name}: use DevTools for elements of a page, at `urls.cdp` of the lease.")
    field = "action" if "action" in fields else "type"
    verb, verbs = fields.get(field), VERBS[field]
    if not isinstance(verb, str):
        raise Invalid(f"{where}: `action` is missing; it is one of {', '.join(VERBS['action'])}.")
    if verb not in verbs:
        near = difflib.get_close_matches(verb[:40], verbs, n=3, cutoff=0.5)
        instead = f"did you mean {' or '.join(near)}?" if near else f"it is one of {', '.join(verbs)}."
        raise Invalid(f"{where}.{field}: there is no action {verb[:40]!r}; {instead}")
    try:
        parsed: computer.Verb | responses_api.Verb = (
            msgspec.convert(fields, computer.Verb) if field == "action" else msgspec.convert(fields, responses_api.Verb)
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
    """Return the value with whole numbers as integers, because some languages have only floats and send 5.0."""
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
