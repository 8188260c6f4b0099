"""Opens connections to PostgreSQL, cuts them when the server stops answering, and refuses connection poolers.

The servers in a connection string, and the addresses of one host name, are tried in parallel. The first server that
accepts writes is used, so that a frozen server causes no delay. The kernel of a frozen server may still accept data, so
only a time limit in this process ends a wait (`TimeLimitedConnection.answer_timeout_s`). The connection is then cut,
because a clean close would wait too.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import select
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, TypeVar

import psycopg
import structlog
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row

from greenroom.core.errors import SetupError
from greenroom.db.outages import outages
from greenroom.db.servers import Refusals, addresses_of

log = structlog.get_logger(__name__)

T = TypeVar("T")

refusals: Final = Refusals()

KEEPALIVE_OPTIONS: Final[dict[str, Any]] = {
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 3000,
}
"""Options with which a connection fails within seconds after the network is interrupted. They have no effect on a unix
socket."""
ANSWER_SLACK_S: Final = 3.0
"""The time that this process waits for an answer after the statement timeout, at which the server cancels the
statement."""
NEXT_SERVER_S: Final = 0.25
"""The time without an answer of a server after which the next server is tried too; after a refusal it is tried
immediately."""
RETRY_PAUSE_S: Final = 0.15
"""Approximate pause between two attempts at one server; longer if it refuses the login (`db.servers`)."""
_CTRL_C_CHECK_INTERVAL_S: Final = 60.0
"""The interval of psycopg's checks for Ctrl-C, by default 0.1 s. asyncio does not need these checks."""


class StandbyError(psycopg.OperationalError):
    """The server accepts no writes: it is a standby, or read-only."""


class NoPrimaryError(psycopg.OperationalError):
    """All servers in the connection string answer, but none accepts writes."""


class NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time, and the connection was cut. The statement may have been executed."""


@contextmanager
def reraise_lost_cancellation() -> Generator[None]:
    """Raise a cancellation that the block has lost. psycopg waits with `asyncio.wait_for`, which before Python 3.12
    loses a cancellation that arrives at the same moment as the answer; the task would then never end."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


