"""The pool's reaction to a server that ends a transaction, or refuses writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
from tests.support.managers import notifications
from tests.support.postgres import incompressible_text
from tests.support.waiting import timers_set

from greenroom.core.errors import DatabaseUnavailable, Invalid, StatementCanceled, Unavailable
from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.database import CHANNEL, READ_ATTEMPTS, Database
from greenroom.db.notifications import Listener


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Database]:
    db = Database(dsn, application_name="pool under test", max_size=1, statement_timeout_ms=1000)
    await db.open()
    yield db
    await db.close()


async def test_after_a_freeze_in_a_transaction_the_database_is_unavailable(pool: Database):
    with pytest.raises(DatabaseUnavailable) as caught:
        await _stand_still_in_a_transaction(pool)
    assert "idle-in-transaction" in caught.value.cause
    assert await pool.fetch_one("SELECT 1 AS one") == {"one": 1}


async def _stand_still_in_a_transaction(pool: Database) -> None:
    async with pool.transaction() as connection:
        await connection.execute("SELECT 1")
        time.sleep(2)  # noqa: ASYNC251 -- the whole process stands still, as under SIGSTOP
        await connection.execute("SELECT 1")


async def test_a_connection_to_a_server_that_was_demoted_is_replaced(pool: Database):
    async with pool.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable) as caught:
        await pool.write("CREATE TABLE written ()")
    assert "read-only" in caught.value.cause
    await pool.write("CREATE TABLE written ()")


async def test_events_of_a_transaction_are_sent_after_its_commit_and_not_after_an_error(pool: Database, db: Database):
    await pool.write("CREATE TABLE written (number integer CHECK (number < 2))")
    event = ChangeEvent(Topic.IMAGES)

    async def write(number: int) -> None:
        async with pool.pipelined([event]) as connection:
            await connection.execute("INSERT INTO written VALUES (%s)", (number,))

    async def refused() -> None:
        with pytest.raises(Invalid):
            await write(2)

    assert await notifications(db, write(1)) == {str(event)}
    assert await notifications(db, refused()) == set()
    assert await pool.fetch("SELECT number FROM written") == [{"number": 1}]


async def test_a_connection_pool_with_plans_once_reuses_the_plan_of_a_query(dsn: str):
    pool = Database(dsn, application_name="by key", max_size=1, plan_statements_once=True)
    await pool.open()
    for _ in range(12):
        await pool.fetch("SELECT user_id FROM users WHERE user_id = ANY(%s::uuid[])", (["5" * 32],))
    (plans,) = await pool.fetch("SELECT custom_plans FROM pg_prepared_statements")
    await pool.close()
    assert plans == {"custom_plans": 0}


@pytest.mark.parametrize(("retry", "attempts"), [(True, READ_ATTEMPTS), (False, 1)])
async def test_a_read_is_repeated_after_a_lost_connection_only_with_retry(pool: Database, retry: bool, attempts: int):
    await pool.write("CREATE SEQUENCE attempts")
    with pytest.raises(Unavailable):
        await pool.fetch("SELECT nextval('attempts'), pg_terminate_backend(pg_backend_pid())", retry=retry)
    assert await pool.fetch_one("SELECT last_value FROM attempts") == {"last_value": attempts}


async def test_a_read_that_exceeds_the_statement_timeout_is_not_repeated(pool: Database):
    await pool.write("CREATE SEQUENCE attempts")
    with pytest.raises(StatementCanceled):
        await pool.fetch("SELECT nextval('attempts'), pg_sleep(60)")
    assert await pool.fetch_one("SELECT last_value FROM attempts") == {"last_value": 1}


async def test_prepared_statements_work_after_a_migration_adds_a_column(dsn: str, db: Database):
    query = "SELECT z.* FROM pg_sleep(0.05) LEFT JOIN zones z ON true"
    several = Database(dsn, application_name="of the version before", max_size=4)
    await several.open()
    try:
        await asyncio.gather(*(several.fetch(query) for _ in range(40)))
        await db.write("ALTER TABLE zones ADD COLUMN later integer NOT NULL DEFAULT 1")
        await asyncio.gather(*(several.fetch(query) for _ in range(8)))
    finally:
        await several.close()


async def test_a_listener_does_not_wake_up_between_notifications(dsn: str, monkeypatch: pytest.MonkeyPatch):
    received = asyncio.Queue[ChangeEvent]()
    listener = Listener(dsn, application_name="listener under test", on_event=received.put_nowait)
    await listener.open()
    timers = timers_set(monkeypatch)
    listening = asyncio.create_task(listener.run())
    for topic in (Topic.USERS, Topic.ZONES):
        await asyncio.to_thread(_notify, dsn, str(ChangeEvent(topic)))
        assert await received.get() == ChangeEvent(topic)
    listening.cancel()
    await asyncio.wait([listening])
    assert min(timers) > 10


def _notify(dsn: str, text: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))


async def test_a_value_that_an_index_cannot_hold_is_an_error_of_the_value(pool: Database):
    await pool.write("CREATE TABLE written (text text PRIMARY KEY)")
    with pytest.raises(Invalid, match="A value is too long to be stored"):
        await pool.write("INSERT INTO written VALUES (%s)", (incompressible_text(9000),))


async def test_a_lack_of_disk_space_is_no_outage(pool: Database):
    with pytest.raises(StatementCanceled, match="lacked disk space"):
        await pool.write("DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$")
    with pytest.raises(DatabaseUnavailable):
        await pool.write("SELECT pg_terminate_backend(pg_backend_pid())")
