"""Parses numbers, durations, times and assignments of options, in the same way for every option.

Secrets that are passed as options are removed from the command line, because every user of this machine can read it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from greenroom.cli.output import Row

if TYPE_CHECKING:
    from greenroom.core.access.group_settings import Setting

UNITS_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "days": 86_400, "w": 604_800}
"""Unit of time → seconds, for the command line and for settings."""
_UNIT_NAMES: Final = {"s": "seconds", "min": "minutes", "h": "hours", "days": "days"}
_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_NUMBER_WITH_UNIT: Final = re.compile(rf"({_NUMBER})\s*({'|'.join(sorted(UNITS_S, key=len, reverse=True))})")
_DURATION: Final = re.compile(rf"(?:{_NUMBER_WITH_UNIT.pattern}\s*)+")


def parse_number(text: str) -> float:
    """Return a number. Raises typer.BadParameter: the text is not a finite number; JSON has no `NaN` and `inf`."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise typer.BadParameter(f"{text!r} is not a number.")
    return number


def parse_duration_s(text: str) -> float | None:
    """Return the seconds of a duration such as `90s`, `10m`, `2h`, `1d` or `1h30m`; None if it is not a duration."""
    if not _DURATION.fullmatch(text.strip()):
        return None
    return sum(float(count) * UNITS_S[unit] for count, unit in _NUMBER_WITH_UNIT.findall(text))


def duration_parser(unit: str, *, whole: bool = False) -> Callable[[str | float], float]:
    """Return a function that parses a duration and returns it in `unit`, a key of `UNITS_S`. A number without a unit is
    in `unit`. With `whole`, only whole numbers are accepted, and returned as int."""

    def parse(value: str | float) -> float:
        text = str(value)  # typer also parses the default of an option
        seconds = parse_duration_s(text)
        if seconds is None and not re.fullmatch(_NUMBER, text.strip()):
            raise typer.BadParameter(
                f"{text!r} is not a duration; specify a number of {_UNIT_NAMES[unit]}, or 30s, 10m, 2h, 1d."
            )
        count = parse_number(text) if seconds is None else seconds / UNITS_S[unit]
        if not whole:
            return count
        if count != int(count):
            raise typer.BadParameter(f"{text!r} is not a whole number of {_UNIT_NAMES[unit]}.")
        return int(count)

    return parse


def time_parser(*, is_future: bool) -> Callable[[str], str]:
    """Return a function that parses a time and returns it in ISO 8601 with an offset. A time without an offset is in
    the time zone of this machine. A duration is the time before now, or with `is_future` the time from now.
    """
    example = "30d (from now)" if is_future else "10m (ago)"

    def parse(text: str) -> str:
        try:
            if (seconds := parse_duration_s(text)) is not None:
                return (datetime.now(UTC) + timedelta(seconds=seconds if is_future else -seconds)).isoformat()
            return datetime.fromisoformat(text).astimezone().isoformat()
        except (ValueError, OverflowError) as error:
            raise typer.BadParameter(
                f"{text!r} is not a time; specify {example}, 2027-01-31 or 2027-01-31T09:30."
            ) from error

    return parse


def without_empty(values: list[str]) -> list[str]:
    """Return the items of a repeated option, without empty items. `--option ""` alone means an empty list."""
    return [item for item in values if item]


def parse_assignments(
    items: list[str], *, as_texts: bool = False, settings: Mapping[str, Setting] | None = None
) -> Row:
    """Return an object from items of the form `NAME=VALUE` or JSON object. A VALUE that is not JSON is a string; with
    `as_texts`, every VALUE is a string.

    `settings` maps known NAMEs to their definitions; the VALUE of a duration may have a unit, such as `10m`. Raises
    typer.BadParameter: an item has another form.
    """
    values: Row = {}
    for item in without_empty(items):
        if item.lstrip().startswith("{"):
            try:
                values |= _strict_json(item)
            except ValueError as error:
                raise typer.BadParameter(f"{item!r} is not JSON: {error}.") from error
            continue
        name, separator, text = item.partition("=")
        if not separator:
            raise typer.BadParameter(f"{item!r} is neither NAME=VALUE nor a JSON object.")
        values[name] = text if as_texts else _setting_value((settings or {}).get(name), text)
    return values


def _setting_value(setting: Setting | None, text: str) -> Any:
    if setting is not None and setting.unit in UNITS_S and parse_duration_s(text) is not None:
        return duration_parser(setting.unit, whole=setting.kind == "int")(text)
    try:
        return _strict_json(text)
    except ValueError:
        return text


def _strict_json(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError: the text is not JSON, or contains `NaN`, `Infinity` or a
    number such as `1e999`, which Python accepts and JSON does not.
    """

    def finite(literal: str) -> float:
        if not isfinite(value := float(literal)):
            raise ValueError(f"{literal} is not a number in JSON")
        return value

    return json.loads(text, parse_float=finite, parse_constant=finite)


def read_text(path: str) -> str:
    """Return the text of a file, or of stdin for `-`. Raises typer.BadParameter: the file cannot be read as text."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"The file {path} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise typer.BadParameter(f"The file {path} cannot be read: {error.strerror}.") from error


def move_option_to_environment(option: str, variable: str, secret: str) -> NoReturn:
    """Start this program again in this process, with the secret in the environment variable `variable`, and without
    `option` on the command line.
    """
    sys.stdout.flush()
    arguments = [sys.executable, "-P", "-m", "greenroom", *without_option(option, sys.argv[1:])]
    # -P: do not import a package `greenroom` from the current folder
    os.execve(sys.executable, arguments, os.environ | {variable: secret})  # noqa: S606 -- this program


def without_option(option: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line without this option and its value."""
    remaining: list[str] = []
    following = iter(arguments)
    for argument in following:
        if argument == option:
            next(following, None)
        elif not argument.startswith(f"{option}="):
            remaining.append(argument)
    return remaining
