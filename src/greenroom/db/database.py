"""The pool of connections to PostgreSQL, through which all SQL runs.

A read whose connection was lost is repeated: there are at most `READ_ATTEMPTS` attempts. A write is not repeated,
because it may have been committed; the caller decides. Queries are `LiteralString`, so that the type checker refuses
SQL that is composed at run time. Errors of the driver are raised as errors of `greenroom.core.errors`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, LiteralString, TypeVar

import msgspec
import psycopg
import structlog
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from greenroom.core.errors import (
    Duplicate,
    GreenroomError,
    Invalid,
    LastEnabledManager,
    ProfileInUse,
    SetupError,
    StatementCanceled,
    Unavailable,
)
from greenroom.core.events import ChangeEvent
from greenroom.core.fleet.addresses import is_this_host
from greenroom.db.connections import (
    ANSWER_SLACK_S,
    KEEPALIVE_OPTIONS,
    PooledConnection,
    refusals,
    reraise_lost_cancellation,
    servers_of,
)
from greenroom.db.outages import outages
from greenroom.db.rows import convert

CONSTRAINTS: Final[dict[str, tuple[type[GreenroomError], str | None]]] = {
    "last-enabled-manager": (LastEnabledManager, None),
    "zones_name_unique": (Duplicate, "A zone with this name already exists; choose another name."),
    "groups_name_unique": (Duplicate, "A group with this name already exists; choose another name."),
    "users_username_unique": (Duplicate, "A user with this name already exists; choose another name."),
    "sessions_one_profile": (
        ProfileInUse,
        "The home folder is in use by another session. Open or end that session, or launch without the home folder.",
    ),
    "homes_one": (
        ProfileInUse,
        "The home folder of this workspace is being deleted on its host; launch again in a moment.",
    ),
    "images_friendly_name_unique": (
        Duplicate,
        "A workspace with this friendly name already exists; choose another name.",
    ),
    "images_catalogue_unique": (
        Duplicate,
        "This entry of the catalogue was already added; change its workspace instead.",
    ),
    "catalogues_name_unique": (Duplicate, "A catalogue with this name already exists; choose another name."),
    "catalogues_url_unique": (Duplicate, "The catalogue at this address was already added."),
    "webhooks_name_unique": (Duplicate, "A webhook with this name already exists; choose another name."),
    "sign_on_providers_name_unique": (
        Duplicate,
        "A sign-on provider with this name already exists; choose another name.",
    ),
    "scim_clients_name_unique": (Duplicate, "A SCIM client with this name already exists; choose another name."),
    "directories_name_unique": (Duplicate, "A directory with this name already exists; choose another name."),
    "identities_subject_unique": (Duplicate, "This identity is already linked to a user; unlink it there first."),
    "second_factors_credential_unique": (Duplicate, "This passkey is already stored; use another one."),
    "secrets_name_unique": (Duplicate, "You already have a secret with this name; choose another name."),
    "machine_pools_name_unique": (Duplicate, "A machine pool with this name already exists; choose another name."),
    "filter_policies_name_unique": (
        Duplicate,
        "A web filter policy with this name already exists; choose another name.",
    ),
    "images_filter_policy": (Invalid, "There is no such web filter policy; it may have been deleted."),
    "staging_configs_unique": (
        Duplicate,
        "A staging config for this zone, image and set of permissions already exists; change its number of sessions.",
    ),
}
"""Violated constraint → (error, message for the user; None = the message of the database)."""


def translate(error: psycopg.Error) -> GreenroomError | None:
    """Return the error of `core.errors` for a violated constraint or an impossible value; None if there is none."""
    name = error.diag.constraint_name
    if name in CONSTRAINTS:
        kind, message = CONSTRAINTS[name]
        sentence = message or error.diag.message_primary or ""
        return kind(sentence[:1].upper() + sentence[1:])
    if isinstance(error, pg.ForeignKeyViolation):
        return Invalid(f"A referenced object does not exist, or is still in use: {error.diag.message_detail}")
    if isinstance(error, (pg.CheckViolation, pg.NotNullViolation)):
        return Invalid(f"A value is not allowed: {error.diag.message_primary}")
    if isinstance(error, psycopg.DataError):
        return Invalid(f"A value cannot be stored: {error.diag.message_primary or error}")
    if _exceeds_limit(error):
        return Invalid("A value is too long to be stored; shorten it.")
    return None


def is_outage(error: BaseException) -> bool:
    """Return True for an error that does not depend on the statement: the database cannot be reached, or cannot be used
    with this connection. False also for a statement that was canceled, or for which disk space or memory is missing.
    The driver classifies both as lost connections."""
    if isinstance(error, psycopg.OperationalError):
        return error.sqlstate is None or error.sqlstate.startswith(_LOST_STATES)
    return isinstance(error, _OUTAGES)


def refuses_values(error: BaseException) -> bool:
    """Return True if the values of a statement cannot be encoded, or the database refuses them. False: the same
    statement can succeed later."""
    if isinstance(error, psycopg.OperationalError):
        return _exceeds_limit(error)
    return not isinstance(error, Unavailable) and not is_outage(error)


def _exceeds_limit(error: psycopg.Error) -> bool:
    return (error.sqlstate or "").startswith(_LIMIT_STATES)


@contextmanager
def translating_errors() -> Generator[None]:
    """Raise the result of `translate` in place of an error of the driver."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise Invalid("A text has a character that cannot be stored.") from error
    except (psycopg.IntegrityError, psycopg.DataError, psycopg.OperationalError) as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


