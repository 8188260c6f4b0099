"""The variables of workspaces, groups and launches: fields named `environment`, at any depth, of JSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from greenroom.core.errors import Invalid
from greenroom.core.masking import ENVIRONMENT, MASK

Change = Callable[[str, str | None], str]
"""New value of a variable, given this one and the one that another version of the object has in its place."""


def with_variables(value: object, change: Change, other: object = None, *, name: str = "") -> Any:
    """`value` of the field `name`, with the value of every variable changed.

    Args:
        value: a JSON value; it stays as it is.
        change: what becomes of each variable.
        other: another version of the object, whose variables `change` is given beside.
        name: of the field; the variables of the field `environment` are its entries.
    """
    if isinstance(value, list):
        return [with_variables(part, change) for part in cast("list[object]", value)]
    if not isinstance(value, Mapping):
        return value
    inner = cast("Mapping[str, object]", value)
    beside = cast("Mapping[str, object]", other if isinstance(other, Mapping) else {})
    if name == ENVIRONMENT:
        return {key: change(str(text), _text(beside.get(key))) for key, text in inner.items()}
    return {key: with_variables(part, change, beside.get(key), name=key) for key, part in inner.items()}


def sealed(given: object, stored: object, seal: Callable[[str], str], *, name: str = "") -> Any:
    """What was given, as it is stored: each variable sealed; one that is given masked stays as it is stored.

    Raises:
        Invalid: a masked variable has no value yet.
    """

    def change(text: str, before: str | None) -> str:
        if text != MASK:
            return seal(text)
        if before is None:
            raise Invalid(f"{MASK} stands for the value a variable has, and one has none yet; give its value.")
        return before

    return with_variables(given, change, stored, name=name)


def shown(stored: object, opened: Callable[[str], str], *, plain: bool) -> Any:
    """What is stored, as it is shown: variables with their values where `plain`, else with their names alone."""
    return with_variables(stored, lambda text, _: opened(text) if plain else MASK)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
