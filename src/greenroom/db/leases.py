"""The lease of a zone in SQL (PROTOCOLS §1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from greenroom.core.errors import LeaseLost
from greenroom.db.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of being Primary, checked by the database at every privileged write."""

    zone_key: int
    holder: str
    term: int


@asynccontextmanager
async def guarded(db: Database, fence: Fence) -> AsyncGenerator[Connection]:
    """A transaction that only the holder of the term can make.

    The lease row is held FOR SHARE until commit, so no other term can begin meanwhile; keep it short, with no call
    outside the database inside (GUARD of PROTOCOLS §1). A plan that counts locks in one statement and counts in a
    later one.

    Raises:
        LeaseLost: the term is over; nothing was written.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT 1 FROM zone_leases WHERE zone_key = %s AND holder = %s AND term = %s"
            " AND expires_at > clock_timestamp() FOR SHARE",
            (fence.zone_key, fence.holder, fence.term),
        )
        if await cursor.fetchone() is None:
            raise LeaseLost(f"Term {fence.term} is over; another Manager is Primary of this zone now.")
        yield connection
