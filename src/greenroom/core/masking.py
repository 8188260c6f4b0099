"""What of a change may be shown: secrets and the values of environments are named, never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

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
"""Names of fields, at any depth, whose values are never shown."""

ENVIRONMENT: Final = "environment"
"""Fields of this name, at any depth, hold variables: their names are shown, their values are not."""

MASK: Final = "(secret)"


def masked(name: str, value: object) -> Any:
    """`value` of the field `name` as it may be shown. An absent value (None) is no secret."""
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


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what changed, with its old and new values, masked; the fields are those of `after`.

    Objects are looked into: `{"settings": {"idle_disconnect": 30}}` differs at `settings.idle_disconnect`. Where one
    side has nothing its value is None.
    """
    changes = [change for name in after for change in _changes(name, name, before.get(name), after[name])]
    return {path: old for path, old, _ in changes}, {path: new for path, _, new in changes}


def _changes(path: str, name: str, before: object, after: object) -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of everything that differs below the field `name`."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        one, other = cast("Mapping[str, object]", before), cast("Mapping[str, object]", after)
        for key in dict.fromkeys((*one, *other)):
            inner = ENVIRONMENT if name == ENVIRONMENT else key
            yield from _changes(f"{path}.{key}", inner, one.get(key), other.get(key))
        return
    yield path, masked(name, cast("object", before)), masked(name, after)
