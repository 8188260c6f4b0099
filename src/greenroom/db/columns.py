"""Statements from a dataclass whose fields are columns of a table: one list for INSERT, UPDATE and SELECT."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, LiteralString, cast


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
    """`a = excluded.a, b = excluded.b`: what ON CONFLICT DO UPDATE takes of the row that was to be inserted."""
    return ", ".join(name + " = excluded." + name for name in columns)


def differs(columns: Iterable[LiteralString], table: LiteralString) -> LiteralString:
    """`(t.a, t.b) IS DISTINCT FROM (excluded.a, excluded.b)`."""
    names = tuple(columns)
    return "(" + selected(names, table) + ") IS DISTINCT FROM (" + selected(names, "excluded") + ")"


def values_of(kind: type[Any], row: object) -> dict[str, Any]:
    """The values of a row, which may have more fields, for the fields of `kind`."""
    return {field.name: getattr(row, field.name) for field in fields(kind)}
