"""Options from the fields of a request, and the request from the passed options.

`--enabled/--no-enabled` for a boolean; a name or id for a reference; the option of a list can be repeated, and a single
empty value empties the list; the option of an object takes `NAME=VALUE` (repeated) or a JSON object; `null` for a
nullable field; `-` reads a secret from stdin. Fields without an option in the call are not sent.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from getpass import getpass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, cast, get_args, get_origin
from uuid import UUID

import typer

from greenroom.cli.lazy import import_object
from greenroom.cli.names import find_id
from greenroom.cli.noun import Field, Noun
from greenroom.cli.nouns import NOUNS, REFERENCES
from greenroom.cli.output import Row
from greenroom.cli.values import assignments, duration, items_of, moment, number

if TYPE_CHECKING:
    from greenroom.cli.client import Client

NULL: Final = object()
"""The value of an option `null`: set the field to null. None = the option was not passed."""

Read = Callable[[Any, "Client"], Any]


@dataclass(frozen=True, slots=True)
class FieldOption:
    """The option of one field: the parameter of a command, and the conversion of its value for the request."""

    field: str
    parameter: inspect.Parameter
    read: Read


def body_of(options: Sequence[FieldOption], values: Mapping[str, Any], client: Client) -> Row:
    """Return the request, with the fields that were passed."""
    read = {option.field: (option.read, values.get(option.field)) for option in options}
    return {
        name: None if value is NULL else reader(value, client)
        for name, (reader, value) in read.items()
        if value is not None and value != []
    }


def argument(name: str, metavar: str, text: str) -> inspect.Parameter:
    """Return the positional parameter of a command."""
    annotation = Annotated[str, typer.Argument(metavar=metavar, help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


SECRETS: Final = frozenset({"docker_token"})
"""Secret fields that the api accepts as plain text."""
FILES: Final = frozenset({"ssh_public_key", "ssh_private_key"})
"""Fields whose option takes the path of a file; `-` = stdin."""
VALUES: Final = frozenset({"value"})
"""Secret fields whose option takes the path of a file, and never the secret: other users of the machine can read
arguments.
"""
DURATIONS: Final = {"expiration": "h", "hours": "h", "session_time_limit": "s", "deadline_s": "s"} | dict.fromkeys(
    ("idle_s", "order_deadline_s"), "s"
)
"""Fields with a duration, and its unit."""
AHEAD: Final = frozenset({"expires"})
"""Times in the future. A duration for such a field counts from now; for all others it is in the past."""
SINGULAR: Final = {"groups": "group", "permissions": "permission", "categories": "category", "events": "event"} | {
    "hosts": "host",
    "users": "user",
}
"""Field → its repeated option, named in the singular."""
RENAMED: Final = {"url": "address"}
"""Field → its option, if the option with its name is that of the deployment."""


class SecretText(str):
    """The type of a field whose value is secret."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """The parsing of an option: its type for typer or a parser instead, its metavar, and the part of its help about
    them.
    """

    annotation: Any
    read: Read
    parser: Callable[[str], Any] | None = None
    metavar: str | None = None
    note: str = ""


def fields_of(model: str) -> list[Field]:
    """Return the fields of a model of the api, `MODULE:NAME`."""
    from pydantic import AwareDatetime, SecretStr  # noqa: PLC0415 -- slow to import, and lists do without it

    from greenroom.core.access.group_settings import SETTINGS  # noqa: PLC0415 -- the same

    own = {AwareDatetime: datetime, SecretStr: SecretText}
    found: list[Field] = []
    for name, info in import_object(model).model_fields.items():
        kind, is_nullable = _unwrapped(info.annotation)
        text = info.description or (SETTINGS[name].description if name in SETTINGS else "")
        found.append(Field(name, own.get(kind, kind), text, info.is_required(), is_nullable))
    return found


def options_of(fields: Iterable[Field], *, with_null: bool = True) -> list[FieldOption]:
    """Return an option for every field, the required ones first. `with_null`: a nullable field accepts `null`; False if
    that equals no value.
    """
    ordered = sorted(fields, key=lambda field: (not field.is_required, field.name not in REFERENCES))
    return [_option(field, with_null=with_null) for field in ordered]


def _option(field: Field, *, with_null: bool) -> FieldOption:
    kind = _kind(field)
    text = _help(field, kind.note)
    if field.is_nullable and with_null and get_origin(field.kind) is not Literal:
        kind = _Kind(str, kind.read, _or_null(kind), f"{kind.metavar or 'TEXT'}|null")
    option = typer.Option(
        *_names(field.name, boolean=kind.annotation is bool),
        help=text,
        parser=kind.parser,
        metavar=kind.metavar,
        show_default=False,
    )
    parameter = inspect.Parameter(
        RENAMED.get(field.name, field.name),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind.annotation if field.is_required else kind.annotation | None, option],
        default=inspect.Parameter.empty if field.is_required else None,
    )
    return FieldOption(field.name, parameter, kind.read)


def _names(field: str, *, boolean: bool) -> list[str]:
    full = RENAMED.get(field, field).replace("_", "-")
    if boolean:
        return [f"--{full}/--no-{full}"]
    short = SINGULAR.get(field) or (full.removesuffix("-id") if field in REFERENCES else full)
    return [f"--{short}"] if short == full else [f"--{short}", f"--{full}"]


def _help(field: Field, note: str) -> str:
    text = f"{field.description} ({note})" if field.description and note else field.description or note
    text += "; may be repeated" if text and get_origin(field.kind) in (list, dict) else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _kind(field: Field) -> _Kind:
    name, kind = field.name, field.kind
    many = get_origin(kind) is list
    if get_origin(kind) is dict:
        return _object(name, kind)
    if name in REFERENCES:
        return _reference(NOUNS[REFERENCES[name]], many=many)
    if many:
        return _Kind(list[str], lambda value, _: items_of(value))
    if name in FILES | SECRETS or kind is SecretText:
        return _secret_or_file(name, kind)
    return _measured(name, kind)


def _object(name: str, kind: Any) -> _Kind:
    of_texts = _unwrapped(get_args(kind)[1])[0] is str

    def read(value: list[str], _: Client) -> Row:
        from greenroom.core.access.group_settings import SETTINGS  # noqa: PLC0415 -- as in `fields_of`

        return assignments(value, as_texts=of_texts, settings=SETTINGS if name == "settings" else None)

    return _Kind(list[str], read, metavar="NAME=VALUE")


def _reference(noun: Noun, *, many: bool) -> _Kind:
    if many:
        return _Kind(
            list[str],
            lambda value, client: [find_id(client, noun, item) for item in items_of(value)],
            note=f"a {noun.singular}, {noun.by}",
        )
    metavar = noun.singular.upper().replace(" ", "_")
    return _Kind(
        str, lambda value, client: find_id(client, noun, value), metavar=metavar, note=f"the {noun.singular}, {noun.by}"
    )


def _secret_or_file(name: str, kind: Any) -> _Kind:
    if name in FILES:
        return _Kind(str, lambda value, _: _text_of(value), metavar="FILE", note="a file; '-' = stdin")
    if name in VALUES and kind is SecretText:
        note = "a file; '-' prompts for the value, or reads a line from stdin"
        return _Kind(str, lambda value, _: _value(name, value), metavar="FILE", note=note)
    return _Kind(str, lambda value, _: _secret(name, value), note="'-' prompts for it, or reads it from stdin")


def _measured(name: str, kind: Any) -> _Kind:
    """Return the kind of times, durations and numbers; other values are not converted."""
    if kind is UUID:
        return _Kind(str, _unchanged, metavar="UUID")
    if kind is datetime:
        return _Kind(str, _unchanged, moment(ahead=name in AHEAD), "TIME")
    if name in DURATIONS:
        return _Kind(kind, _unchanged, duration(DURATIONS[name], whole=kind is int), "DURATION")
    if kind is float:
        return _Kind(float, _unchanged, number, "NUMBER")
    return _Kind(kind, _unchanged, metavar={int: "INTEGER"}.get(kind))


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = [part for part in get_args(annotation) if part is not NoneType]
        return _unwrapped(others[0])[0], True
    return annotation, False


def _or_null(kind: _Kind) -> Callable[[str], Any]:
    parse = kind.parser or cast("Callable[[str], Any]", kind.annotation)
    return lambda text: NULL if text == "null" else parse(text)


def _unchanged(value: Any, client: Client) -> Any:
    return value


def _text_of(path: str) -> str:
    """Return the text of a file, or of stdin.

    Raises:
        typer.BadParameter: it cannot be read as text.
    """
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"The file {path} cannot be read: {error}.") from error


def _secret(name: str, value: str) -> str:
    """Return a secret that must not be in the list of processes: `-` prompts for it; without a terminal, it reads a
    line.
    """
    if value != "-":
        return value
    return getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _value(name: str, value: str) -> str:
    """Return a secret from a file, or for `-` as `_secret` does.

    Raises:
        typer.BadParameter: there is no such file; the sentence does not repeat the argument, which may be the secret
            itself.
    """
    if value == "-":
        return _secret(name, value)
    if not Path(value).is_file():
        raise typer.BadParameter(
            f"The file of --{name} does not exist. Pass a file that contains the secret, or - to enter it or to send it"
            " as a line on stdin. The option does not accept the secret, because other users can read arguments."
        )
    return _text_of(value).rstrip("\r\n")