log = structlog.get_logger(__name__)


def unverified_hosts(dsn: str) -> list[str]:
    """Return the hosts of a connection string whose certificates are not verified, without this machine.

    Certificates are verified with `sslmode=verify-full`, and the authority's certificate in `sslrootcert`. Raises
    SetupError: `dsn` is not a connection string.
    """
    try:
        options = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    except psycopg.ProgrammingError as error:
        raise SetupError(f"The database URL cannot be read: {str(error).strip()}.") from error
    if (options.get("sslmode") or os.environ.get("PGSSLMODE")) == "verify-full":
        return []
    hosts = (options.get("host") or options.get("hostaddr") or "").split(",")
    return [host for host in hosts if host and not host.startswith(("/", "@")) and not is_this_host(host)]


def has_password(dsn: str) -> bool:
    """Return True if a connection string has a password; False also if the string cannot be parsed."""
    try:
        return bool(conninfo_to_dict(dsn).get("password"))
    except psycopg.ProgrammingError:
        return False


def warn_of_unverified(dsn: str) -> None:
    """Log a warning if the database is on another host and its certificate is not verified."""
    if hosts := unverified_hosts(dsn):
        log.warning(
            "the database is on another host, and its certificate is not verified; add sslmode=verify-full and "
            "sslrootcert to GREENROOM_DATABASE_URL",
            hosts=hosts,
        )


# These functions are much faster than those of the standard library, and encode dataclasses directly.
set_json_loads(msgspec.json.decode)
set_json_dumps(msgspec.json.encode)

Connection = psycopg.AsyncConnection[DictRow]
Cursor = psycopg.AsyncCursor[DictRow]
Params = Mapping[str, Any] | Sequence[Any] | None
T = TypeVar("T")

READ_ATTEMPTS: Final = 3
SERVER_SEARCH_S: Final = 2.0
"""The time for which one attempt of the pool searches for a server that accepts writes."""
_OUTAGES: Final = (pg.IdleInTransactionSessionTimeout, pg.ReadOnlySqlTransaction, pg.FeatureNotSupported)
"""Errors that do not depend on the statement. In their order: this process was frozen inside a transaction, the server
was demoted, or a migration by a newer version added a column that a prepared statement does not expect."""
_LOST_STATES: Final = ("08", "57P")
"""The beginnings of the SQLSTATEs of lost connections. An error without SQLSTATE is from the driver or the pool, which
lost or found no connection."""
_LIMIT_STATES: Final = "54"
"""The beginning of the SQLSTATEs of values that exceed a limit of PostgreSQL, such as that of an index."""
CHANNEL: Final = "greenroom"
NOTIFY: Final[LiteralString] = "SELECT count(pg_notify('" + CHANNEL + "', event)) FROM unnest(%(events)s::text[]) event"
"""Statement, or part of a statement, that sends the notifications `events` (`event_texts`) with its commit."""


