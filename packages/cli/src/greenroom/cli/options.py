"""Options from the fields of a request, and the request from the passed options.

`--enabled/--no-enabled` for a boolean; a name or id for a reference; the option of a list can be repeated, and a single
empty value empties the list; the option of an object takes `NAME=VALUE` (repeated) or a JSON object; `null` for a
nullable field; `-` reads a secret from stdin. Fields without an option in the call are not sent.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import Client
from greenroom.cli.noun import Field, Noun
from greenroom.cli.nouns import NOUNS, REFERENCES
from greenroom.cli.output import Row
from greenroom.cli.values import assignments, duration, items_of, moment, number, text_of

NULL: Final = object()
"""The value of an option `null`: set the field to null. None = the option was not passed."""

Read = Callable[[Any, Client], Any]


@dataclass(frozen=True, slots=True)
class FieldOption:
    """The option of one field: the parameter of a command, and the conversion of its value for the request."""

    field: str
    parameter: inspect.Parameter
    read: Read


def body_of(options: Sequence[FieldOption], values: Mapping[str, Any], client: Client) -> Row:
    """Return the request, with the fields that were passed."""
    passed = [(option, values[option.field]) for option in options if values[option.field] not in (None, [])]
    return {option.field: None if value is NULL else option.read(value, client) for option, value in passed}


def argument(name: str, metavar: str, text: str) -> inspect.Parameter:
    """Return the positional parameter of a command."""
    annotation = Annotated[str, typer.Argument(metavar=metavar, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


SECRETS: Final = frozenset({"docker_token"})
"""Secret fields that the api accepts as plain text."""
FILES: Final = frozenset({"ssh_public_key", "ssh_private_key"})
"""Fields whose option takes the path of a file; `-` = stdin."""
SECRET_FILES: Final = frozenset({"value"})
"""Secret fields whose option takes the path of a file, and never the secret: other users of the machine can read
arguments.
"""
DURATIONS: Final = {"expiration": "h", "hours": "h", "session_time_limit": "s", "deadline_s": "s"} | dict.fromkeys(
    ("idle_s", "order_deadline_s"), "s"
)
"""Fields with a duration, and its unit."""
FUTURE_TIMES: Final = frozenset({"expires"})
"""Times in the future. A duration for such a field counts from now; for all others it is in the past."""
SINGULAR: Final = {"groups": "group", "permissions": "permission", "categories": "category", "events": "event"} | {
    "hosts": "host",
    "users": "user",
}
"""Field → its repeated option, named in the singular."""
FLAGS: Final = frozenset({"force", "enable"})
"""Booleans whose option has no negative form."""
RENAMED: Final = {"url": "address", "enable_agent": "enable"}
"""Field → its option, if that has another name, e.g. because the option is that of the deployment."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """The parsing of an option: its type for typer or its parser, its metavar, and a note for its help."""

    annotation: Any = str
    read: Read = lambda value, _: value
    parser: Callable[[str], Any] | None = None
    metavar: str | None = None
    note: str = ""


def options_of(fields: Iterable[Field], *, with_null: bool = True) -> list[FieldOption]:
    """Return an option for each field, required fields first. `with_null`: a nullable field accepts `null`; False if
    null means the same as an omitted field.
    """
    ordered = sorted(fields, key=lambda field: (not field.is_required, field.name not in REFERENCES))
    return [_option(field, with_null=with_null) for field in ordered]


def _option(field: Field, *, with_null: bool) -> FieldOption:
    kind = _kind(field)
    text = _help(field, kind.note)
    name = RENAMED.get(field.name, field.name)
    if field.is_nullable and with_null and not field.choices:
        kind = replace(kind, annotation=str, parser=_or_null(kind), metavar=f"{kind.metavar or 'TEXT'}|null")
    option = typer.Option(
        *_names(name, is_boolean=kind.annotation is bool), help=text, parser=kind.parser, metavar=kind.metavar
    )
    parameter = inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind.annotation if field.is_required else kind.annotation | None, option],
        default=inspect.Parameter.empty if field.is_required else None,
    )
    return FieldOption(field.name, parameter, kind.read)


def _names(name: str, *, is_boolean: bool) -> list[str]:
    full = name.replace("_", "-")
    if is_boolean:
        return [f"--{full}" if name in FLAGS else f"--{full}/--no-{full}"]
    short = SINGULAR.get(name) or (full.removesuffix("-id") if name in REFERENCES else full)
    return [f"--{short}"] if short == full else [f"--{short}", f"--{full}"]


def _help(field: Field, note: str) -> str:
    text = f"{field.description} ({note})" if field.description and note else field.description or note
    text += "; may be repeated" if text and field.holds != "one" else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


_KINDS: Final = {
    "boolean": _Kind(bool),
    "integer": _Kind(int, metavar="INTEGER"),
    "number": _Kind(float, parser=number, metavar="NUMBER"),
    "uuid": _Kind(metavar="UUID"),
}
"""Type of a field → the kind of its option. All other values are not converted."""


def _kind(field: Field) -> _Kind:
    if field.holds == "object":
        return _Kind(list[str], lambda value, _: _object(field, value), metavar="NAME=VALUE")
    if field.name in REFERENCES:
        return _reference(NOUNS[REFERENCES[field.name]], is_list=field.holds == "list")
    if field.holds == "list":
        return _Kind(list[str], lambda value, _: items_of(value))
    if field.type == "password" or field.name in FILES | SECRETS:
        return _secret_or_file(field)
    return _single(field)


def _single(field: Field) -> _Kind:
    if field.choices:
        return _Kind(StrEnum(field.name, {choice: choice for choice in field.choices}))
    if field.name in DURATIONS:
        is_whole = field.type == "integer"
        return _Kind(
            int if is_whole else float, parser=duration(DURATIONS[field.name], whole=is_whole), metavar="DURATION"
        )
    if field.type == "date-time":
        return _Kind(parser=moment(ahead=field.name in FUTURE_TIMES), metavar="TIME")
    return _KINDS.get(field.type, _Kind())


def _secret_or_file(field: Field) -> _Kind:
    name = field.name
    if name in FILES:
        return _Kind(read=lambda value, _: text_of(value), metavar="FILE", note="a file; '-' = stdin")
    if name in SECRET_FILES:
        note = "a file; '-' prompts for the value, or reads a line from stdin"
        return _Kind(read=lambda value, _: _value(name, value), metavar="FILE", note=note)
    return _Kind(read=lambda value, _: _secret(name, value), note="'-' prompts for it, or reads it from stdin")


def _object(field: Field, items: list[str]) -> Row:
    from greenroom.core.access.group_settings import SETTINGS  # noqa: PLC0415 -- slow to import, and rarely used

    return assignments(items, as_texts=field.type == "string", settings=SETTINGS if field.name == "settings" else None)


def _reference(noun: Noun, *, is_list: bool) -> _Kind:
    if is_list:
        return _Kind(
            list[str],
            lambda value, client: [noun.find_id(client, item) for item in items_of(value)],
            note=f"a {noun.singular}, {noun.by}",
        )
    metavar = noun.singular.upper().replace(" ", "_")
    note = f"the {noun.singular}, {noun.by}"
    return _Kind(read=lambda value, client: noun.find_id(client, value), metavar=metavar, note=note)


def _or_null(kind: _Kind) -> Callable[[str], Any]:
    parse: Callable[[str], Any] = kind.parser or kind.annotation
    return lambda text: NULL if text == "null" else parse(text)


def _secret(name: str, value: str) -> str:
    """Return a secret that must not be in the list of processes: `-` prompts for it; without a terminal, it reads a
    line.
    """
    if value != "-":
        return value
    return getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _value(name: str, value: str) -> str:
    """Return a secret from a file, or for `-` as `_secret` does. Raises typer.BadParameter: there is no such file; the
    sentence does not repeat the argument, which may be the secret itself."""
    if value == "-":
        return _secret(name, value)
    if not Path(value).is_file():
        raise typer.BadParameter(
            f"The file of --{name} does not exist. Pass a file that contains the secret, or - to enter it or to send it"
            " as a line on stdin. The option does not accept the secret, because other users can read arguments."
        )
    return text_of(value).rstrip("\r\n")
