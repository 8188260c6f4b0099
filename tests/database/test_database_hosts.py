"""A connection string with several servers: the writable one is used, and a frozen one delays no caller."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.support.servers import Server, own_server
from tests.support.waiting import eventually

from greenroom.core.errors import DatabaseUnavailable, SetupError
from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.connections import ANSWER_SLACK_S, NoPrimaryError, TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.db.migrate import pending_files
from greenroom.db.notifications import Listener
from greenroom.up.postgres import PostgresCluster

STATEMENT_S = 0.5


@pytest.fixture(scope="module")
def servers(cluster: PostgresCluster) -> Iterator[tuple[Server, Server]]:
    """Two independent servers with the same roles."""
    with own_server(cluster) as one, own_server(cluster) as two:
        for server in (one, two):
            asyncio.run(server.start())
        yield one, two


@pytest.fixture
async def pair(servers: tuple[Server, Server]) -> tuple[Server, Server]:
    """Two writable servers."""
    for server in servers:
        await is_standby(server, False)
    return servers


def both(pair: tuple[Server, Server]) -> str:
    one, two = pair
    return make_conninfo(one.cluster.dsn, host=f"{one.cluster.folder},{two.cluster.folder}")


async def is_standby(server: Server, is_one: bool) -> None:
    """Make a server read-only for new connections, or promote it."""
    options = "-c default_transaction_read_only=off"
    connection = await TimeLimitedConnection.connect_to_one(
        server.cluster.dsn, {"autocommit": True, "options": options}
    )
    async with connection:
        value = b"on" if is_one else b"off"
        await connection.execute(b"ALTER DATABASE greenroom SET default_transaction_read_only = " + value)


def identity(server: Server) -> str:
    with psycopg.connect(server.cluster.dsn) as connection:
        row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    return row[0]


def processes(server: Server) -> list[int]:
    assert server.process is not None
    return [server.process.pid, *(child.pid for child in psutil.Process(server.process.pid).children())]


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Freeze a server, as on a stalled host that the network does not detect: nothing is refused, nothing is
    answered."""
    pids = processes(server)
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: list[int], number: signal.Signals) -> None:
    """PostgreSQL itself ends some of its processes, such as those of autovacuum."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def where(db: Database) -> str:
    (row,) = await db.fetch("SELECT system_identifier::text AS server FROM pg_control_system()")
    return row["server"]


async def test_the_server_that_takes_writes_is_used_at_any_place(pair: tuple[Server, Server]):
    one, two = pair
    await is_standby(one, True)
    db = Database(both(pair), application_name="several", max_size=1)
    await db.open()
    try:
        assert await where(db) == identity(two)
    finally:
        await db.close()


async def test_standbys_alone_are_named_in_one_sentence(pair: tuple[Server, Server]):
    for server in pair:
        await is_standby(server, True)
    with pytest.raises(
        NoPrimaryError, match="are standbys or read-only; promote a server, or add the primary to the URL"
    ):
        await TimeLimitedConnection.connect(both(pair))
    with pytest.raises(SetupError, match=r"^No server of the database URL accepts writes"):
        await pending_files(both(pair))
    with pytest.raises(SetupError, match="is a standby or read-only"):
        await pending_files(pair[0].cluster.dsn)


async def test_what_waits_for_a_frozen_server_ends_and_the_other_is_used(pair: tuple[Server, Server]):
    one, two = pair
    await is_standby(two, True)  # all connections lead to the first server, however long it takes to accept them
    db = Database(both(pair), application_name="several", max_size=4, statement_timeout_ms=int(1000 * STATEMENT_S))
    await db.open()
    try:
        async with db.connection(), db.connection():  # two that will be idle
            assert await where(db) == identity(one)
        await is_standby(two, False)
        with frozen(one):
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable) as failure:
                await db.write("SELECT 1")
            assert "did not answer within" in str(failure.value.cause)
            assert time.monotonic() - began > STATEMENT_S + ANSWER_SLACK_S - 0.1
            began = time.monotonic()
            assert await where(db) == identity(two)
            assert time.monotonic() - began < STATEMENT_S + ANSWER_SLACK_S, "idle connections are replaced, not tried"
    finally:
        await db.close()


async def test_a_promotion_is_noticed_while_another_server_is_frozen(pair: tuple[Server, Server]):
    one, two = pair
    await is_standby(two, True)
    db = Database(both(pair), application_name="several", max_size=2, acquire_timeout_s=30)
    with frozen(one):
        await db.open()
        try:
            waiting = asyncio.create_task(where(db))
            await is_standby(two, False)
            began = time.monotonic()
            assert await waiting == identity(two)
            assert time.monotonic() - began < 5.0, "the frozen server's own time limit is longer"
        finally:
            await db.close()


async def test_who_listens_to_a_frozen_server_listens_to_the_other_then(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.db.notifications.CHECK_S", 0.5)
    one, two = pair
    received: list[ChangeEvent] = []
    listener = Listener(both(pair), application_name="listener", on_event=received.append)
    await listener.open()
    listening = asyncio.create_task(listener.run())
    other = Database(two.cluster.dsn, application_name="notifier", max_size=1)
    await other.open()
    try:
        with frozen(one):

            async def received_it() -> bool:
                await other.notify(ChangeEvent(Topic.USERS))
                return bool(received)

            await eventually(received_it, 30)
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await other.close()
