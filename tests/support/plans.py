"""The amount of data that statements read from a database, as counted by PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.rows import DictRow

from greenroom.db.database import Database, Params


@dataclass(frozen=True, slots=True)
class Reading:
    """The data that a statement read: rows and index entries of all tables, including those removed by a condition,
    and pages."""

    rows: int
    pages: int
    ms: float


class NotingDatabase(Database):
    """A database that records the statements of `fetch` since `noted` was emptied."""

    noted: list[tuple[LiteralString, Params]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.noted = []

    async def fetch(self, query: LiteralString, params: Params = None, *, retry: bool = True) -> list[DictRow]:
        self.noted.append((query, params))
        return await super().fetch(query, params, retry=retry)

    async def readings(self) -> list[Reading]:
        """Run the recorded statements again and return the data that each of them reads."""
        noted, self.noted = self.noted, []
        found = [await reading(self, query, params) for query, params in noted]
        self.noted = []
        return found


async def reading(db: Database, query: LiteralString, params: Params = None) -> Reading:
    """Run a statement and return the data that it reads."""
    async with db.connection() as connection:
        cursor = await connection.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + query, params, prepare=False)
        ((document,),) = [row.values() for row in await cursor.fetchall()]
    (explained,) = document
    top = explained["Plan"]
    rows = sum(_read(node) * node["Actual Loops"] for node in _nodes(top) if "Relation Name" in node)
    return Reading(round(rows), top["Shared Hit Blocks"] + top["Shared Read Blocks"], explained["Execution Time"])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _read(node: dict[str, Any]) -> float:
    return node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
