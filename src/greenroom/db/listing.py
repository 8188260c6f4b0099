"""Long lists in SQL: filtered and ordered by the server, read page by page from the last row of the page before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, LiteralString, TypeVar

from greenroom.core.errors import Invalid
from greenroom.core.listing import Order, Word
from greenroom.db.database import Database, rows_as

T = TypeVar("T")

_EVERY_WORD: Final[LiteralString] = (
    "NOT EXISTS (SELECT 1 FROM unnest({words}) word WHERE strpos(lower({text}), word) = 0)"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list. `sql` is its value for ordering, never NULL, of type `kind`; `text` is where words are
    searched, None = in its value, or nowhere if that is not text.
    """

    sql: LiteralString
    kind: LiteralString = "text"
    text: LiteralString | None = None

    @property
    def searched(self) -> LiteralString | None:
        return self.text or (self.sql if self.kind == "text" else None)


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the page before: its value in the column of the order, and its key."""

    value: str
    key: str


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A row of a list, and where it stands in the order."""

    row: T
    position: Position


@dataclass(slots=True)
class Conditions:
    """Conditions of a WHERE, and their values."""

    parts: list[LiteralString] = field(default_factory=list["LiteralString"])
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, condition: LiteralString, **values: object) -> None:
        self.parts.append(condition)
        self.values.update(values)

    @property
    def where(self) -> LiteralString:
        return " AND ".join(f"({part})" for part in self.parts) or "true"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: its columns by their displayed names, and the column (a uuid) that identifies a row."""

    columns: Mapping[LiteralString, Column]
    key: LiteralString
    source: LiteralString

    async def read(
        self,
        db: Database,
        kind: type[T],
        select: LiteralString,
        conditions: Conditions,
        *,
        order: Order,
        after: Position | None,
        limit: int | None,
    ) -> list[Listed[T]]:
        """The columns of `select` of the rows after `after`."""
        ordered = self._follow(conditions, order, after)
        position: LiteralString = f"({self._column(order)[1].sql})::text AS position, {self.key}::text AS position_key"
        rows = await db.fetch(
            f"SELECT {select}, {position} {self.source} WHERE {conditions.where} {ordered} LIMIT %(limit)s",
            {**conditions.values, "limit": limit},
        )
        positions = [Position(row["position"], row["position_key"]) for row in rows]
        return [Listed(row, position) for row, position in zip(rows_as(kind, rows), positions, strict=True)]

    async def count(self, db: Database, conditions: Conditions) -> int:
        statement: LiteralString = f"SELECT count(*) AS total {self.source} WHERE {conditions.where}"
        row = await db.fetch_one(statement, conditions.values)
        return row["total"] if row else 0

    def require(self, conditions: Conditions, words: Sequence[Word]) -> None:
        anywhere: LiteralString = "''"
        for name, column in self.columns.items():
            if column.searched is not None:
                anywhere += " || ' ' || " + column.searched
                self._every(conditions, "words_" + name, column.searched, words, name)
        self._every(conditions, "words", anywhere, words, None)

    def _every(
        self,
        conditions: Conditions,
        name: LiteralString,
        text: LiteralString,
        words: Sequence[Word],
        column: str | None,
    ) -> None:
        texts = [word.text for word in words if word.column == column]
        if texts:
            conditions.add(_EVERY_WORD.format(words=f"%({name})s::text[]", text=text), **{name: texts})

    def _follow(self, conditions: Conditions, order: Order, after: Position | None) -> LiteralString:
        """Add that rows come after `after`; returns the ORDER BY."""
        name, column = self._column(order)
        direction: LiteralString = " DESC" if order.descending else ""
        if after is not None:
            sign: LiteralString = "<" if order.descending else ">"
            conditions.add(
                f"({column.sql}, {self.key}) {sign} (%(after_{name})s::{column.kind}, %(after_key)s::uuid)",
                **{f"after_{name}": after.value, "after_key": after.key},
            )
        return f"ORDER BY {column.sql}{direction}, {self.key}{direction}"

    def _column(self, order: Order) -> tuple[LiteralString, Column]:
        for name, column in self.columns.items():
            if name == order.column:
                return name, column
        raise Invalid(f"The list has no column {order.column}.")
