"""A database name with several or changed addresses: the writable server is found."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.support.postgres import PostgresServer
from tests.support.scratch import passing_folder

from greenroom.core.errors import DatabaseUnavailable
from greenroom.db.connections import NoPrimaryError, TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.up.postgres import PostgresCluster

NAME = "db.example.org"
ONE, TWO = ADDRESSES = ("127.93.8.1", "127.93.8.2")

Resolve = Callable[..., None]


@pytest.fixture(scope="module")
def servers(cluster: PostgresCluster) -> Iterator[dict[str, PostgresServer]]:
    """Address → server; they are independent."""
    with ExitStack() as stack:
        found: dict[str, PostgresServer] = {}
        for address in ADDRESSES:
            folder = stack.enter_context(passing_folder("gr-pg-name-"))
            found[address] = PostgresServer(folder, install=cluster.install, address=address)
            stack.callback(found[address].stop)
            asyncio.run(found[address].start())
        yield found


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Set the addresses of names from now on; `until`: not before this event is set."""
    real = socket.getaddrinfo

    def to(*addresses: str, name: str = NAME, until: threading.Event | None = None) -> None:
        def look_up(host: str, *args: Any, **options: Any) -> Sequence[Any]:
            if host != name:
                return real(host, *args, **options)
            if until is not None:
                until.wait(20)
            return [answer for address in addresses for answer in real(address, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return to


def url(server: PostgresServer, host: str = NAME) -> str:
    return make_conninfo(server.dsn, host=host)


async def is_standby(server: PostgresServer, is_one: bool) -> None:
    """Make a server read-only for new connections, or promote it."""
    options = "-c default_transaction_read_only=off"
    async with await TimeLimitedConnection.connect_to_one(
        server.dsn, {"autocommit": True, "options": options}
    ) as connection:
        value = b"on" if is_one else b"off"
        await connection.execute(b"ALTER DATABASE greenroom SET default_transaction_read_only = " + value)


@pytest.fixture
async def pair(servers: dict[str, PostgresServer]) -> dict[str, PostgresServer]:
    """The first is a standby."""
    await is_standby(servers[ONE], True)
    await is_standby(servers[TWO], False)
    return servers


async def where(connection: TimeLimitedConnection[Any]) -> str:
    async with connection:
        assert connection.info.host == NAME, "its certificate would have to be for the name"
        return connection.info.hostaddr


async def test_the_address_that_takes_writes_is_used_at_any_place(pair: dict[str, PostgresServer], resolve: Resolve):
    for addresses in ((ONE, TWO), (TWO, ONE)):
        resolve(*addresses)
        assert await where(await TimeLimitedConnection.connect(url(pair[ONE]))) == TWO


async def test_a_frozen_address_holds_up_nothing(pair: dict[str, PostgresServer], resolve: Resolve):
    resolve(ONE, TWO)
    process = pair[ONE].process
    assert process is not None
    pids = [process.pid, *(child.pid for child in psutil.Process(process.pid).children())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):  # the frozen one is given up after 60 s
            assert await where(await TimeLimitedConnection.connect(url(pair[ONE]), connect_timeout=60)) == TWO
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_standbys_at_all_addresses_are_named(pair: dict[str, PostgresServer], resolve: Resolve):
    await is_standby(pair[TWO], True)
    resolve(ONE, TWO)
    both = rf"{NAME} \({ONE}\):5432 and {NAME} \({TWO}\):5432 are standbys or read-only"
    with pytest.raises(NoPrimaryError, match=both):
        await TimeLimitedConnection.connect(url(pair[ONE]))
    with pytest.raises(NoPrimaryError, match=f"{NAME}:5432 and {ONE}:5432 are standbys"):
        await TimeLimitedConnection.connect(url(pair[ONE], f"{NAME},{ONE}"))


@pytest.mark.parametrize("before", [(ONE,), (ONE, ONE.replace("8.1", "8.3"))], ids=["one address", "two addresses"])
async def test_a_name_that_moves_is_followed_while_a_caller_waits(
    pair: dict[str, PostgresServer], resolve: Resolve, before: Sequence[str]
):
    resolve(*before)
    db = Database(url(pair[ONE]), application_name="moved", max_size=1, acquire_timeout_s=20)
    await db.open()
    try:
        waiting = asyncio.create_task(db.fetch("SELECT host(inet_server_addr()) AS address"))
        await asyncio.wait([waiting], timeout=0.5)
        assert not waiting.done(), "nothing takes writes yet"
        resolve(TWO)
        assert await waiting == [{"address": TWO}]
    finally:
        await db.close()


async def test_a_login_that_all_addresses_refuse_is_said(pair: dict[str, PostgresServer], resolve: Resolve):
    resolve(ONE, TWO)
    stranger = make_conninfo(url(pair[ONE]), user="stranger")
    db = Database(stranger, application_name="refused", max_size=1, acquire_timeout_s=3)
    await db.open()
    try:
        with pytest.raises(DatabaseUnavailable) as refused:
            await db.fetch("SELECT 1", retry=False)
    finally:
        await db.close()
    for address in ADDRESSES:
        assert f"{NAME} ({address}):5432 refuses the login" in refused.value.cause


async def test_a_resolver_that_says_nothing_is_given_up(
    pair: dict[str, PostgresServer], resolve: Resolve, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.db.servers.LOOKUP_TIMEOUT_S", 0.3)
    answered = threading.Event()
    resolve(ONE, TWO, until=answered)
    try:
        with pytest.raises(psycopg.OperationalError, match=rf"no address of {NAME} was found within 0.3 s"):
            await TimeLimitedConnection.connect(url(pair[ONE]))
        connection = await TimeLimitedConnection.connect(url(pair[ONE], f"{NAME},{TWO}"))
        async with connection:
            assert connection.info.host == TWO, "the other server is used meanwhile"
    finally:
        answered.set()


async def test_a_slow_resolver_answers_a_later_search(pair: dict[str, PostgresServer], resolve: Resolve):
    """Several servers are searched for a time that is shorter than such a lookup."""
    answered = threading.Event()
    resolve(TWO, until=answered)
    db = Database(url(pair[ONE], f"{NAME},{ONE}"), application_name="slow", max_size=1, acquire_timeout_s=20)
    await db.open()
    try:
        waiting = asyncio.create_task(db.fetch("SELECT host(inet_server_addr()) AS address"))
        await asyncio.wait([waiting], timeout=2.5)
        assert not waiting.done()
        assert sum(thread.name == "lookup" for thread in threading.enumerate()) == 1, "the name is looked up once"
        answered.set()
        assert await waiting == [{"address": TWO}]
    finally:
        answered.set()
        await db.close()


async def test_a_name_without_an_address_is_said(pair: dict[str, PostgresServer]):
    with pytest.raises(psycopg.OperationalError, match=r"no address of nowhere\.invalid was found"):
        await TimeLimitedConnection.connect(url(pair[ONE], "nowhere.invalid"))
