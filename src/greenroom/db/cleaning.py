"""Deletion of outdated rows in small batches, so that no request waits for a lock and no statement exceeds its time
limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, LiteralString

from greenroom.db.database import Database

BATCH: Final = 1000
MAX_BATCHES: Final = 300
"""Limit for one kind and round; more than a Manager can write between two rounds, because any client can cause rows of
refused requests."""
LOCK: Final = 75
"""Advisory lock: one process cleans up at a time."""


async def delete_in_batches(db: Database, statement: LiteralString, values: Mapping[str, Any]) -> int:
    """Repeat a statement, which deletes at most `%(batch)s` rows, until it finds no more; returns their number.

    A batch that another process is deleting is skipped.

    Raises:
        GivenUp: the database gave the statement up.
        Unavailable: the database cannot be reached.
    """
    total = 0
    for _ in range(MAX_BATCHES):
        async with db.transaction() as connection:
            cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS mine", (LOCK,))
            row = await cursor.fetchone()
            if row is None or not row["mine"]:
                break
            number = (await connection.execute(statement, {**values, "batch": BATCH})).rowcount
        total += number
        if number < BATCH:
            break
    return total
