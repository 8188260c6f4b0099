"""Creates SQL from dataclasses whose fields are columns, and converts rows to dataclasses."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from typing import Any, Final, LiteralString, TypeVar, cast

import msgspec
import structlog

from greenroom.kit.repeats import RepeatFilter


def columns_of(kind: type[Any], *, without: Collection[str] = ()) -> tuple[LiteralString, ...]:
    """Return the names of the fields of a dataclass. They are literals in the source, so they contain no input."""
    return cast("tuple[LiteralString, ...]", tuple(field.name for field in fields(kind) if field.name not in without))


def column_list(columns: Iterable[LiteralString]) -> LiteralString:
    """Return `a, b`."""
    return ", ".join(columns)


def qualified(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """Return `t.a, t.b`."""
    return ", ".join(table + "." + name for name in columns)


def json_object(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """Return `jsonb_build_object('a', t.a, 'b', t.b)`."""
    return "jsonb_build_object(" + ", ".join("'" + name + "', " + table + "." + name for name in columns) + ")"


def insert_values(columns: Iterable[LiteralString]) -> LiteralString:
    """Return `(a, b) VALUES (%(a)s, %(b)s)`, the end of an INSERT."""
    names = tuple(columns)
    return "(" + ", ".join(names) + ") VALUES (" + ", ".join("%(" + name + ")s" for name in names) + ")"


def assignments(columns: Iterable[LiteralString]) -> LiteralString:
    """Return `a = %(a)s, b = %(b)s`."""
    return ", ".join(name + " = %(" + name + ")s" for name in columns)


def rotation(hash_column: LiteralString) -> LiteralString:
    """Return assignments that replace the hash of a secret by the parameter of the same name. The present hash is valid
    for the parameter `overlap_s` as `old_…`, and an older one no more."""
    return (
        "old_" + hash_column + " = CASE WHEN %(overlap_s)s > 0 THEN " + hash_column + " END,"
        " old_until = CASE WHEN %(overlap_s)s > 0 THEN now() + make_interval(secs => %(overlap_s)s) END,"
        " " + assignments((hash_column,))
    )


def excluded_values(columns: Iterable[LiteralString]) -> LiteralString:
    """Return `a = excluded.a, b = excluded.b`: ON CONFLICT DO UPDATE takes these columns from the proposed row."""
    return ", ".join(name + " = excluded." + name for name in columns)


def differs_from_excluded(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """Return `(t.a, t.b) IS DISTINCT FROM (excluded.a, excluded.b)`."""
    names = tuple(columns)
    return "(" + qualified(names, table) + ") IS DISTINCT FROM (" + qualified(names, "excluded") + ")"


def values_of(kind: type[Any], row: object) -> dict[str, Any]:
    """Return the values of a row for the fields of `kind`. The row may have more fields."""
    return {field.name: getattr(row, field.name) for field in fields(kind)}


log = structlog.get_logger(__name__)

T = TypeVar("T")

_repeats: Final = RepeatFilter(math.inf, max_events=1000)
"""A filter that logs each unreadable row once."""
_unreadable: ContextVar[list[str] | None] = ContextVar("unreadable", default=None)


@contextmanager
def collect_unreadable() -> Generator[list[str]]:
    """Collect the rows that `convert` cannot read during the `with` block, each as its ids and the reason."""
    unreadable: list[str] = []
    token = _unreadable.set(unreadable)
    try:
        yield unreadable
    finally:
        _unreadable.reset(token)


def convert(kind: type[T], row: Mapping[str, Any]) -> T | None:
    """Return the row as a dataclass of this kind. If a value has a wrong type, log it and return None. Raises
    msgspec.ValidationError: the row lacks a field, because the statement is wrong."""
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        if " - at `$" not in str(error):  # the error concerns the row itself, not a value in it
            raise
        ids = {name: str(value) for name, value in row.items() if name.endswith("_id") and value is not None}
        if _repeats.must_log(kind.__name__, str(ids), str(error)):
            log.error("a row cannot be read and is omitted", kind=kind.__name__, reason=str(error), **ids)
        if (unreadable := _unreadable.get()) is not None:
            unreadable.append(f"{' '.join(f'{name} {value}' for name, value in ids.items())}: {error}")
        return None
