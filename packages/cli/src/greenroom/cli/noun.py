"""The description of one noun of the command line; `nouns` has the table of all nouns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greenroom.cli.output import Column, Parts, Row


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body or a query parameter of a list, with the type of its value if that is not null."""

    name: str
    kind: Any = str
    description: str = ""
    is_required: bool = False
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class ChangeVerb:
    """A verb that sets some fields of one object to fixed values."""

    verb: str
    body: Row
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A noun.

    `singular` and `plural` are its names in sentences. `key` is the field with the id. `name` is the field with the
    name, `called` the word of users for it; `found_by_server`: the server accepts that name itself; `search`: the query
    parameter that narrows a long list to a name. Fields in `without` have no option, because they cannot be changed or
    no command needs them. `changes` are further verbs. `force` is the help of `delete --force`; None = no such option.
    `parts` are displayed as tables by `get`. `filters` are the query parameters of the list. `create` and `update` are
    models of the api, `MODULE:NAME`, which are imported when the options of their verb are created.
    """

    noun: str
    path: str
    singular: str
    plural: str
    key: str
    columns: tuple[Column, ...]
    name: str | None = None
    called: str = "name"
    found_by_server: bool = False
    search: str | None = None
    filters: tuple[Field, ...] = ()
    create: str | None = None
    update: str | None = None
    without: frozenset[str] = frozenset()
    changes: tuple[ChangeVerb, ...] = ()
    delete: bool = True
    force: str | None = None
    parts: Parts = ()

    @property
    def by(self) -> str:
        return f"by {self.called} or id" if self.name else "by id"
