"""Lists that PostgreSQL filters and orders. Each page begins after the last row of the previous page.

The number of rows read for a page does not grow with the list (ADR 27): the rows come from an index in the requested
order, and the number of rows that are searched for words or counted is limited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, LiteralString, TypeVar

from greenroom.core.errors import Invalid, require_row
from greenroom.core.listing import SortOrder, Word, in_cursor, may_be_hashed
from greenroom.db.database import Connection, Database, Params, row_as, rows_as

T = TypeVar("T")

_WORDS: Final[tuple[LiteralString, ...]] = ("w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8")
"""Names of the values of a filter's words; their number is `core.listing.MAX_WORDS`."""


SEARCHED_PER_ROW: Final = 5
"""The number of rows that are searched for words, as a multiple of the rows of a page."""
MAX_COUNTED: Final = 10_000
MAX_COUNTED_WITH_WORDS: Final = 1000
"""The maximum number of rows that are read to count the rows with the searched words."""


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column of a list.

    `sql` is its value for ordering, never NULL, of type `sql_type`. `search_sql` is the condition that the column
    contains `{word}`; None = a text column is searched in its value, and other columns are not searched. `orders`: the
    list can be ordered by the column.
    """

    sql: LiteralString
    sql_type: LiteralString = "text"
    search_sql: LiteralString | None = None
    orders: bool = True

    @property
    def condition(self) -> LiteralString | None:
        return self.search_sql or ("strpos(lower(" + self.sql + "), {word}) > 0" if self.sql_type == "text" else None)


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the previous page: its value in the column of the order, as in a cursor, and its key."""

    value: str
    key: str


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """Rows of a list, and the position after which it continues; None = no more rows. A search for words may return
    fewer rows than requested, or none, although the list continues."""

    rows: list[T]
    end: Position | None


@dataclass(frozen=True, slots=True)
class Total:
    """The number of rows; with `more`, there are more rows than this number."""

    number: int
    more: bool

    def __str__(self) -> str:
        return f"{self.number}+" if self.more else str(self.number)


