"""From what a person types to an id: the id itself, or the name of a named thing."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.nouns import Noun


def find_id(client: Client, noun: Noun, given: str) -> str:
    """The id of the `noun` that `given` names.

    Raises:
        ApiError: there is none, or several have that name.
    """
    if (uuid := _uuid(given)) is not None:
        return uuid
    if noun.found_by_server:
        return str(client.get(f"{noun.path}/{quote(given, safe='')}")[noun.key])
    if noun.name is None:
        raise ApiError(f"There is no {noun.what} {given}; it is named by its id, see greenroom {noun.noun} list.")
    query = {noun.search: given} if noun.search else {}
    found = named(client.rows(noun.path, query), noun, given)
    if len(found) > 1:
        ids = ", ".join(str(row[noun.key]) for row in found)
        raise ApiError(f"{given} is the name of several; name the {noun.what} by its id: {ids}.")
    if not found:
        raise ApiError(f"There is no {noun.what} {given}; see greenroom {noun.noun} list.")
    return str(found[0][noun.key])


def named(rows: list[Row], noun: Noun, given: str) -> list[Row]:
    """The rows with this id or name; a name in other letters of case counts when none is written exactly so."""
    exact = [row for row in rows if given in (row[noun.key], row[noun.name or noun.key])]
    return exact or [row for row in rows if str(row[noun.name or noun.key]).casefold() == given.casefold()]


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
