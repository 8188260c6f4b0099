"""The options of a command that are fields of a request; `fields` makes them from the models of the api."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import Client
from greenroom.cli.output import Row

NULL: Final = object()
"""`null` was given: set the field to null. None = the option was not given."""

Read = Callable[[Any, Client], Any]


@dataclass(frozen=True, slots=True)
class FieldOption:
    """The option of one field: the parameter of a command, and the conversion of its value for the request."""

    field: str
    parameter: inspect.Parameter
    read: Read


def body_of(options: Sequence[FieldOption], given: Mapping[str, Any], client: Client) -> Row:
    """The request, with the fields that were given."""
    read = {option.field: (option.read, given.get(option.field)) for option in options}
    return {
        name: None if value is NULL else reader(value, client)
        for name, (reader, value) in read.items()
        if value is not None and value != []
    }


def argument(name: str, metavar: str, text: str) -> inspect.Parameter:
    """The positional parameter of a command."""
    annotation = Annotated[str, typer.Argument(metavar=metavar, help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