@dataclass(slots=True)
class Conditions:
    """Conditions of a WHERE clause, and their values.

    `alternatives` are mutually exclusive conditions, each with its own index. The list has the rows of all
    alternatives, which are read by separate statements.
    """

    parts: list[LiteralString] = field(default_factory=list["LiteralString"])
    word_conditions: list[LiteralString] = field(default_factory=list["LiteralString"])
    """The conditions that a row has the searched words. They use no index."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    alternatives: Sequence[LiteralString] = ("true",)

    def add(self, condition: LiteralString, **values: object) -> None:
        self.parts.append(condition)
        self.values.update(values)

    @property
    def where_clauses(self) -> list[LiteralString]:
        """The condition of each alternative."""
        return [" AND ".join(f"({part})" for part in (alternative, *self.parts)) for alternative in self.alternatives]

    @property
    def matches_words(self) -> LiteralString:
        """The condition that a row has all the words."""
        return " AND ".join(f"({word})" for word in self.word_conditions) or "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDefinition(Generic[T]):
    """A list whose rows have the type `row_type`; `noun` is the name of a row in errors.

    `select` has the columns of a row. `source` is the table, with LEFT joins, so that PostgreSQL does not read tables
    that an order and a filter do not need. `key`, of type `key_type`, is the column that identifies a row. `columns`
    are the columns of the list by their displayed names; `order` is the default order. `filters` maps the name of a
    value to the condition that uses the value.
    """

    row_type: type[T]
    noun: str = ""
    select: LiteralString
    source: LiteralString
    key: LiteralString
    key_type: LiteralString = "uuid"
    columns: Mapping[LiteralString, ListColumn]
    order: SortOrder
    filters: Mapping[str, LiteralString] = field(default_factory=dict[str, LiteralString])

    @property
    def orders(self) -> list[LiteralString]:
        """The columns by which the list can be ordered."""
        return [name for name, column in self.columns.items() if column.orders]

    @property
    def query(self) -> LiteralString:
        """The statement for all rows, without a WHERE."""
        return f"SELECT {self.select} {self.source}"

    async def find(self, db: Database, where: LiteralString, values: Params) -> T | None:
        return await db.fetch_one_as(self.row_type, f"{self.query} WHERE {where}", values)

    async def get(self, db: Database, key: str) -> T:
        """Return the row with this key. Raises NotFound: there is no such row."""
        return require_row(await self.find(db, f"{self.key} = %s", (key,)), self.noun, key)

    async def lock(self, connection: Connection, key: str) -> T:
        """Lock the row with this key until commit, and return it. Raises NotFound: there is no such row."""
        where: LiteralString = f"WHERE {self.key} = %s"
        await connection.execute(
            f"SELECT 1 {self.source} {where} FOR NO KEY UPDATE OF {self.key.partition('.')[0]}", (key,)
        )
        cursor = await connection.execute(f"{self.query} {where}", (key,))
        return require_row(row_as(self.row_type, await cursor.fetchone()), self.noun, key)

    async def read(
        self,
        db: Database,
        conditions: Conditions | None = None,
        *,
        order: SortOrder | None = None,
        after: Position | None = None,
        limit: int | None = None,
    ) -> ListPage[T]:
        """Return the first `limit` rows after `after`, the last row of the previous page. The rows of the page are
        found first, and all columns of `select` are read only for them."""
        conditions, order = conditions or Conditions(), order or self.order
        name, column = self._column(order)
        direction: LiteralString = " DESC" if order.descending else ""
        if after is not None:
            after = await self._whole(db, after, column)
            sign: LiteralString = "<" if order.descending else ">"
            conditions.add(
                f"({column.sql}, {self.key}) {sign}"
                f" (%(after_{name})s::{column.sql_type}, %(after_key)s::{self.key_type})",
                **{f"after_{name}": after.value, "after_key": after.key},
            )
        candidates: LiteralString = " UNION ALL ".join(
            f"(SELECT {column.sql} AS position, {self.key} AS position_key, {conditions.matches_words} AS found"
            f" {self.source} WHERE {where} ORDER BY {column.sql}{direction}, {self.key}{direction} LIMIT %(max_rows)s)"
            for where in conditions.where_clauses
        )
        ordered: LiteralString = f"ORDER BY position{direction}, position_key{direction}"
        max_rows = None if limit is None else SEARCHED_PER_ROW * limit + 1 if conditions.word_conditions else limit + 1
        rows = await db.fetch(
            f"WITH candidates AS (SELECT *, row_number() OVER ({ordered}) AS nth FROM ({candidates}) AS rows {ordered}"
            f" LIMIT %(max_rows)s), page AS MATERIALIZED (SELECT *, nth = %(max_rows)s AS last FROM candidates"
            f" WHERE found OR nth = %(max_rows)s {ordered} LIMIT %(limit)s + 1)"
            f" SELECT {self.select}, page.position::text, page.position_key::text, page.found, page.last {self.source}"
            f" JOIN page ON page.position_key = {self.key}"
            f" ORDER BY page.position{direction}, page.position_key{direction}",
            {**conditions.values, "limit": limit, "max_rows": max_rows},
        )
        page = rows[:limit]
        has_more = len(rows) > len(page) or (bool(page) and page[-1]["last"])
        end = Position(in_cursor(page[-1]["position"]), page[-1]["position_key"]) if has_more else None
        return ListPage(rows_as(self.row_type, [row for row in page if row["found"]]), end)

    async def _whole(self, db: Database, after: Position, column: ListColumn) -> Position:
        """Return the position with its whole value. Raises Invalid: its row was deleted or has another value."""
        if not may_be_hashed(after.value):
            return after
        row = await db.fetch_one(
            f"SELECT ({column.sql})::text AS value {self.source} WHERE {self.key} = %s::{self.key_type}", (after.key,)
        )
        if row is None or in_cursor(row["value"]) != after.value:
            raise Invalid("The last row of the previous page was deleted or changed; begin with the first page.")
        return Position(row["value"], after.key)

    async def count(self, db: Database, conditions: Conditions, by: LiteralString) -> Total:
        """Count the rows that match, among a limited number of rows: those with the highest values in column `by`."""
        max_rows = MAX_COUNTED_WITH_WORDS if conditions.word_conditions else MAX_COUNTED
        candidates: LiteralString = " UNION ALL ".join(
            f"(SELECT {conditions.matches_words} AS found {self.source} WHERE {where}"
            f" ORDER BY {self.columns[by].sql} DESC LIMIT %(max_rows)s + 1)"
            for where in conditions.where_clauses
        )
        row = await db.fetch_one(
            "SELECT count(*) FILTER (WHERE found) AS found, count(*) AS candidates FROM"
            f" (SELECT * FROM ({candidates}) AS rows LIMIT %(max_rows)s + 1) AS first",
            {**conditions.values, "max_rows": max_rows},
        )
        return Total(min(row["found"], max_rows), row["candidates"] > max_rows) if row else Total(0, more=False)

    def matching(self, words: Sequence[Word] = (), /, **values: object) -> Conditions:
        """Return the conditions of `filters` for the values that are not None. A condition without a value is not part
        of the statement, so that PostgreSQL can choose the index. A row must contain all the words."""
        parts: list[LiteralString] = [part for name, part in self.filters.items() if values[name] is not None]
        conditions = Conditions(parts, values=values)
        for name, word in zip(_WORDS, words, strict=False):
            conditions_of_columns: list[LiteralString] = [
                condition
                for title, column in self.columns.items()
                if word.column in (None, title) and (condition := column.condition) is not None
            ]
            condition_of_word: LiteralString = " OR ".join(conditions_of_columns) or "false"
            conditions.word_conditions.append(condition_of_word.format(word=f"%({name})s::text"))
            conditions.values[name] = word.text
        return conditions

    def _column(self, order: SortOrder) -> tuple[LiteralString, ListColumn]:
        for name, column in self.columns.items():
            if name == order.column:
                return name, column
        raise Invalid(f"The list has no column {order.column}.")
