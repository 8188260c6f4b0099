"""Rows that are collected and written together: one that the database refuses never holds up the others.

What such rows say comes in part from strangers (a name tried at the log-in, the host name of an Agent that was
refused), so it is made storable first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString, cast

import psycopg
import structlog

from greenroom.core.errors import GreenroomError, Unavailable
from greenroom.db.database import Database

log = structlog.get_logger(__name__)

MAX_TEXT: Final = 8192
"""Characters that are kept of one text."""


def storable(value: Any) -> Any:
    """`value`, also inside objects and lists, with texts that PostgreSQL takes: no NUL, no half of a surrogate pair."""
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(name): storable(inner) for name, inner in cast("dict[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [storable(inner) for inner in cast("Sequence[object]", value)]
    return value


async def insert_rows(db: Database, statement: LiteralString, rows: Sequence[Any]) -> None:
    """Run `statement` with each of `rows`, in one transaction; a row that cannot be stored is left out and logged.

    Raises:
        Unavailable: the database is away; nothing was written.
    """
    try:
        await _insert(db, statement, rows)
    except Unavailable:
        raise
    except (GreenroomError, UnicodeError):
        await _insert_one_by_one(db, statement, rows)


async def _insert(db: Database, statement: LiteralString, rows: Sequence[Any]) -> None:
    async with db.transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(statement, rows)


async def _insert_one_by_one(db: Database, statement: LiteralString, rows: Sequence[Any]) -> None:
    """In one transaction too, so that a loss of the database in between does not leave a part to be written twice."""
    async with db.transaction() as connection:
        for row in rows:
            try:
                async with connection.transaction():
                    await connection.execute(statement, row)
            except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
                log.error("a row cannot be stored; it is left out", reason=str(error))
