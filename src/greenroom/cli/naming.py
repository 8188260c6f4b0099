"""Names instead of bare ids in what people are shown; an answer that has the name beside the id is left as it is."""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.nouns import NOUNS, Noun

BARE: Final = {
    "images": "images",
    "default_image": "images",
    "web_filter_policy": "filter-policies",
    "server_id": "agents",
}
"""Fields of answers, and settings, with ids that stand alone → the noun they are of."""


def with_names(client: Client, row: Row) -> Row:
    """`row` with names in the place of ids; one that has none, or that this key may not look up, stays an id."""
    return {name: _named(client, name, value) for name, value in row.items()}


def _named(client: Client, field: str, value: Any) -> Any:
    if isinstance(value, dict):
        return with_names(client, cast("Row", value))
    many = isinstance(value, list)
    ids = cast("list[Any]", value) if many else [value]
    if field not in BARE or not ids or not all(_is_id(part) for part in ids):
        return value
    names = _names(client, NOUNS[BARE[field]])
    shown = [names.get(part, part) for part in ids]
    return shown if many else shown[0]


def _names(client: Client, noun: Noun) -> dict[str, str]:
    try:
        rows = client.rows(noun.path)
    except ApiError:  # a key may be allowed to see the one thing and not the other
        return {}
    return {row[noun.key]: row[noun.name or noun.key] for row in rows}


def _is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False
