"""Long lists in SQL: filtered and ordered by the server, read page by page from the last row of the page before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, LiteralString, TypeVar

from greenroom.core.errors import Invalid
from greenroom.core.listing import Order, Word
from greenroom.db.database import Database, rows_as

T = TypeVar("T")

_WORDS: Final[tuple[LiteralString, ...]] = ("w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8")
"""Names of the values of a filter's words, as many as `core.listing.MAX_WORDS`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list. `sql` is its value for ordering, never NULL, of type `kind`; `has` is the condition that
    `{word}` occurs there, None = in its value, or nowhere if that is not text.

    What another table says is best asked as `id IN (SELECT … WHERE …)`: that table is then searched once, not per row.
    """

    sql: LiteralString
    kind: LiteralString = "text"
    has: LiteralString | None = None

    @property
    def condition(self) -> LiteralString | None:
        return self.has or ("strpos(lower(" + self.sql + "), {word}) > 0" if self.kind == "text" else None)


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
    """Conditions of a WHERE, and their values.

    `kinds` are conditions of which a row fulfils one at most: those rows are the list, and each kind of them is read by
    a statement of its own, from an index of its own.
    """

    parts: list[LiteralString] = field(default_factory=list["LiteralString"])
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    kinds: Sequence[LiteralString] = ("true",)

    def add(self, condition: LiteralString, **values: object) -> None:
        self.parts.append(condition)
        self.values.update(values)

    @property
    def wheres(self) -> list[LiteralString]:
        """The condition of each kind."""
        return [" AND ".join(f"({part})" for part in (kind, *self.parts)) for kind in self.kinds]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: its columns by their displayed names, and the column (a uuid) that identifies a row. `source` is its
    table, with others joined LEFT, so that PostgreSQL leaves out those that an order and a filter do not need.
    """

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
        """The columns of `select` of the rows after `after`. The rows of the page are found first, and all else is read
        for those alone.
        """
        name, column = self._column(order)
        direction: LiteralString = " DESC" if order.descending else ""
        if after is not None:
            sign: LiteralString = "<" if order.descending else ">"
            conditions.add(
                f"({column.sql}, {self.key}) {sign} (%(after_{name})s::{column.kind}, %(after_key)s::uuid)",
                **{f"after_{name}": after.value, "after_key": after.key},
            )
        found: LiteralString = " UNION ALL ".join(
            f"(SELECT {column.sql} AS position, {self.key} AS position_key {self.source} WHERE {where}"
            f" ORDER BY {column.sql}{direction}, {self.key}{direction} LIMIT %(limit)s)"
            for where in conditions.wheres
        )
        ordered: LiteralString = f"ORDER BY page.position{direction}, page.position_key{direction}"
        rows = await db.fetch(
            f"WITH page AS MATERIALIZED (SELECT * FROM ({found}) AS page {ordered} LIMIT %(limit)s)"
            f" SELECT {select}, page.position::text, page.position_key::text {self.source}"
            f" JOIN page ON page.position_key = {self.key} {ordered}",
            {**conditions.values, "limit": limit},
        )
        positions = [Position(row["position"], row["position_key"]) for row in rows]
        return [Listed(row, position) for row, position in zip(rows_as(kind, rows), positions, strict=True)]

    async def count(self, db: Database, conditions: Conditions) -> int:
        counts: LiteralString = " + ".join(
            f"(SELECT count(*) {self.source} WHERE {where})" for where in conditions.wheres
        )
        row = await db.fetch_one(f"SELECT {counts} AS total", conditions.values)
        return row["total"] if row else 0

    def require(self, conditions: Conditions, words: Sequence[Word]) -> None:
        for name, word in zip(_WORDS, words, strict=False):
            places: list[LiteralString] = [
                condition
                for title, column in self.columns.items()
                if word.column in (None, title) and (condition := column.condition) is not None
            ]
            found: LiteralString = " OR ".join(places) if places else "false"
            conditions.add(found.format(word=f"%({name})s::text"), **{name: word.text})

    def _column(self, order: Order) -> tuple[LiteralString, Column]:
        for name, column in self.columns.items():
            if name == order.column:
                return name, column
        raise Invalid(f"The list has no column {order.column}.")