def event_texts(events: Iterable[ChangeEvent]) -> list[str]:
    """Return the texts of `events` for NOTIFY, sorted and each once. Listeners receive the notifications of a commit in
    this order."""
    return sorted({str(event) for event in events})


async def returned_row(cursor: Cursor) -> DictRow:
    """Return the row of a statement that always returns a row, such as INSERT … RETURNING."""
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("a statement that always returns a row returned none")
    return row


def rows_as(kind: type[T], rows: Iterable[Mapping[str, Any]]) -> list[T]:
    """Return the rows as dataclasses of this type, with enumerations and nested JSON. A row with a value of a wrong
    type is logged and omitted, so that the other rows are still processed. Raises msgspec.ValidationError: a row lacks
    a field of the type, which is a defect of the statement."""
    return [converted for row in rows if (converted := convert(kind, row)) is not None]


def row_as(kind: type[T], row: Mapping[str, Any] | None) -> T | None:
    """Return one row as a dataclass; None for None. Raises msgspec.ValidationError: a value has a wrong type."""
    return None if row is None else msgspec.convert(row, kind)


class Database:
    """A pool of autocommit connections with one application name.

    `dsn` is a libpq connection string; if it has several hosts, the server that accepts writes is used.
    `statement_timeout_ms` limits one statement, and a pause inside a transaction; if the server has not answered
    `ANSWER_SLACK_S` later, the connection is cut. `acquire_timeout_s` limits the wait for a connection.
    `plan_statements_once`: PostgreSQL plans each statement once for all values, which suits statements that find rows
    by key. By default, it plans a statement again for each list of keys.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        max_size: int = 8,
        statement_timeout_ms: int = 5000,
        acquire_timeout_s: float = 5.0,
        plan_statements_once: bool = False,
    ) -> None:
        self.dsn = dsn
        self.application_name = application_name
        self._answer_timeout_s = statement_timeout_ms / 1000 + ANSWER_SLACK_S
        self._closing = asyncio.Event()
        self._drained_at_s = 0.0
        self._pool = AsyncConnectionPool[PooledConnection[DictRow]](
            dsn,
            connection_class=PooledConnection[DictRow],
            configure=self._configure,
            kwargs={
                "search_s": SERVER_SEARCH_S,
                "closing": self._closing,
                "row_factory": dict_row,
                "autocommit": True,
                "application_name": application_name,
                "connect_timeout": 5,
                **KEEPALIVE_OPTIONS,
                "prepare_threshold": 1 if plan_statements_once else 5,
                "options": f"-c statement_timeout={statement_timeout_ms} "
                f"-c idle_in_transaction_session_timeout={statement_timeout_ms} -c TimeZone=UTC"
                + (" -c plan_cache_mode=force_generic_plan" if plan_statements_once else ""),
            },
            min_size=1,
            max_size=max_size,
            timeout=acquire_timeout_s,
            # The pool would wait a second or more between two attempts to connect. It therefore makes one attempt, in
            # which the connection tries for `search_s`. The next caller starts another attempt.
            reconnect_timeout=0.1,
            open=False,
        )

    async def _configure(self, connection: PooledConnection[DictRow]) -> None:
        connection.answer_timeout_s = self._answer_timeout_s

    async def open(self) -> None:
        """Start the pool without waiting for a connection, and log a warning about unverified certificates. Raises
        SetupError: the URL cannot be read."""
        warn_of_unverified(self.dsn)
        await self._pool.open()

    async def close(self) -> None:
        self._closing.set()
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Yield a connection in autocommit mode.

        Raises:
            DatabaseUnavailable: no connection was available in time, or the connection was lost.
            StatementCanceled: the database canceled the statement.
            GreenroomError: a constraint was violated, or a value is impossible.
        """
        used: PooledConnection[DictRow] | None = None
        try:
            with reraise_lost_cancellation():
                async with self._pool.connection() as connection:
                    used = connection
                    with translating_errors():
                        try:
                            yield connection
                        except (pg.ReadOnlySqlTransaction, pg.FeatureNotSupported):
                            # The server was demoted, or the other connections have the same outdated prepared
                            # statements.
                            await self._pool.drain()
                            raise
        except (psycopg.OperationalError, *_OUTAGES) as error:
            if not is_outage(error):
                raise outages.canceled(error) from error
            if used is not None and used.broken:
                await self._replace_others(used)
            reason = refusals.messages(servers_of(self.dsn)) if isinstance(error, PoolTimeout) else ""
            raise outages.unavailable(reason or error) from error

    async def _replace_others(self, lost: PooledConnection[DictRow]) -> None:
        """Replace the connections that were opened before a lost connection, because they have lost their server too.
        Otherwise each caller would wait for a frozen server in turn."""
        if lost.opened_at_s > self._drained_at_s:
            self._drained_at_s = asyncio.get_running_loop().time()
            await self._pool.drain()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Yield a connection inside a transaction (READ COMMITTED), which is committed at the end and rolled back after
        an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def pipelined(self, events: Collection[ChangeEvent] = ()) -> AsyncGenerator[Connection]:
        """Yield a connection inside a transaction that sends statements without waiting for their results. BEGIN is
        sent with the first statement; COMMIT and the notifications of `events` are sent with the last statement. The
        caller may add events until then. An error of a statement is raised by the next fetch, or at the end."""
        async with self.connection() as connection:
            try:
                async with connection.pipeline():
                    # The driver's own transaction block would wait for BEGIN and for COMMIT.
                    await connection.execute("BEGIN")
                    yield connection
                    await connection.execute("COMMIT")
                    if events:
                        await connection.execute(NOTIFY, {"events": event_texts(events)})
            except BaseException:
                with suppress(psycopg.Error):  # the connection may be lost; the first error is raised
                    await connection.rollback()
                raise

    async def fetch(self, query: LiteralString, params: Params = None, *, retry: bool = True) -> list[DictRow]:
        """Return the rows of a statement that changes nothing. The statement is repeated if the connection was lost,
        unless `retry` is False. A statement that the database canceled is not repeated, because it would take as long
        again."""
        attempts = READ_ATTEMPTS if retry else 1
        for attempt in range(1, attempts + 1):
            try:
                async with self.connection() as connection:
                    return await (await connection.execute(query, params)).fetchall()
            except Unavailable as error:
                if attempt == attempts or isinstance(error, StatementCanceled):
                    raise
                log.warning("read repeated", attempt=attempt, reason=error.message)
        raise AssertionError("unreachable")

    async def fetch_one(self, query: LiteralString, params: Params = None) -> DictRow | None:
        """Return the first row of a statement that changes nothing, or None; it is repeated as in `fetch`."""
        rows = await self.fetch(query, params)
        return rows[0] if rows else None

    async def fetch_as(
        self, kind: type[T], query: LiteralString, params: Params = None, *, retry: bool = True
    ) -> list[T]:
        """Return the rows of `fetch` as dataclasses. The statement must cast ids to text (`::text`)."""
        return rows_as(kind, await self.fetch(query, params, retry=retry))

    async def fetch_one_as(self, kind: type[T], query: LiteralString, params: Params = None) -> T | None:
        return row_as(kind, await self.fetch_one(query, params))

    async def write(self, query: LiteralString, params: Params = None) -> list[DictRow]:
        """Run one statement that changes rows, in a separate transaction; returns the rows of RETURNING."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description else []

    async def notify(self, *events: ChangeEvent) -> None:
        """Notify all listeners, after commit. A loss is harmless: all listeners also poll."""
        texts = event_texts(events)
        try:
            async with self.connection() as connection:
                await connection.execute(NOTIFY, {"events": texts})
        except Unavailable as error:
            log.warning("notification lost", events=texts, reason=error.message)
