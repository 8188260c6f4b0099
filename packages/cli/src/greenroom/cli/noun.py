"""The types of nouns and verbs of the command line, and the search for objects by name or id.

In `greenroom users list`, `users` is the noun and `list` is the verb. `greenroom.cli.nouns` contains all nouns.
"""

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
from greenroom.cli.output import Column, NestedTables, Row


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a request: a field of its body, or a query parameter. `shape` states whether the field has one value,
    a list of values, or an object with values; `type` is the type of each value."""

    name: str
    description: str = ""
    type: str = "string"
    shape: Literal["one", "list", "object"] = "one"
    choices: tuple[str, ...] = ()
    is_required: bool = False
    is_nullable: bool = False


class Operation(msgspec.Struct, frozen=True):
    """An operation of the api: the first sentence of its description, and the fields of its request."""

    text: str
    fields: tuple[Field, ...]


API: Final[Mapping[str, Operation]] = msgspec.json.decode(
    Path(__file__).with_name("api.json").read_bytes(), type=dict[str, Operation]
)
"""Name of an operation, such as `PATCH /zones/{zone_id}` → the operation; see script/generate_from_api.py."""
_ID_FIELDS: Final = {
    match[1]: match[2] for operation in API if (match := re.fullmatch(r"GET (/[\w-]+)/\{(\w+)\}", operation))
}
"""Path of a list → the field with the id of an object."""


@dataclass(frozen=True, slots=True)
class RequestVerb:
    """A verb that sends one request about an object and displays the response. `path` is relative to the path of the
    object. `body` contains fixed values; None = the body contains the passed options. `columns` are the columns of a
    response that is a list. An empty `help` is replaced by the description of the operation."""

    verb: str
    help: str = ""
    body: Row | None = None
    method: str = "PATCH"
    path: str = ""
    columns: tuple[Column, ...] = ()
    empty_text: str = "The list is empty."


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun of the command line, such as `users`, with its list in the api.

    `noun` is the word in commands, `singular` the name in sentences. `list_path` is the path of the list in the api;
    None = the noun. `name_field` is the field with the name of an object; with `server_accepts_name`, paths of the api
    accept this name in place of the id. `search_parameter` is the query parameter that filters a long list by name.
    `excluded` contains the verbs that are not generated for this noun, and the fields that get no option.
    `actions` contains additional verbs. `get` displays the fields in `nested_tables` as tables.
    If no object has a name, `also` is the noun whose objects are searched.
    """

    noun: str
    singular: str
    _: KW_ONLY
    columns: tuple[Column, ...]
    irregular_plural: str | None = None
    list_path: str | None = None
    name_field: str | None = None
    server_accepts_name: bool = False
    search_parameter: str | None = None
    excluded: frozenset[str] = frozenset()
    actions: tuple[RequestVerb, ...] = ()
    nested_tables: NestedTables = ()
    also: Noun | None = None

    @property
    def path(self) -> str:
        """The path of the list in the api."""
        return self.list_path or f"/{self.noun}"

    @property
    def id_field(self) -> str:
        """The field with the id of an object."""
        return _ID_FIELDS[self.path]

    @property
    def plural(self) -> str:
        return self.irregular_plural or f"{self.singular}s"

    @property
    def identified_by(self) -> str:
        return f"by {self.name_field.replace('_', ' ')} or id" if self.name_field else "by id"

    def operation(self, method: str, path: str = "") -> str:
        """Return the operation of the api on one object, or on the `path` below it."""
        return f"{method} {self.path}/{{{self.id_field}}}{path}"

    def find_id(self, client: Client, name_or_id: str) -> str:
        """Return the id of the object with this name or id. Raises ApiError: no object or several objects have this
        name."""
        if (uuid := parse_uuid(name_or_id)) is not None:
            return uuid
        if self.server_accepts_name:
            return str(client.get(f"{self.path}/{quote(name_or_id, safe='')}")[self.id_field])
        ids = self.ids_with_name(client, name_or_id) if self.name_field else []
        if not ids and self.also:
            ids = self.also.ids_with_name(client, name_or_id)
        ids = ids or self._ids_with_beginning(client, name_or_id)
        if len(ids) > 1:
            raise ApiError(
                f"Several {self.plural} have the name {name_or_id}; specify the id of one: {', '.join(ids)}."
            )
        if not ids:
            remedy = "" if self.name_field else " specify its id,"
            raise ApiError(f"There is no {self.singular} {name_or_id};{remedy} see greenroom {self.noun} list.")
        return ids[0]

    def _ids_with_beginning(self, client: Client, digits: str) -> list[str]:
        """Return the ids with this beginning; none if it is not at least the 8 digits that the log shows."""
        if not re.fullmatch(r"[0-9a-f]{8}[0-9a-f-]*", digits):
            return []
        return [str(row[self.id_field]) for row in client.rows(self.path) if str(row[self.id_field]).startswith(digits)]

    def ids_with_name(self, client: Client, name_or_id: str) -> list[str]:
        """Return the ids of the objects with this id or name."""
        query = {self.search_parameter: name_or_id} if self.search_parameter else {}
        rows = self.matching_rows(client.rows(self.path, query), name_or_id)
        return [str(row[self.id_field]) for row in rows]

    def matching_rows(self, rows: list[Row], name_or_id: str) -> list[Row]:
        """Return the rows with this id or name. A name that differs in case counts only if no name matches exactly."""
        name = self.name_field or self.id_field
        exact = [row for row in rows if name_or_id in (row[self.id_field], row[name])]
        return exact or [row for row in rows if str(row[name]).casefold() == name_or_id.casefold()]


def parse_uuid(text: str) -> str | None:
    """Return the UUID in its normal form; None if the text is not a UUID."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
