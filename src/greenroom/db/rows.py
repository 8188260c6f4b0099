"""Rows of tables: statements from a dataclass whose fields are columns, and rows with a value of a wrong type."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from typing import Any, Final, LiteralString, TypeVar, cast

import msgspec
import structlog


def columns_of(kind: type[Any], *, without: Collection[str] = ()) -> tuple[LiteralString, ...]:
    """The names of a dataclass's fields; they are literals of the source, so they cannot carry input."""
    return cast("tuple[LiteralString, ...]", tuple(field.name for field in fields(kind) if field.name not in without))


def listed(columns: Iterable[LiteralString]) -> LiteralString:
    """`a, b`."""
    return ", ".join(columns)


def selected(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """`t.a, t.b`."""
    return ", ".join(table + "." + name for name in columns)


def as_json(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """`jsonb_build_object('a', t.a, 'b', t.b)`."""
    return "jsonb_build_object(" + ", ".join("'" + name + "', " + table + "." + name for name in columns) + ")"


def inserted(columns: Iterable[LiteralString]) -> LiteralString:
    """`(a, b) VALUES (%(a)s, %(b)s)`."""
    names = tuple(columns)
    return "(" + ", ".join(names) + ") VALUES (" + ", ".join("%(" + name + ")s" for name in names) + ")"


def assigned(columns: Iterable[LiteralString]) -> LiteralString:
    """`a = %(a)s, b = %(b)s`."""
    return ", ".join(name + " = %(" + name + ")s" for name in columns)


def excluded(columns: Iterable[LiteralString]) -> LiteralString:
    """`a = excluded.a, b = excluded.b`: the columns that ON CONFLICT DO UPDATE takes from the proposed row."""
    return ", ".join(name + " = excluded." + name for name in columns)


def differs(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """`(t.a, t.b) IS DISTINCT FROM (excluded.a, excluded.b)`."""
    names = tuple(columns)
    return "(" + selected(names, table) + ") IS DISTINCT FROM (" + selected(names, "excluded") + ")"


def values_of(kind: type[Any], row: object) -> dict[str, Any]:
    """The values of a row, which may have more fields, for the fields of `kind`."""
    return {field.name: getattr(row, field.name) for field in fields(kind)}


log = structlog.get_logger(__name__)

T = TypeVar("T")

_SAID: Final[dict[tuple[str, str, str], None]] = {}
"""Rows that could not be read; each is logged once."""
MOST_SAID: Final = 1000
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


@contextmanager
def collected() -> Generator[list[str]]:
    """Collect the rows that are left out in the block, each as its ids and the reason."""
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def readable(kind: type[T], row: Mapping[str, Any]) -> T | None:
    """The row as a dataclass of this kind; None = a value has a wrong type, and the row is left out. Raises
    msgspec.ValidationError: the row lacks a field of the kind; a defect of the statement."""
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        if " - at `$" not in str(error):  # of the row itself, not of a value in it
            raise
        ids = {name: str(value) for name, value in row.items() if name.endswith("_id") and value is not None}
        if (what := (kind.__name__, str(ids), str(error))) not in _SAID:
            _SAID[what] = None
            log.error("a row cannot be read, and is left out", kind=kind.__name__, reason=str(error), **ids)
        if len(_SAID) > MOST_SAID:
            _SAID.pop(next(iter(_SAID)))
        if (found := _collected.get()) is not None:
            found.append(f"{' '.join(f'{name} {value}' for name, value in ids.items())}: {error}")
        return None
