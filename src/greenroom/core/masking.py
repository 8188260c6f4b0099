"""What may be shown of secrets and variables: their names, not their values.

Variables of workspaces, groups and launches are the fields named `environment`, at any depth, of JSON values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogDetails

SECRETS: Final = frozenset(
    {
        "password",
        "password_hash",
        "docker_token",
        "docker_token_encrypted",
        "key_secret",
        "secret_hash",
        "ssh_private_key",
        "token",
    }
)
"""Names of fields, at any depth, that are never shown with their values."""

ENVIRONMENT: Final = "environment"
"""Fields of this name, at any depth, hold variables: the names are shown, the values are not."""

MASK: Final = "(secret)"


def masked(name: str, value: object) -> Any:
    """`value` of the field `name` as it may be shown. None is shown as it is."""
    if value is None:
        return None
    if name in SECRETS:
        return MASK
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value)
        if name == ENVIRONMENT:
            return dict.fromkeys(inner, MASK)
        return {key: masked(key, part) for key, part in inner.items()}
    if isinstance(value, list):
        return [masked("", part) for part in cast("list[object]", value)]
    return MASK if name == ENVIRONMENT else value


def difference(before: LogDetails, after: LogDetails) -> tuple[LogDetails, LogDetails]:
    """The changed fields with old and new values, masked; only fields of `after` count. Objects are compared inside:
    `{"settings": {"idle_disconnect": 30}}` differs at `settings.idle_disconnect`. A value that one side lacks is None.
    """
    changes = [change for name in after for change in _changes(name, name, before.get(name), after[name])]
    return {path: old for path, old, _ in changes}, {path: new for path, _, new in changes}


def _changes(path: str, name: str, before: object, after: object) -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of all differences below the field `name`."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        one, other = cast("Mapping[str, object]", before), cast("Mapping[str, object]", after)
        for key in dict.fromkeys((*one, *other)):
            inner = ENVIRONMENT if name == ENVIRONMENT else key
            yield from _changes(f"{path}.{key}", inner, one.get(key), other.get(key))
        return
    yield path, masked(name, cast("object", before)), masked(name, after)


Change = Callable[[str, str | None], str]
"""(value of a variable, its value in another version of the object) → new value."""


def with_variables(value: object, change: Change, other: object = None, *, name: str = "") -> Any:
    """`value` of the field `name`, with `change` applied to the value of every variable.

    `other` is another version of the object, from which `change` gets the other value of each variable. The variables
    of the field `environment` are its entries; all else stays as it is.
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
    """The given value as it is stored: each variable sealed; one that is given masked keeps its stored value.

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
    """The stored value as it is shown: variables with their values if `plain`, else only their names."""
    return with_variables(stored, lambda text, _: opened(text) if plain else MASK)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
