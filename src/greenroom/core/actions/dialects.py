"""Reads actions as clients send them. An item with `action` is one of the computer-use tool (`computer`), an item with
`type` one of the Responses API (`responses_api`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from greenroom.core.actions import computer, responses_api
from greenroom.core.actions.actions import Action, Copy, Press, Rest, Write
from greenroom.core.actions.limits import MOST_ACTIONS, MOST_SECONDS_TOGETHER, MOST_TEXT_BYTES
from greenroom.core.errors import Invalid

_WRITTEN: Final = ("text", "keys", "key", "url", "ref")
"""Fields that are read further than their type; no action has two of them."""
_ELEMENTS: Final = frozenset(("selector", "xpath", "element"))
"""Fields that name an element of a page."""
MOST_SHOWN: Final = 200
"""Characters of a reason, which may repeat names that the client made up."""
DEEPEST: Final = 2
"""Levels of lists and objects in which an action has numbers: those of a drag's path."""
VERBS: Final[dict[str, tuple[str, ...]]] = {
    field: tuple(str(info.tag) for kind in union.__args__ if (info := kind.__struct_config__))
    for field, union in (("action", computer.Verb), ("type", responses_api.Verb))
}
"""The verbs of each dialect, by the field that names them."""


def parse(items: Sequence[object]) -> list[Action]:
    """The actions of a batch.

    Raises:
        Invalid: an item is not an action, or the batch asks for too much; the sentence names the item.
    """
    if len(items) > MOST_ACTIONS:
        raise Invalid(f"actions: there are {len(items)}; at most {MOST_ACTIONS} are taken at once.")
    actions = [_read(item, f"actions[{index}]") for index, item in enumerate(items)]
    seconds = sum(_seconds(action) for action in actions)
    if seconds > MOST_SECONDS_TOGETHER:
        raise Invalid(f"actions: they wait {seconds:g} s together; at most {MOST_SECONDS_TOGETHER:g} s are taken.")
    size = sum(len(action.text.encode()) for action in actions if isinstance(action, (Write, Copy)))
    if size > MOST_TEXT_BYTES:
        raise Invalid(f"actions: their texts have {size} bytes together; at most {MOST_TEXT_BYTES} are taken at once.")
    return actions


def _read(item: object, where: str) -> Action:
    if not isinstance(item, Mapping):
        raise Invalid(f'{where}: this is no action; one looks like {{"action": "left_click", "coordinate": [x, y]}}.')
    # Clients send null for what they leave out.
    fields = {name: _whole(value) for name, value in cast("Mapping[Any, Any]", item).items() if value is not None}
    for name in _ELEMENTS & fields.keys():
        raise Invalid(f"{where}.{name}: elements of a page are reached by DevTools, at `urls.cdp` of the lease.")
    field = "action" if "action" in fields else "type"
    verb, verbs = fields.get(field), VERBS[field]
    if not isinstance(verb, str):
        raise Invalid(f"{where}: `action` is missing; it is one of {', '.join(VERBS['action'])}.")
    if verb not in verbs:
        near = difflib.get_close_matches(verb[:40], verbs, n=3, cutoff=0.5)
        instead = f"did you mean {' or '.join(near)}?" if near else f"it is one of {', '.join(verbs)}."
        raise Invalid(f"{where}.{field}: there is no action {verb[:40]!r}; {instead}")
    try:
        read: computer.Verb | responses_api.Verb = (
            msgspec.convert(fields, computer.Verb) if field == "action" else msgspec.convert(fields, responses_api.Verb)
        )
        return read.meaning()
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise Invalid(f"{where}{path.rstrip('`')}: {reason[:1].lower()}{reason[1:MOST_SHOWN]}.") from error
    except UnicodeEncodeError as error:
        raise Invalid(f"{where}: a name in it has half of a surrogate pair, which is no character.") from error
    except Invalid as error:
        written = next(name for name in _WRITTEN if name in fields)
        raise Invalid(f"{where}.{written}: {error.message}") from error


def _whole(value: Any, depth: int = DEEPEST) -> Any:
    """The value with whole numbers as integers: clients whose language has one type of numbers write 5.0."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list() if depth:
            return [_whole(part, depth - 1) for part in cast("list[Any]", value)]
        case dict() if depth:
            return {name: _whole(part, depth - 1) for name, part in cast("dict[Any, Any]", value).items()}
        case _:
            return value


def _seconds(action: Action) -> float:
    match action:
        case Rest(seconds):
            return seconds
        case Press(chords, seconds):
            return seconds * len(chords)
        case _:
            return 0
