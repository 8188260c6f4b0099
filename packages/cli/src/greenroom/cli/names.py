"""Names and ids: names in the input become ids, and ids without names in the output become names.

The input may be the id itself or the name. A response that already has the name is not changed.
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.noun import Noun
from greenroom.cli.nouns import NOUNS

ID_FIELDS: Final = {
    "images": "images",
    "default_image": "images",
    "web_filter_policy": "filter-policies",
    "server_id": "agents",
}
"""Field of a response, or setting, with an id but without a name → its noun."""


def with_names(client: Client, row: Row) -> Row:
    """Return `row` with names in place of ids. An id without a name, or that this key may not look up, is not
    changed.
    """
    return {name: _with_name(client, name, value) for name, value in row.items()}


def _with_name(client: Client, field: str, value: Any) -> Any:
    if isinstance(value, dict):
        return with_names(client, cast("Row", value))
    many = isinstance(value, list)
    ids = cast("list[Any]", value) if many else [value]
    if field not in ID_FIELDS or not ids or not all(_is_id(part) for part in ids):
        return value
    names = _names(client, NOUNS[ID_FIELDS[field]])
    texts = [names.get(part, part) for part in ids]
    return texts if many else texts[0]


def _names(client: Client, noun: Noun) -> dict[str, str]:
    try:
        rows = client.rows(noun.path)
    except ApiError:  # a key may be allowed to see one noun and not another
        return {}
    return {row[noun.key]: row[noun.name or noun.key] for row in rows}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _uuid(value) is not None


def find_id(client: Client, noun: Noun, name_or_id: str) -> str:
    """Return the id of the `noun` with the name or id `name_or_id`.

    Raises:
        ApiError: there is none, or several have that name.
    """
    if (uuid := _uuid(name_or_id)) is not None:
        return uuid
    if noun.found_by_server:
        return str(client.get(f"{noun.path}/{quote(name_or_id, safe='')}")[noun.key])
    if noun.name is None:
        raise ApiError(f"There is no {noun.singular} {name_or_id}; specify its id, see greenroom {noun.noun} list.")
    query = {noun.search: name_or_id} if noun.search else {}
    found = matching_rows(client.rows(noun.path, query), noun, name_or_id)
    if len(found) > 1:
        ids = ", ".join(str(row[noun.key]) for row in found)
        raise ApiError(f"Several {noun.plural} have the name {name_or_id}; specify the id of one: {ids}.")
    if not found:
        raise ApiError(f"There is no {noun.singular} {name_or_id}; see greenroom {noun.noun} list.")
    return str(found[0][noun.key])


def matching_rows(rows: list[Row], noun: Noun, name_or_id: str) -> list[Row]:
    """Return the rows with this id or name. A name that differs in case counts only if no name matches exactly."""
    exact = [row for row in rows if name_or_id in (row[noun.key], row[noun.name or noun.key])]
    return exact or [row for row in rows if str(row[noun.name or noun.key]).casefold() == name_or_id.casefold()]


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
