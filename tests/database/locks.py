"""Transactions that are held just before their commit, and the transactions that wait for a lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal, LiteralString

from tests.support.waiting import eventually

from greenroom.db.database import Database

_HOLD: LiteralString = """
CREATE OR REPLACE FUNCTION held_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER held_at_commit AFTER UPDATE OF status ON sessions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND """
_STATUS: dict[str, LiteralString] = {
    "assigning": "NEW.status = 'assigning'",
    "leaving": "NEW.status IN ('deleting', 'unreachable')",
}


async def waiting(db: Database, number: int) -> None:
    """Return when `number` statements of this database wait for a lock."""
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " HAVING count(*) >= %s"
    )
    await eventually(lambda: db.fetch(query, (number,)), 30)


async def waits_or_ends(db: Database, task: asyncio.Task[Any], number: int) -> None:
    """Return when the task has ended, or `number` statements wait for a lock."""
    looking = asyncio.create_task(waiting(db, number))
    await asyncio.wait({looking, task}, return_when=asyncio.FIRST_COMPLETED)
    looking.cancel()


@asynccontextmanager
async def held_at_commit(db: Database, what: Literal["assigning", "leaving"]) -> AsyncGenerator[None]:
    """During the block, a transaction that gives a session to a user, or takes one out of its pool, waits at its
    commit. It has written everything, no other transaction sees it, and it holds its locks."""
    await db.write(_HOLD + _STATUS[what] + ") EXECUTE FUNCTION held_at_commit()")
    async with db.connection() as holder:
        await holder.execute("SELECT pg_advisory_lock(4711)")
        try:
            yield
        finally:
            await holder.execute("SELECT pg_advisory_unlock(4711)")


async def ended(*tasks: asyncio.Task[Any]) -> list[Any]:
    """The results of the held transactions, within a few seconds."""
    async with asyncio.timeout(30):
        return list(await asyncio.gather(*tasks))
