"""The upgrade of several machines, one after the other: its record, and the versions of the other machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg

from greenroom.core.errors import SetupError
from greenroom.core.text import database_error
from greenroom.db.connections import KEEPALIVE_OPTIONS, TimeLimitedConnection
from greenroom.db.database import Database

REPORTED_WITHIN_S: Final = 60.0
"""The maximum age of the last report of a Manager that counts as running, enabled or not."""

_LOCK: Final = (73, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedUpgrade:
    """The upgrade to `version` that has not ended. `previous` is the path of the program of the previous version, and
    `backup` that of the backup, both on the machine `hostname`, which started the upgrade. `passphrase_file` is the
    path of the file with the passphrase of the backup; "" = there is none."""

    version: str
    hostname: str
    previous: str
    backup: str
    passphrase_file: str
    started: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A running Manager or Agent. `role` is `Manager` or `Agent`, and `name` the id that identifies it."""

    role: str
    name: str
    hostname: str
    version: str


async def stored_version(db: Database) -> str:
    """Return the newest version that has applied all its migrations. Raises SetupError: there is none."""
    row = await db.fetch_one("SELECT migrated_by FROM installation")
    if row is None or row["migrated_by"] is None:
        raise SetupError("The database contains no installation; run greenroom setup installation first.")
    return row["migrated_by"]


async def started_upgrade(db: Database) -> StartedUpgrade | None:
    """Return the upgrade that has not ended, or None."""
    # Before the first migration of an upgrade from 0.1.0, the table has no column `passphrase_file`.
    return await db.fetch_one_as(
        StartedUpgrade,
        "SELECT version, hostname, previous, backup, started,"
        " coalesce(to_jsonb(upgrades) ->> 'passphrase_file', '') AS passphrase_file FROM upgrades",
    )


async def store_upgrade(db: Database, version: str, hostname: str, previous: str, files: tuple[str, str]) -> None:
    """Store the start of an upgrade, in place of an upgrade that was abandoned. `files` are the paths of the backup and
    of its passphrase file."""
    await db.write(
        "INSERT INTO upgrades (version, hostname, previous, backup, passphrase_file) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (only_row) DO UPDATE SET (version, hostname, previous, backup, passphrase_file, started)"
        " = (EXCLUDED.version, EXCLUDED.hostname, EXCLUDED.previous, EXCLUDED.backup, EXCLUDED.passphrase_file, now())",
        (version, hostname, previous, *files),
    )


async def delete_upgrade(db: Database) -> None:
    """Delete the record of an upgrade that has ended."""
    await db.write("DELETE FROM upgrades")


async def running_processes(db: Database) -> list[RunningProcess]:
    """Return all running Managers and Agents, with the version of their last start."""
    return await db.fetch_as(
        RunningProcess,
        "SELECT 'Manager' AS role, instance_id AS name, hostname, version FROM managers"
        " WHERE last_reported > clock_timestamp() - make_interval(secs => %s)"
        " UNION ALL SELECT 'Agent', agent_id::text, hostname, version FROM agents WHERE status = 'running'"
        " ORDER BY role DESC, hostname, name",
        (REPORTED_WITHIN_S,),
    )


async def agents_of(db: Database, manager_id: str) -> int:
    """Return the number of running Agents whose last report was to this Manager."""
    query = "SELECT count(*)::integer AS number FROM agents WHERE status = 'running' AND manager_id = %s"
    row = await db.fetch_one(query, (manager_id,))
    return row["number"] if row else 0


async def owns_tables(db: Database) -> bool:
    """True if the role of the connection may change the tables."""
    query = "SELECT pg_has_role(relowner, 'USAGE') AS owns FROM pg_class WHERE oid = 'installation'::regclass"
    row = await db.fetch_one(query)
    return bool(row and row["owns"])


@asynccontextmanager
async def upgrade_lock(dsn: str) -> AsyncGenerator[None]:
    """Hold the lock of upgrades and restores in the database for the duration of the block. The name of the connection
    does not begin with `greenroom`, because a restore refuses a database that such connections use.

    Raises:
        SetupError: another machine holds the lock, or the database cannot be reached.
    """
    try:
        connection = await TimeLimitedConnection.connect(
            dsn, autocommit=True, connect_timeout=10, application_name="lock of greenroom upgrade", **KEEPALIVE_OPTIONS
        )
    except psycopg.Error as error:
        raise SetupError(database_error(str(error))) from error
    async with connection:
        row = await (await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _LOCK)).fetchone()
        if not row or not row[0]:
            raise SetupError("The upgrade or the restore of another machine is running; wait until it ends.")
        yield