class TimeLimitedConnection(psycopg.AsyncConnection[Row]):
    """A connection to the first server of its string that accepts writes, with a limit on the wait for an answer."""

    answer_timeout_s: float | None = None
    """Maximum time without data from the server during a wait for an answer; None = no limit."""
    opened_at_s: float = 0.0
    """The time at which the connection was opened, by the clock of the event loop."""

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connect to the first server that accepts writes, with one attempt at each server.

        Raises:
            NoPrimaryError: all servers are standbys or read-only.
            psycopg.OperationalError: no server can be reached.
        """
        return await cls._connect_to_first(conninfo, None, options)

    @classmethod
    async def _connect_to_first(cls, conninfo: str, ends_at_s: float | None, options: dict[str, Any]) -> Self:
        """Return the first connection that accepts writes. The servers are tried until `ends_at_s`, by the clock of the
        event loop; None = once."""
        servers = servers_of(conninfo)
        search = _ServerSearch(cls, servers, ends_at_s, options)
        return await (search.connect_to_only() if len(servers) == 1 else search.connect_to_first())

    @classmethod
    async def connect_to_one(cls, server: str, options: dict[str, Any]) -> Self:
        """Connect to one server.

        Raises:
            StandbyError: the server accepts no writes.
            RefusedError: the server refuses the login, or refused it a moment ago.
            psycopg.OperationalError: the server cannot be reached.
        """
        refusals.require_due(server)
        try:
            connection = await super().connect(server, **options)
        except psycopg.OperationalError as error:
            raise refusals.record_failure(server, _display_name(server), error) from error
        refusals.record_success(server)
        if any(connection.pgconn.parameter_status(name) == b"on" for name in _READ_ONLY):
            await connection.close()
            raise StandbyError("it is a standby, or read-only")
        connection.opened_at_s = asyncio.get_running_loop().time()
        return connection

    async def wait(self, gen: PQGen[T], interval: float = _CTRL_C_CHECK_INTERVAL_S, timeout: float | None = None) -> T:
        del interval
        if self.answer_timeout_s is None or timeout is not None:
            return await super().wait(gen, _CTRL_C_CHECK_INTERVAL_S, timeout)
        silence = _SilenceTimer(self, self.answer_timeout_s)
        try:
            return await super().wait(gen, _CTRL_C_CHECK_INTERVAL_S)
        except psycopg.OperationalError as error:
            if silence.has_cut:
                raise NoAnswerError(f"the database did not answer within {self.answer_timeout_s:g} s") from error
            raise
        finally:
            silence.cancel()


_READ_ONLY: Final = (b"in_hot_standby", b"default_transaction_read_only")
"""The parameters that PostgreSQL reports with its greeting; a query would cost another round trip."""


class PooledConnection(TimeLimitedConnection[Row]):
    """A connection of a pool. It repeats failed attempts itself, because the pool would wait longer between two
    attempts than the promotion of a standby takes."""

    @classmethod
    async def connect(
        cls, conninfo: str = "", *, search_s: float = 0.0, closing: asyncio.Event | None = None, **options: Any
    ) -> Self:
        """Connect to the first server that accepts writes; all servers are tried for `search_s` seconds. Raises
        psycopg.OperationalError: no server can be used, or the pool is `closing`."""
        ends_at_s = asyncio.get_running_loop().time() + search_s
        if closing is None:
            return await cls._connect_to_first(conninfo, ends_at_s, options)
        trying = asyncio.create_task(cls._connect_to_first(conninfo, ends_at_s, options), name="connect")
        closed = asyncio.create_task(closing.wait(), name="pool closes")
        try:
            await asyncio.wait((trying, closed), return_when=asyncio.FIRST_COMPLETED)
            if trying.done():
                return trying.result()
            raise psycopg.OperationalError("the pool is being closed")
        finally:
            await _cancel(trying, closed)


class _ServerSearch:
    """One search for a server that accepts writes."""

    def __init__(
        self,
        connection_type: type[TimeLimitedConnection[Row]],
        servers: list[str],
        ends_at_s: float | None,
        options: dict[str, Any],
    ) -> None:
        self._connection_type = connection_type
        self._servers = servers
        self._ends_at_s = ends_at_s
        self._options = options
        self._failures: dict[int, psycopg.OperationalError] = {}
        self._failed = [asyncio.Event() for _ in servers]

    async def connect_to_only(self) -> Any:
        """Connect to the only server."""
        connection = await self._try_until_end(0)
        if connection is None:
            raise self._connection_error()
        return connection

    async def connect_to_first(self) -> Any:
        """Connect to the first of several servers that accepts writes, and cancel the other attempts."""
        tasks = [asyncio.create_task(self._try_later(index), name="connect") for index in range(len(self._servers))]
        chosen = None
        try:
            for task in asyncio.as_completed(tasks, timeout=self._remaining_s()):
                with suppress(TimeoutError):
                    if (chosen := await task) is not None:
                        return chosen
        finally:
            for connection in await _cancel(*tasks):
                if connection is not chosen:
                    await connection.close()
        raise self._connection_error()

    def _remaining_s(self) -> float | None:
        return None if self._ends_at_s is None else max(0.0, self._ends_at_s - asyncio.get_running_loop().time())

    async def _try_later(self, index: int) -> Any:
        """Try a server when the previous server has failed, or `NEXT_SERVER_S` later than the previous server."""
        if index:
            with suppress(TimeoutError):
                async with asyncio.timeout(index * NEXT_SERVER_S):
                    await self._failed[index - 1].wait()
        return await self._try_until_end(index)

    async def _try_until_end(self, index: int) -> Any:
        """Try a server until `ends_at_s`; None = there is no connection."""
        while True:
            try:
                return await self._try_once(self._servers[index])
            except psycopg.OperationalError as error:
                self._failures[index] = error
                self._failed[index].set()
            if (remaining_s := self._remaining_s()) is None:
                return None
            usual_s = RETRY_PAUSE_S * random.uniform(0.7, 1.3)  # noqa: S311 -- spreads load
            pause_s = max(usual_s, refusals.due_in_s(self._servers[index]))
            await asyncio.sleep(min(pause_s, remaining_s))  # even at the end: the pool then searches again at once
            if remaining_s < pause_s:
                return None

    async def _try_once(self, server: str) -> Any:
        """Try a server once. If its name has several addresses, each of them is a server for the duration of this
        search; the connection string keeps the name, which the certificate needs."""
        remaining_s = self._remaining_s()
        addresses = await addresses_of(server)
        if len(addresses) <= 1:
            known = {"hostaddr": addresses[0]} if addresses else {}
            return await self._connection_type.connect_to_one(server, self._options | known)
        ends_at_s = None if remaining_s is None else asyncio.get_running_loop().time() + remaining_s
        servers = [f"{server} hostaddr={address}" for address in addresses]
        return await _ServerSearch(self._connection_type, servers, ends_at_s, self._options).connect_to_first()

    def _connection_error(self) -> psycopg.OperationalError:
        names = [_display_name(server) for server in self._servers]
        errors = [self._failures.get(index) for index in range(len(names))]
        if len(errors) == 1 and errors[0] is not None and not isinstance(errors[0], StandbyError):
            return errors[0]
        if all(isinstance(error, StandbyError | NoPrimaryError) for error in errors):
            servers = " and ".join(names)
            verb = "is a standby" if len(names) == 1 else "are standbys"
            return NoPrimaryError(
                f"no server of the database URL accepts writes: {servers} {verb} or read-only; promote a server, "
                "or add the primary to the URL"
            )
        reasons = (" ".join(str(error or "no answer").split()) for error in errors)
        return psycopg.OperationalError(
            "; ".join(f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True))
        )


async def _cancel(*tasks: asyncio.Task[Any]) -> list[Any]:
    """Cancel the tasks and wait for their end; returns the connections of tasks that had already ended."""
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [result for result in results if isinstance(result, psycopg.AsyncConnection)]


def servers_of(conninfo: str) -> list[str]:
    """Return a connection string for each server, without `target_session_attrs`. Raises psycopg.ProgrammingError."""
    parts: dict[str, str] = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    parts.pop("target_session_attrs", None)
    lists = {name: parts[name].split(",") for name in ("host", "hostaddr", "port") if parts.get(name)}
    count = max((len(values) for name, values in lists.items() if name != "port"), default=1)
    servers: list[str] = []
    for number in range(count):
        server_parts = {name: values[min(number, len(values) - 1)] for name, values in lists.items()}
        servers.append(make_conninfo("", **(parts | server_parts), target_session_attrs="any"))
    return servers


def _display_name(server: str) -> str:
    parts = conninfo_to_dict(server)
    host, address, port = parts.get("host"), parts.get("hostaddr"), parts.get("port")
    name = f"{host} ({address})" if host and address else host or address or "this machine"
    return f"{name}:{port}" if port else str(name)


class _SilenceTimer:
    """Cuts a silent connection after a time limit. A cancellation would not help, because the driver waits for the
    server."""

    def __init__(self, connection: TimeLimitedConnection[Any], after_s: float) -> None:
        self._connection = connection
        self._after_s = after_s
        self._timer = asyncio.get_running_loop().call_later(after_s, self._on_time_limit)
        self.has_cut = False

    def cancel(self) -> None:
        self._timer.cancel()

    def _on_time_limit(self) -> None:
        if self._connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            return
        descriptor = self._connection.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(0):  # data has arrived: this process was late, or the answer is long
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._on_time_limit)
            return
        self.has_cut = True
        log.warning("the database does not answer; the connection is cut", after_s=self._after_s)
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as socket_end:
            socket_end.shutdown(socket.SHUT_RDWR)


_POOLER: Final = (
    "The database URL names a pooler, which {}. Use the address of PostgreSQL, or of a proxy that "
    "does not change connections, such as haproxy; Greenroom has its own pool of few connections."
)
_REQUESTED_TIMEOUT: Final = "54321ms"
"""An unusual statement timeout, by which the check finds out if the pooler discards options."""
_POOLER_ANSWER_TIMEOUT_S: Final = 10.0


async def refuse_pooler(dsn: str) -> None:
    """Check that a connection stays in one session of PostgreSQL and has the requested options, because locks and
    notifications belong to a session (ADR 67). A second connection holds a transaction in the meantime, so that a
    pooler cannot use the same session again by chance. Raises SetupError: the URL names a pooler."""
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
        raise outages.unavailable(error) from error
    if after is None or before != after[0]:
        raise SetupError(_POOLER.format("uses another session for each transaction"))
    if timeout != _REQUESTED_TIMEOUT:
        raise SetupError(_POOLER.format("discards the options of a connection, including the time limits"))


async def _connect(dsn: str, *, autocommit: bool) -> TimeLimitedConnection[tuple[object, ...]]:
    options = f"-c statement_timeout={_REQUESTED_TIMEOUT}"
    connection = await TimeLimitedConnection[tuple[object, ...]].connect(
        dsn, autocommit=autocommit, connect_timeout=5, options=options
    )
    connection.answer_timeout_s = _POOLER_ANSWER_TIMEOUT_S
    return connection
