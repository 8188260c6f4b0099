"""A wrong password in the database URL: reported in one sentence, retried at growing intervals, used as soon as it
is right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs
from tests.support.servers import Server, own_server
from tests.support.waiting import eventually

from greenroom.core.errors import DatabaseUnavailable, SetupError, Unavailable
from greenroom.db.connections import TimeLimitedConnection
from greenroom.db.database import Database
from greenroom.db.migrate import pending_files
from greenroom.db.servers import RefusedError
from greenroom.up.postgres import PostgresCluster

ROLE = "app"


@pytest.fixture(scope="module")
def asking(cluster: PostgresCluster) -> Iterator[Server]:
    """A server that requires a password for ROLE."""
    with own_server(cluster) as server:
        hba = server.cluster.data / "pg_hba.conf"
        hba.write_text(f"local all {ROLE} scram-sha-256\n{hba.read_text()}")
        server.cluster.execute_without_server("ALTER ROLE greenroom CREATEROLE")
        asyncio.run(server.start())
        with psycopg.connect(server.cluster.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
        yield server


@pytest.fixture
def url(asking: Server) -> str:
    """The address with a wrong password."""
    change_password(asking, "right")
    return make_conninfo(asking.cluster.dsn, user=ROLE, password="wrong")


def change_password(server: Server, password: str) -> None:
    with psycopg.connect(server.cluster.dsn, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{password}'".encode())


async def test_a_pool_asks_ever_more_rarely_and_says_why_each_time(url: str):
    db = Database(url, application_name="refused", acquire_timeout_s=2)
    began_s = time.monotonic()
    with capture_logs() as lines:
        await db.open()
        try:
            with pytest.raises(DatabaseUnavailable) as caught:
                await db.fetch("SELECT 1", retry=False)
            assert f'refuses the login: password authentication failed for user "{ROLE}"' in caught.value.cause

            async def thrice() -> bool:
                with pytest.raises(Unavailable):
                    await db.fetch("SELECT 1", retry=False)
                return len(refused(lines)) >= 3

            await eventually(thrice, 60)
        finally:
            await db.close()
    assert time.monotonic() - began_s > 1 + 2 - 0.1
    assert [line["again_in_s"] for line in refused(lines)][:3] == [1, 2, 4]
    assert "wrong" not in str(lines), "no password is written"


def refused(lines: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["event"] == "the database refuses the login"]


async def test_the_right_password_is_taken_although_another_process_was_refused(asking: Server, url: str):
    with pytest.raises(RefusedError, match="refuses the login"):
        await TimeLimitedConnection.connect(url)
    change_password(asking, "wrong")
    with pytest.raises(RefusedError, match="refuses the login"):
        await TimeLimitedConnection.connect(url)  # too early: no attempt is made

    async def is_taken() -> bool:
        try:
            await (await TimeLimitedConnection.connect(url)).close()
        except RefusedError:
            return False
        return True

    await eventually(is_taken, 30)


async def test_a_server_that_refuses_does_not_hold_up_the_other(asking: Server, url: str, cluster: PostgresCluster):
    with own_server(cluster) as other:
        (other.cluster.data / "pg_hba.conf").write_text("local all all trust\n")
        other.cluster.execute_without_server(f"CREATE ROLE {ROLE} LOGIN")
        await other.start()
        both = make_conninfo(url, host=f"{asking.cluster.folder},{other.cluster.folder}")
        db = Database(both, application_name="both", max_size=1)
        await db.open()
        try:
            assert await db.fetch("SELECT current_user AS name") == [{"name": ROLE}]
        finally:
            await db.close()


async def test_a_command_that_begins_with_it_ends_with_one_sentence(url: str):
    with pytest.raises(
        SetupError, match=r"^The database refuses the log-in; check the database URL \(.*refuses the login"
    ):
        await pending_files(url)
