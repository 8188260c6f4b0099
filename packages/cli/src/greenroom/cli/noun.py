"""The description of a noun of the command line, and the names and ids of its objects; `nouns` has the table of all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from greenroom.cli.client import ApiError, Client
from greenroom.cli.output import Column, Parts, Row


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a request: of its body, or a query parameter of a list. `type` is that of each value."""

    name: str
    description: str = ""
    type: str = "string"
    holds: Literal["one", "list", "object"] = "one"
    choices: tuple[str, ...] = ()
    is_required: bool = False
    is_nullable: bool = False


class Operation(msgspec.Struct, frozen=True):
    """An operation of the api: the first sentence about it, and the fields of its request."""

    text: str
    fields: tuple[Field, ...]


API: Final[Mapping[str, Operation]] = msgspec.json.decode(
    Path(__file__).with_name("api.json").read_bytes(), type=dict[str, Operation]
)
"""Name of an operation, such as `PATCH /zones/{zone_id}` → the operation; script/generate_from_api.py writes the file.
"""
_KEYS: Final = {
    found[1]: found[2] for operation in API if (found := re.fullmatch(r"GET (/[\w-]+)/\{(\w+)\}", operation))
}
"""Path of a list → the name of the ids of its objects."""


@dataclass(frozen=True, slots=True)
class RequestVerb:
    """A verb that sends one request about an object and displays the answer; a list has `columns`. `path` is below that
    of the object. `body` has fixed values; without it the body consists of the fields that the caller passes. Without
    `help`, the help is that of the operation.
    """

    verb: str
    help: str = ""
    body: Row | None = None
    method: str = "PATCH"
    path: str = ""
    columns: tuple[Column, ...] = ()
    empty_text: str = "The list is empty."


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun.

    `singular` is its name in sentences, `several` its plural if that is irregular. `list_path` is the path of its list,
    if that has another name. `name` is the field with the name; `found_by_server`: the server accepts that name itself;
    `search`: the query parameter that narrows a long list to a name. `without` has the verbs that other modules define
    or that no command needs, and the fields without an option. `actions` are further verbs. `parts` are displayed as
    tables by `get`.
    """

    noun: str
    singular: str
    _: KW_ONLY
    columns: tuple[Column, ...]
    several: str | None = None
    list_path: str | None = None
    name: str | None = None
    found_by_server: bool = False
    search: str | None = None
    without: frozenset[str] = frozenset()
    actions: tuple[RequestVerb, ...] = ()
    parts: Parts = ()

    @property
    def path(self) -> str:
        """The path of the list."""
        return self.list_path or f"/{self.noun}"

    @property
    def key(self) -> str:
        """The field with the id."""
        return _KEYS[self.path]

    @property
    def plural(self) -> str:
        return self.several or f"{self.singular}s"

    @property
    def by(self) -> str:
        return f"by {self.name.replace('_', ' ')} or id" if self.name else "by id"

    def operation(self, method: str, path: str = "") -> str:
        """Return the operation of the api on one object, or on the `path` below it."""
        return f"{method} {self.path}/{{{self.key}}}{path}"

    def find_id(self, client: Client, name_or_id: str) -> str:
        """Return the id of the object with this name or id. Raises ApiError: there is none, or several have that
        name."""
        if (uuid := uuid_of(name_or_id)) is not None:
            return uuid
        if self.found_by_server:
            return str(client.get(f"{self.path}/{quote(name_or_id, safe='')}")[self.key])
        if self.name is None:
            raise ApiError(f"There is no {self.singular} {name_or_id}; specify its id, see greenroom {self.noun} list.")
        query = {self.search: name_or_id} if self.search else {}
        found = self.matching(client.rows(self.path, query), name_or_id)
        if len(found) > 1:
            ids = ", ".join(str(row[self.key]) for row in found)
            raise ApiError(f"Several {self.plural} have the name {name_or_id}; specify the id of one: {ids}.")
        if not found:
            raise ApiError(f"There is no {self.singular} {name_or_id}; see greenroom {self.noun} list.")
        return str(found[0][self.key])

    def matching(self, rows: list[Row], name_or_id: str) -> list[Row]:
        """Return the rows with this id or name. A name that differs in case counts only if no name matches exactly."""
        name = self.name or self.key
        exact = [row for row in rows if name_or_id in (row[self.key], row[name])]
        return exact or [row for row in rows if str(row[name]).casefold() == name_or_id.casefold()]


def uuid_of(text: str) -> str | None:
    """Return the uuid in its normal form; None if the text is no uuid."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
