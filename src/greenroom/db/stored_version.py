"""The newest version of Greenroom that has applied all its migrations to the database, and the checks at the start.

The column `installation.migrated_by` stores this version. It changes together with the first *post* migration of a
version, or when the version has no more migrations to apply. So a role of the previous version can start until then,
and an older role cannot start afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import errors

from greenroom.core.errors import Unavailable
from greenroom.core.versions import Version, check_upgrade, refuse_downgrade
from greenroom.db.connections import TimeLimitedConnection, refuse_pooler
from greenroom.db.outages import outages
from greenroom.kit.program import version

# A database from before the first release may not have the column. Its migration then reports the problem.
_READ: Final = "SELECT to_jsonb(installation) ->> 'migrated_by' FROM installation"
_STORE: Final = "UPDATE installation SET migrated_by = %(version)s WHERE migrated_by IS DISTINCT FROM %(version)s"

CHECK_INTERVAL_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 10.0


async def read_version(connection: psycopg.AsyncConnection[Any]) -> Version | None:
    """Return the stored version; None if no version has migrated the database. `connection` has no transaction."""
    try:
        row = await (await connection.execute(_READ)).fetchone()
    except errors.UndefinedTable:
        return None
    return Version.parse(row[0]) if row and row[0] else None


async def check_version(connection: psycopg.AsyncConnection[Any], *, may_skip: bool = False) -> None:
    """Check that this version may use the database. `may_skip`: this version may skip a series.

    Raises:
        SetupError: a newer version has migrated the database, or this version skips a series.
    """
    if (stored := await read_version(connection)) is not None:
        check = refuse_downgrade if may_skip else check_upgrade
        check(stored, Version.parse(version()))


async def store_version(connection: psycopg.AsyncConnection[Any]) -> None:
    """Store this version, which `check_version` has accepted."""
    await connection.execute(_STORE, {"version": version()})


async def check_database(dsn: str) -> None:
    """Check the database at the start of an api or a Manager.

    Raises:
        SetupError: the URL names a connection pooler, or this version may not use the database.
        Unavailable: the database cannot be reached.
    """
    await refuse_pooler(dsn)
    try:
        async with await TimeLimitedConnection.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            connection.answer_timeout_s = _ANSWER_TIMEOUT_S
            await check_version(connection)
    except psycopg.OperationalError as error:
        raise outages.unavailable(error) from error


async def watch_database(dsn: str) -> None:
    """Call `check_database` as soon as the database answers, and then wait forever. Raises SetupError: as for
    `check_database`."""
    is_checked = False
    while not is_checked:
        await asyncio.sleep(CHECK_INTERVAL_S)
        with suppress(Unavailable):
            await check_database(dsn)
            is_checked = True
    await asyncio.Event().wait()
