"""Creates the options of a command from the fields of a request, and the request from the passed options.

A boolean has two options, such as `--enabled` and `--no-enabled`. A reference accepts a name or an id. The option of a
list can be repeated; a single empty value empties the list. The option of an object accepts `NAME=VALUE` (repeated) or
a JSON object. A nullable field accepts `null`. For `-`, a secret is read from stdin. Only passed options are sent.
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
from greenroom.cli.values import duration_parser, parse_assignments, parse_number, read_text, time_parser, without_empty

NULL: Final = object()
"""The parsed value of the text `null`, which sets a field to null. None = the option was not passed."""

Convert = Callable[[Any, Client], Any]
"""Converts the parsed value of an option to the value in the request."""


@dataclass(frozen=True, slots=True)
class FieldOption:
    """The option of one field: the parameter of a command, and the conversion of its value for the request."""

    field: str
    parameter: inspect.Parameter
    convert: Convert


def request_body(options: Sequence[FieldOption], values: Mapping[str, Any], client: Client) -> Row:
    """Return the body of the request, with the fields whose options were passed."""
    passed = [(option, values[option.field]) for option in options if values[option.field] not in (None, [])]
    return {option.field: None if value is NULL else option.convert(value, client) for option, value in passed}


def argument(name: str, metavar: str, text: str) -> inspect.Parameter:
    """Return the positional parameter of a command."""
    annotation = Annotated[str, typer.Argument(metavar=metavar, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


PLAIN_SECRET_FIELDS: Final = frozenset({"docker_token"})
"""Secret fields that the document of the api describes as texts, not as passwords."""
FILE_FIELDS: Final = frozenset({"ssh_public_key", "ssh_private_key"})
"""Fields whose option takes the path of a file; `-` = stdin."""
SECRET_FILE_FIELDS: Final = frozenset({"value"})
"""Secret fields whose option takes the path of a file, and never the secret: other users of the machine can read
arguments.
"""
DURATION_UNITS: Final = dict.fromkeys(("deadline_s", "idle_s", "order_deadline_s", "session_time_limit"), "s") | {
    "expiration": "h",
    "hours": "h",
}
"""Field with a duration → its unit."""
FUTURE_TIME_FIELDS: Final = frozenset({"expires"})
"""Fields with a time in the future: `2h` means in two hours. For other fields, `2h` means two hours ago."""
SINGULAR_OPTIONS: Final = {
    f"{name}s": name for name in ("event", "group", "host", "permission", "rule", "user", "zone")
} | {"categories": "category"}
"""Field with a list → its option, which is named in the singular and can be repeated."""
FLAG_FIELDS: Final = frozenset({"force", "enable"})
"""Booleans whose option has no negative form."""
OPTION_NAMES: Final = {"url": "address", "enable_agent": "enable"}
"""Field → its option, if the name differs. `--url`, for example, is already the address of the deployment."""


@dataclass(frozen=True, slots=True)
class _OptionKind:
    """The properties of an option: its type for typer, or its parser; the conversion of the parsed value for the
    request; its metavar; and a note for its help."""

    annotation: Any = str
    convert: Convert = lambda value, _: value
    parser: Callable[[str], Any] | None = None
    metavar: str | None = None
    note: str = ""


def options_for(fields: Iterable[Field], *, with_null: bool = True) -> list[FieldOption]:
    """Return an option for each field, required fields first. `with_null`: a nullable field accepts `null`; False if
    null means the same as an omitted field.
    """
    ordered = sorted(fields, key=lambda field: (not field.is_required, field.name not in REFERENCES))
    return [_option(field, with_null=with_null) for field in ordered]


def _option(field: Field, *, with_null: bool) -> FieldOption:
    kind = _option_kind(field)
    text = _help_text(field, kind.note)
    name = OPTION_NAMES.get(field.name, field.name)
    if field.is_nullable and with_null and not field.choices:
        kind = replace(kind, annotation=str, parser=_null_parser(kind), metavar=f"{kind.metavar or 'TEXT'}|null")
    option = typer.Option(
        *_option_names(name, is_boolean=kind.annotation is bool), help=text, parser=kind.parser, metavar=kind.metavar
    )
    parameter = inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind.annotation if field.is_required else kind.annotation | None, option],
        default=inspect.Parameter.empty if field.is_required else None,
    )
    return FieldOption(field.name, parameter, kind.convert)


def _option_names(name: str, *, is_boolean: bool) -> list[str]:
    full = name.replace("_", "-")
    if is_boolean:
        return [f"--{full}" if name in FLAG_FIELDS else f"--{full}/--no-{full}"]
    short = SINGULAR_OPTIONS.get(name) or (full.removesuffix("-id") if name in REFERENCES else full)
    return [f"--{short}"] if short == full else [f"--{short}", f"--{full}"]


def _help_text(field: Field, note: str) -> str:
    text = f"{field.description} ({note})" if field.description and note else field.description or note
    text += "; may be repeated" if text and field.shape != "one" else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


_OPTION_KINDS: Final = {
    "boolean": _OptionKind(bool),
    "integer": _OptionKind(int, metavar="INTEGER"),
    "number": _OptionKind(float, parser=parse_number, metavar="NUMBER"),
    "uuid": _OptionKind(metavar="UUID"),
}
"""Type of a field → the kind of its option. An option of another type is a text."""


def _option_kind(field: Field) -> _OptionKind:
    if field.shape == "object":
        return _OptionKind(list[str], lambda value, _: _parse_object(field, value), metavar="NAME=VALUE")
    if field.name in REFERENCES:
        return _reference_kind(NOUNS[REFERENCES[field.name]], is_list=field.shape == "list")
    if field.name == "rules":
        note = "a group, a claim or attribute, and its value; or a JSON object with `group`, `claim` and `value`"
        return _OptionKind(list[str], _parse_rules, metavar="GROUP=CLAIM:VALUE", note=note)
    if field.shape == "list":
        return _OptionKind(list[str], lambda value, _: without_empty(value))
    if field.type == "password" or field.name in FILE_FIELDS | PLAIN_SECRET_FIELDS:
        return _secret_or_file_kind(field)
    return _value_kind(field)


def _value_kind(field: Field) -> _OptionKind:
    if field.choices:
        return _OptionKind(StrEnum(field.name, {choice: choice for choice in field.choices}))
    if field.name in DURATION_UNITS:
        is_whole = field.type == "integer"
        parser = duration_parser(DURATION_UNITS[field.name], whole=is_whole)
        return _OptionKind(int if is_whole else float, parser=parser, metavar="DURATION")
    if field.type == "date-time":
        return _OptionKind(parser=time_parser(is_future=field.name in FUTURE_TIME_FIELDS), metavar="TIME")
    return _OPTION_KINDS.get(field.type, _OptionKind())


def _secret_or_file_kind(field: Field) -> _OptionKind:
    name = field.name
    if name in FILE_FIELDS:
        return _OptionKind(convert=lambda value, _: read_text(value), metavar="FILE", note="a file; '-' = stdin")
    if name in SECRET_FILE_FIELDS:
        note = "a file; '-' prompts for the value, or reads a line from stdin"
        return _OptionKind(convert=lambda value, _: _read_secret(name, value), metavar="FILE", note=note)
    note = "'-' prompts for it, or reads it from stdin"
    return _OptionKind(convert=lambda value, _: _prompt_secret(name, value), note=note)


def _parse_object(field: Field, items: list[str]) -> Row:
    from greenroom.core.access.group_settings import SETTINGS  # noqa: PLC0415 -- slow to import, and rarely used

    settings = SETTINGS if field.name == "settings" else None
    return parse_assignments(items, as_texts=field.type == "string", settings=settings)


def _parse_rules(items: list[str], client: Client) -> list[Row]:
    """Return the rules of a sign-on provider or a directory, with the ids of their groups. Raises typer.BadParameter:
    an item is not a rule."""
    rules = list[Row]()
    for item in without_empty(items):
        if item.lstrip().startswith("{"):
            rule = parse_assignments([item], as_texts=True)
        else:
            group, _, rest = item.partition("=")
            claim, _, value = rest.partition(":")
            rule = {"group": group, "claim": claim, "value": value}
        if set(rule) != {"group", "claim", "value"} or not all(rule.values()):
            raise typer.BadParameter(f"{item!r} is no rule; specify GROUP=CLAIM:VALUE, such as Staff=groups:/staff.")
        group_id = NOUNS["groups"].find_id(client, rule["group"])
        rules.append({"claim": rule["claim"], "value": rule["value"], "group_id": group_id})
    return rules


def _reference_kind(noun: Noun, *, is_list: bool) -> _OptionKind:
    if is_list:
        return _OptionKind(
            list[str],
            lambda value, client: [noun.find_id(client, item) for item in without_empty(value)],
            note=f"a {noun.singular}, {noun.identified_by}",
        )
    metavar = noun.singular.upper().replace(" ", "_")
    note = f"the {noun.singular}, {noun.identified_by}"
    return _OptionKind(convert=lambda value, client: noun.find_id(client, value), metavar=metavar, note=note)


def _null_parser(kind: _OptionKind) -> Callable[[str], Any]:
    parse: Callable[[str], Any] = kind.parser or kind.annotation
    return lambda text: NULL if text == "null" else parse(text)


def _prompt_secret(name: str, value: str) -> str:
    """Return a secret. For `-`, prompt for the secret, or read a line from stdin if stdin is not a terminal. So the
    secret is not in the list of processes.
    """
    if value != "-":
        return value
    return getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _read_secret(name: str, value: str) -> str:
    """Return a secret from a file, or for `-` the result of `_prompt_secret`. Raises typer.BadParameter: the file does
    not exist. The message does not contain the argument, because the argument may be the secret."""
    if value == "-":
        return _prompt_secret(name, value)
    if not Path(value).is_file():
        raise typer.BadParameter(
            f"The file of --{name} does not exist. Pass a file that contains the secret, or - to enter it or to send it"
            " as a line on stdin. The option does not accept the secret, because other users can read arguments."
        )
    return read_text(value).rstrip("\r\n")
