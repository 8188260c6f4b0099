"""Masks the values of secrets and variables; their names stay visible.

The variables of workspaces, groups and launches are in the fields named `environment` of a JSON value, at any depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogDetails

SECRET_FIELDS: Final = frozenset(
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
"""Names of fields, at any depth, whose values are always masked."""

ENVIRONMENT: Final = "environment"
"""Fields of this name, at any depth, contain variables: their names are visible, their values are masked."""

MASK: Final = "(secret)"


def masked(name: str, value: object) -> Any:
    """Return `value` of the field `name` with its secrets masked. None stays None."""
    if value is None:
        return None
    if name in SECRET_FIELDS:
        return MASK
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        if name == ENVIRONMENT:
            return dict.fromkeys(fields, MASK)
        return {key: masked(key, part) for key, part in fields.items()}
    if isinstance(value, list):
        return [masked("", part) for part in cast("list[object]", value)]
    return MASK if name == ENVIRONMENT else value


def masked_difference(before: LogDetails, after: LogDetails) -> tuple[LogDetails, LogDetails]:
    """Return the old values and the new values of the changed fields, masked. Only fields of `after` are compared.
    Objects are compared field by field: `{"settings": {"idle_disconnect": 30}}` differs at `settings.idle_disconnect`.
    A value that is absent on one side is None.
    """
    changes = [change for name in after for change in _changes(name, name, before.get(name), after[name])]
    return {path: old for path, old, _ in changes}, {path: new for path, _, new in changes}


def _changes(path: str, name: str, before: object, after: object) -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, old, new) of all differences below the field `name`."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old_fields, new_fields = cast("Mapping[str, object]", before), cast("Mapping[str, object]", after)
        for key in dict.fromkeys((*old_fields, *new_fields)):
            child_name = ENVIRONMENT if name == ENVIRONMENT else key
            yield from _changes(f"{path}.{key}", child_name, old_fields.get(key), new_fields.get(key))
        return
    yield path, masked(name, cast("object", before)), masked(name, after)


VariableChange = Callable[[str, str | None], str]
"""(value of a variable, its value in the other version of the object or None) → new value."""


def replace_variables(value: object, change: VariableChange, other: object = None, *, name: str = "") -> Any:
    """Return `value` of the field `name`, with `change` applied to the value of every variable.

    `other` is another version of the object; `change` also gets the variable's value in `other`. Variables are the
    entries of the field `environment`; the other fields stay unchanged.
    """
    if isinstance(value, list):
        return [replace_variables(part, change) for part in cast("list[object]", value)]
    if not isinstance(value, Mapping):
        return value
    fields = cast("Mapping[str, object]", value)
    other_fields = cast("Mapping[str, object]", other if isinstance(other, Mapping) else {})
    if name == ENVIRONMENT:
        return {key: change(str(text), _text(other_fields.get(key))) for key, text in fields.items()}
    return {key: replace_variables(part, change, other_fields.get(key), name=key) for key, part in fields.items()}


def seal_variables(value: object, stored: object, seal: Callable[[str], str], *, name: str = "") -> Any:
    """Return the value to store: `seal` encrypts each variable, and a variable with the value `MASK` keeps its value in
    `stored`. Raises Invalid: a variable with the value `MASK` has no value in `stored`.
    """

    def change(text: str, before: str | None) -> str:
        if text != MASK:
            return seal(text)
        if before is None:
            raise Invalid(
                f"A variable has the value {MASK}, which stands for a stored value, but none is stored. Set its value."
            )
        return before

    return replace_variables(value, change, stored, name=name)


def unseal_variables(stored: object, unseal: Callable[[str], str], *, plain: bool) -> Any:
    """Return the stored value. If `plain`, `unseal` decrypts its variables; otherwise, they are masked."""
    return replace_variables(stored, lambda text, _: unseal(text) if plain else MASK)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
