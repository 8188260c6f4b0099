"""Actions on elements of the screen: a reference (`ref`) of the accessibility tree stands where a coordinate would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from greenroom.core.actions import computer, responses_api
from greenroom.core.errors import Invalid

FOCUS: Final = "focus"
"""The one action that needs the element itself, and not its place."""
_AT: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
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
"""By the field that names it: each action that has a place, and its fields for that."""

Place = tuple[int, int] | str
"""Where an element is, or a sentence that says why not."""


def refs_of(items: Sequence[object]) -> list[str]:
    """The elements whose places the actions need, each once."""
    found = [ref for item in items if (ref := _ref_of(item)) is not None]
    return list(dict.fromkeys(ref for ref in found if isinstance(ref, str)))


def located(items: Sequence[object], places: Mapping[str, Place]) -> list[object]:
    """The actions with places instead of elements.

    Raises:
        Invalid: an element is not there, or its action has no place; the sentence names the action.
    """
    return [_located(item, places, f"actions[{index}].ref") for index, item in enumerate(items)]


def _ref_of(item: object) -> object:
    """What an action has as its element; None where it needs no place of one."""
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
    names = _AT[field].get(str(fields.get(field)))
    if names is None:
        raise Invalid(f"{where}: only {', '.join((*_AT[field], FOCUS))} can be done at an element.")
    if not fields.keys().isdisjoint(names):
        raise Invalid(f"{where}: an action has an element or a coordinate, not both.")
    place = places.get(ref) if isinstance(ref, str) else None
    if not isinstance(place, tuple):
        raise Invalid(f"{where}: {place or 'this is no reference of the tree.'}")
    return fields | ({"coordinate": list(place)} if field == "action" else dict(zip(names, place, strict=True)))
