"""The statements of leadership, individually on a real PostgreSQL: the permitted actions of an old term
(docs/explanation/protocols.md §1)."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from tests.support.managers import leadership
from tests.support.waiting import eventually

from greenroom.core.errors import LeaseLost
from greenroom.core.fleet.leadership import election_reason
from greenroom.db.database import Database
from greenroom.db.fleet.leadership import Fence, end_expired_connections, guarded, leadership_connection
from greenroom.db.fleet.managers import find_or_insert_manager, set_enabled


@pytest.fixture
async def zone(db: Database) -> int:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    (row,) = await db.fetch("SELECT zone_key FROM zones")
    return int(row["zone_key"])


async def test_renewing_or_resigning_an_old_term_changes_nothing(db: Database, dsn: str, zone: int):
    holder = str(uuid.uuid4())
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    async with leadership_connection(dsn, "test", zone, holder) as connection:
        assert await connection.take(me.manager_id, 0, 6) == 1
        assert await connection.renew(1, 6)
        assert not await connection.renew(0, 6)
        assert not await connection.renew(2, 6)
        assert not await connection.resign(0)
        assert (await leadership(db))["primary"] == "me"
        assert await connection.raise_term(1, 8)
        assert not await connection.renew(1, 6)
        assert await connection.renew(8, 6)


async def test_a_renewal_on_another_connection_changes_nothing(db: Database, dsn: str, zone: int):
    holder = str(uuid.uuid4())
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    async with (
        leadership_connection(dsn, "test", zone, holder) as first,
        leadership_connection(dsn, "test", zone, holder) as second,
    ):
        assert await first.take(me.manager_id, 0, 6) == 1
        assert not await second.renew(1, 6)


async def test_a_manager_cut_off_before_its_announcement_took_nothing_over(db: Database, dsn: str, zone: int):
    """A dying PostgreSQL closes connections one by one: a follower may get leadership in the meantime without
    announcing it."""
    one, other = [await find_or_insert_manager(db, name, "default", "host", "1") for name in ("one", "other")]
    async with leadership_connection(dsn, "test", zone, str(uuid.uuid4())) as connection:
        assert await connection.take(one.manager_id, 0, 30) == 1
        assert await connection.complete_takeover(one.manager_id) is None
    holder = str(uuid.uuid4())
    async with leadership_connection(dsn, "test", zone, holder) as connection:
        assert await connection.take(other.manager_id, 0, 30) == 2
    async with leadership_connection(dsn, "test", zone, holder) as connection:
        assert await connection.take(other.manager_id, 2, 30) == 2
        assert election_reason(await connection.complete_takeover(other.manager_id)) == (
            "the process of one, or its connection to the database, ended"
        )
    async with leadership_connection(dsn, "test", zone, holder) as connection:
        assert await connection.take(other.manager_id, 2, 30) == 2
        before = await connection.complete_takeover(other.manager_id)
        assert election_reason(before) == "it was the Primary before and returned first"


async def test_guarded_writes_need_the_living_term(db: Database, dsn: str, zone: int):
    holder = str(uuid.uuid4())
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    async with leadership_connection(dsn, "test", zone, holder) as connection:
        await connection.take(me.manager_id, 0, 30)
        async with guarded(db, Fence(zone, holder, 1)):
            pass
        for wrong in (Fence(zone, holder, 2), Fence(zone, str(uuid.uuid4()), 1)):
            with pytest.raises(LeaseLost):
                async with guarded(db, wrong):
                    pass
        assert await connection.renew(1, 0.1)
        await asyncio.sleep(0.3)  # longer than the leadership
        with pytest.raises(LeaseLost, match="Term 1 is over"):
            async with guarded(db, Fence(zone, holder, 1)):
                pass


async def test_a_disabled_manager_cannot_take_the_lease_and_keeps_no_lock(db: Database, dsn: str, zone: int):
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    await find_or_insert_manager(db, "other", "default", "host", "1")
    await set_enabled(db, me.manager_id, enabled=False)
    async with leadership_connection(dsn, "test", zone, str(uuid.uuid4())) as connection:
        assert await connection.take(me.manager_id, 0, 6) is None
        assert await db.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 71") == []


async def test_waiting_for_a_live_manager_is_no_error(db: Database, dsn: str, zone: int):
    """Errors that reach a client are in PostgreSQL's log: one per second for every follower."""
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    other = await find_or_insert_manager(db, "other", "default", "host", "1")
    async with (
        leadership_connection(dsn, "first", zone, str(uuid.uuid4())) as first,
        leadership_connection(dsn, "second", zone, str(uuid.uuid4())) as second,
    ):
        assert await first.take(me.manager_id, 0, 30) == 1
        assert await second.take(other.manager_id, 0, 30) == 0
        (left,) = await db.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 71")
        assert left["count"] == 1, "that of the Primary"
        held_back = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'second' AND backend_xmin IS NOT NULL"
        assert await db.fetch(held_back) == [], "VACUUM is not held up"
        await first.resign(1)
        assert await end_expired_connections(db, zone) == 1
        assert await second.take(other.manager_id, 0, 30) == 2


async def test_only_the_connection_of_a_holder_whose_lease_is_over_is_ended(db: Database, dsn: str, zone: int):
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    async with leadership_connection(dsn, "test", zone, str(uuid.uuid4())) as connection:
        await connection.take(me.manager_id, 0, 30)
        assert await end_expired_connections(db, zone) == 0
        assert await connection.renew(1, 0.1)
        await asyncio.sleep(0.3)  # longer than the leadership
        assert await end_expired_connections(db, zone) == 1
        with pytest.raises(psycopg.OperationalError):
            await connection.renew(1, 6)
    assert await end_expired_connections(db, zone) == 0


async def test_a_connection_that_is_just_taking_the_lease_is_not_ended(db: Database, dsn: str, zone: int):
    """All followers evict at once when a Primary resigns: the Manager that has the lock by then must not be evicted."""
    me = await find_or_insert_manager(db, "me", "default", "host", "1")
    async with leadership_connection(dsn, "test", zone, str(uuid.uuid4())) as connection:
        async with db.transaction() as blocking:
            await blocking.execute("SELECT 1 FROM managers FOR UPDATE")
            taking = asyncio.create_task(connection.take(me.manager_id, 0, 6))

            await eventually(lambda: db.fetch("SELECT 1 FROM pg_locks WHERE classid = 71 AND granted"))
            assert await end_expired_connections(db, zone) == 0
        assert await taking == 1


async def test_a_connection_that_keeps_the_lock_and_does_nothing_is_ended(db: Database, dsn: str, zone: int):
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as stuck:
        await stuck.execute("SELECT pg_advisory_lock(71, %s)", (zone,))
        assert await end_expired_connections(db, zone) == 0

        async def ended() -> bool:
            return await end_expired_connections(db, zone) == 1

        await eventually(ended)
