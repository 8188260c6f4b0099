"""Applies each SQL file of `greenroom/db/migrations` once, in the order of their names, and then the grants.

A file is named `NNNN_{pre|post}_description.sql`: *pre* runs before the new code, and the previous version can continue
to run with it; *post* runs after every process has the new version. With `only_pre`, the *post* files after the last
*pre* file are not applied. A version also starts with a database that has *pre* files of the next version, so that an
upgrade can be undone until its first *post* file. An advisory lock prevents two migrations at the same time; PostgreSQL
releases it when the process is killed. Only migrations use the owner's role; the api and the Managers use SERVICE_ROLE.
An external database may have no SERVICE_ROLE.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib import resources
from typing import Final, LiteralString

import psycopg
from psycopg import errors

from greenroom.core.errors import SetupError
from greenroom.core.text import database_error
from greenroom.db.connections import KEEPALIVE_OPTIONS, NoPrimaryError, TimeLimitedConnection
from greenroom.db.restored import end_staged_sessions_of_backup
from greenroom.db.stored_version import check_version, store_version

OWNER_ROLE: Final = "greenroom"
SERVICE_ROLE: Final = "greenroom_service"

ROLES: Final[tuple[LiteralString, ...]] = ("CREATE ROLE greenroom LOGIN", "CREATE ROLE greenroom_service LOGIN")
"""Statements that create the roles in a new database cluster."""

_HAS_ROLE: Final = "SELECT FROM pg_roles WHERE rolname = 'greenroom_service'"

# Log rows are added and deleted (db.diagnostics.retention), never changed. Events of the audit are only added; a
# function deletes old ones. Only the owner may change the installation with its version, the list of applied
# migrations, and the record of an upgrade, because administrators run the programs that it names. The last machine
# deletes this record.
_GRANTS: Final[tuple[LiteralString, ...]] = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO greenroom_service",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO greenroom_service",
    "REVOKE UPDATE ON logs FROM greenroom_service",
    "REVOKE UPDATE, DELETE ON audit_events FROM greenroom_service",
    "REVOKE DELETE ON audit_head, audit_seals FROM greenroom_service",
    "REVOKE EXECUTE ON FUNCTION delete_audit_events FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION delete_audit_events TO greenroom_service",
    "REVOKE INSERT, UPDATE, DELETE ON installation, schema_migrations FROM greenroom_service",
    "REVOKE INSERT, UPDATE ON upgrades FROM greenroom_service",
)


async def grant(connection: psycopg.AsyncConnection) -> None:
    """Grant the service role the privileges that it needs on all tables, if the role exists. `connection` uses the
    owner's role. The caller has applied the migrations."""
    async with connection.transaction():
        if await (await connection.execute(_HAS_ROLE)).fetchone() is None:
            return
        for statement in _GRANTS:
            await connection.execute(statement)


_LOCK = (73, 0)

LOCK_TIMEOUT_MS: Final = 10_000
"""The maximum time for which a migration waits for a table that a transaction uses, such as a dump of the database.
Meanwhile, requests for this table wait for the migration."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file; `checksum` is the sha256 of its text."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all files of this version, in order."""
    folder = resources.files("greenroom.db.migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text("utf-8")) for f in files]


async def migrate(dsn: str, *, only_pre: bool = False, may_skip: bool = False) -> list[str]:
    """Migrate the database to this version; returns the names of the files that were applied.

    With `only_pre`, files after the last *pre* file are applied only to a new database; if one file fails, none is
    applied. `may_skip`: this version may skip a series, because no role uses the database.

    Raises:
        SetupError: this version may not use the database, which is newer, skips a series or precedes the first
            release; an applied file was changed, a file fails, or the database cannot be reached.
    """
    async with _connected(dsn) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s, %s)", _LOCK)
        await connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(LOCK_TIMEOUT_MS),))
        await check_version(connection, may_skip=may_skip)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, checksum text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
        )
        applied = await _read_applied(connection)
        pending = plan(migrations(), applied)
        before = before_new_code([migration.name for migration in pending])
        is_complete = not only_pre or not applied
        chosen = pending if is_complete else pending[: len(before)]
        async with connection.transaction() if only_pre else nullcontext():
            for migration in chosen:
                await _apply(connection, migration, is_last_step=migration.name not in before)
            if is_complete:
                await store_version(connection)
        await end_staged_sessions_of_backup(connection)
        await grant(connection)
    return [migration.name for migration in chosen]


async def _apply(connection: psycopg.AsyncConnection, migration: Migration, *, is_last_step: bool) -> None:
    """Apply a file. `is_last_step`: the previous version cannot run with it."""
    try:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", (migration.name, migration.checksum)
            )
            if is_last_step:
                await store_version(connection)
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, errors.DiskFull):
            reason = database_error(reason).rstrip(".")
        raise SetupError(f"The migration {migration.name} failed: {reason}.") from error


async def pending_files(dsn: str) -> list[str]:
    """Return the names of the files that `migrate` would apply. Raises SetupError for the reasons of `migrate`."""
    async with _connected(dsn) as connection:
        await check_version(connection)
        rows = await (await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")).fetchall()
        applied = await _read_applied(connection) if rows[0][0] else {}
    return [migration.name for migration in plan(migrations(), applied)]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncGenerator[psycopg.AsyncConnection]:
    """Yield a connection. Raises SetupError: the database cannot be reached, or fails."""
    try:
        async with await TimeLimitedConnection.connect(
            dsn, autocommit=True, connect_timeout=10, **KEEPALIVE_OPTIONS
        ) as connection:
            yield connection
    except NoPrimaryError as error:
        raise SetupError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    except psycopg.Error as error:
        raise SetupError(database_error(str(error))) from error


async def _read_applied(connection: psycopg.AsyncConnection) -> dict[str, str]:
    rows = await (await connection.execute("SELECT name, checksum FROM schema_migrations")).fetchall()
    return {str(name): str(checksum) for name, checksum in rows}


def before_new_code(pending: list[str]) -> list[str]:
    """Return the names of the files that can be applied while the previous version runs: those up to the last *pre*
    file. `pending` contains the names of all files that are not applied."""
    last = max((number for number, name in enumerate(pending) if is_pre(name)), default=-1)
    return pending[: last + 1]


def is_pre(name: str) -> bool:
    """Return True if the previous version can run with the migration of this name."""
    return "_pre_" in name


def plan(files: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Return the files that are not applied yet; `applied` is name → checksum of the applied files. Raises SetupError:
    a file was changed after it was applied, the database has *post* files that this program does not have, or it does
    not have the first file, because a version before the first release created it."""
    newer = sorted(name for name in set(applied) - {f.name for f in files} if not is_pre(name))
    if newer:
        raise SetupError(
            f"The database belongs to a newer version of Greenroom (it has {newer[-1]}); update Greenroom."
        )
    if applied and files[0].name not in applied:
        raise SetupError(
            "A version of Greenroom before 0.1.0 created the database, and its data cannot be migrated; specify an"
            " empty database, or a new data folder."
        )
    for file in files:
        if applied.get(file.name, file.checksum) != file.checksum:
            raise SetupError(
                f"Migration {file.name} was changed after it was applied to this database; restore the file."
            )
    return [file for file in files if file.name not in applied]
