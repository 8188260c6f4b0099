"""Refusal of poolers in front of PostgreSQL (ADR 67): a statement, a lock and a notification belong to a session."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Final

import psycopg

from greenroom.core.errors import SetupError, Unavailable
from greenroom.db.connections import PatientConnection

_POOLER: Final = (
    "The database URL names a pooler, which {}. Use the address of PostgreSQL, or of a proxy that "
    "does not change connections, such as haproxy; Greenroom has its own pool of few connections."
)
_TIMEOUT: Final = "54321ms"
_ANSWER_S: Final = 10.0
AGAIN_S: Final = 5.0


async def refuse_pooler(dsn: str) -> None:
    """Check that a connection is one session of PostgreSQL, with the requested options.

    A second connection holds a transaction in the meantime, so that a pooler cannot answer with the same session by
    chance.

    Raises:
        SetupError: there is a pooler in between.
        Unavailable: the database cannot be reached.
    """
    key = secrets.randbits(31)
    try:
        first = await _connect(dsn, autocommit=True)
        second = await _connect(dsn, autocommit=False)
        async with first, second:
            cursor = await first.execute(
                "SELECT current_setting('statement_timeout'), pg_backend_pid(), pg_advisory_lock(74, %s)", (key,)
            )
            timeout, before, _ = await cursor.fetchone() or (None, None, None)
            await second.execute("SELECT 1")
            cursor = await first.execute(
                "SELECT pg_backend_pid() FROM pg_locks WHERE locktype = 'advisory' AND classid = 74"
                " AND objid = %s::bigint::oid AND pid = pg_backend_pid()",
                (key,),
            )
            after = await cursor.fetchone()
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" in str(error):  # pgbouncer
            raise SetupError(_POOLER.format("does not forward the options of a connection")) from error
        raise Unavailable(f"The database cannot be reached at the moment: {error}".strip()) from error
    if after is None or before != after[0]:
        raise SetupError(_POOLER.format("uses another session for each transaction"))
    if timeout != _TIMEOUT:
        raise SetupError(_POOLER.format("discards the options of a connection, including the time limits"))


async def refuse_pooler_later(dsn: str) -> None:
    """Check as soon as an absent database answers; never returns. Raises SetupError: there is a pooler."""
    is_known = False
    while not is_known:
        await asyncio.sleep(AGAIN_S)
        with suppress(Unavailable):
            await refuse_pooler(dsn)
            is_known = True
    await asyncio.Event().wait()


async def _connect(dsn: str, *, autocommit: bool) -> PatientConnection[tuple[object, ...]]:
    options = f"-c statement_timeout={_TIMEOUT}"
    connection = await PatientConnection[tuple[object, ...]].connect(
        dsn, autocommit=autocommit, connect_timeout=5, options=options
    )
    connection.answer_s = _ANSWER_S
    return connection
