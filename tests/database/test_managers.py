"""The records of Managers: the flag, and that no change leaves a zone without an enabled Manager."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
import pytest
from tests.support.managers import LONG_LEADERSHIP, Fleet, primary_is
from tests.support.waiting import eventually

from greenroom.core.errors import GreenroomError, LastEnabledManager, LeaseLost, ManagerRuns
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.leadership import Fence, LeadershipConnection, leadership_connection
from greenroom.db.fleet.managers import (
    ManagerRow,
    delete_manager,
    find_or_insert_manager,
    list_managers,
    lock_zones,
    remove_record,
    set_enabled,
)
from greenroom.db.installation import change_installation_settings
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents, TaskFailures, Tasks
from greenroom.manager.tasks.rounds import run_manager_records


@pytest.fixture(autouse=True)
async def zones(db: Database) -> None:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default'), ('us')")


@pytest.fixture
async def fleet(zones: None, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


async def record(db: Database, name: str, zone: str = "default", *, enabled: bool = True) -> str:
    """Insert the record of a Manager that does not run; returns its id."""
    manager_id = (await find_or_insert_manager(db, name, zone, "host", "1")).manager_id
    if not enabled:
        await set_enabled(db, manager_id, enabled=False)
    return manager_id


async def enabled(db: Database) -> list[str]:
    return [m.instance_id for m in await list_managers(db) if m.enabled]


UPSERT: Final = (
    "INSERT INTO managers (instance_id, zone_id) SELECT instance_id, zone_id FROM managers"
    " ON CONFLICT (instance_id) DO UPDATE SET enabled = false"
)


async def test_managers_are_listed_by_zone_and_name(db: Database):
    for instance_id, zone in (("us-1", "us"), ("default-2", "default"), ("default-1", "default")):
        await record(db, instance_id, zone)
    assert await enabled(db) == ["default-1", "default-2", "us-1"]


# Never without an enabled one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE managers SET enabled = false",
        "UPDATE managers SET enabled = false WHERE instance_id = 'one'",
        "UPDATE managers SET zone_id = (SELECT zone_id FROM zones WHERE zone_name = 'us')",
        "UPDATE managers SET zone_id = (SELECT zone_id FROM zones WHERE zone_name = 'us') WHERE instance_id = 'one'",
        "DELETE FROM managers",
        "DELETE FROM managers WHERE instance_id = 'one'",
        "TRUNCATE managers",
        UPSERT,
    ],
)
async def test_plain_sql_cannot_leave_a_zone_without_an_enabled_manager(db: Database, statement: LiteralString):
    await record(db, "one")
    await record(db, "two", enabled=False)
    await record(db, "three", "us")
    with pytest.raises(LastEnabledManager) as refused:
        await db.write(statement)
    assert refused.value.message == (
        "Zone default would be left without an enabled Manager; enable another Manager of the zone first"
    )
    assert await enabled(db) == ["one", "three"]


async def test_the_first_manager_of_a_zone_cannot_be_a_disabled_one(db: Database):
    with pytest.raises(LastEnabledManager, match="Zone us would be left"):
        await db.write(
            "INSERT INTO managers (instance_id, zone_id, enabled)"
            " SELECT 'one', zone_id, false FROM zones WHERE zone_name = 'us'"
        )
    await record(db, "one", "us")
    await db.write("INSERT INTO managers (instance_id, zone_id, enabled) SELECT 'two', zone_id, false FROM managers")
    assert await enabled(db) == ["one"]


async def test_a_new_manager_is_enabled_in_a_zone_that_lost_all_its_managers(db: Database):
    for zone in ("default", "us"):
        await record(db, zone, zone)
    await db.write("ALTER TABLE managers DISABLE TRIGGER USER")
    await db.write("TRUNCATE managers")
    await db.write("ALTER TABLE managers ENABLE TRIGGER USER")
    for zone in ("default", "us"):
        await record(db, zone, zone)
    assert await enabled(db) == ["default", "us"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_of_two_transactions_that_disable_the_last_two_one_fails(
    db: Database, dsn: str, isolation: LiteralString
):
    """Each has read that the other Manager is enabled before either changes anything."""
    names = ("one", "two")
    for name in names:
        await record(db, name)
    both_read = asyncio.Barrier(2)

    async def disable(name: str) -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await connection.execute(b"SET TRANSACTION ISOLATION LEVEL " + isolation.encode())
            cursor = await connection.execute("SELECT count(*) FROM managers WHERE enabled")
            assert await cursor.fetchone() == (2,)
            await both_read.wait()
            await connection.execute("UPDATE managers SET enabled = false WHERE instance_id = %s", (name,))

    results = await asyncio.gather(*(disable(name) for name in names), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], psycopg.errors.CheckViolation | psycopg.errors.SerializationFailure), failed
    assert len(await enabled(db)) == 1


async def test_two_administrators_may_disable_the_same_manager_at_once(db: Database):
    one = await record(db, "one")
    await record(db, "two")
    changes = await asyncio.gather(*(set_enabled(db, one, enabled=False) for _ in range(4)))
    assert sorted(change.changed for change in changes) == [False, False, False, True]
    assert await enabled(db) == ["two"]


async def test_the_last_enabled_manager_is_neither_disabled_nor_deleted_concurrently(db: Database):
    for _ in range(5):
        one, two = await record(db, "one"), await record(db, "two")
        results: tuple[Any, ...] = await asyncio.gather(
            set_enabled(db, one, enabled=False), delete_manager(db, two), return_exceptions=True
        )
        assert sum(isinstance(result, GreenroomError) for result in results) == 1
        assert len(await enabled(db)) == 1
        await set_enabled(db, one, enabled=True)


# A Primary after plain SQL --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE managers SET enabled = false WHERE instance_id = 'one'",
        "DELETE FROM managers WHERE instance_id = 'one'",
        "UPDATE managers SET zone_id = (SELECT zone_id FROM zones WHERE zone_name = 'us') WHERE instance_id = 'one'",
    ],
)
async def test_a_frozen_primary_taken_out_by_plain_sql_is_replaced_at_once(
    fleet: Fleet, db: Database, statement: LiteralString
):
    """It does not wait for the end of the leadership, which is longer than the test's time limit."""
    long = {**LONG_LEADERSHIP, "lease_renew_s": "5"}
    one = await fleet.start("one", **long)
    await primary_is(db, "one")
    await fleet.start("two", **long)
    one.freeze()
    await db.write(statement)
    await primary_is(db, "two")
    one.thaw()

    async def lets_go() -> bool:
        return not await db.fetch("SELECT 1 FROM pg_stat_activity WHERE application_name = 'greenroom leadership one'")

    await eventually(lets_go)


async def test_a_manager_moved_to_another_zone_starts_anew_there(fleet: Fleet, db: Database):
    one = await fleet.start("one")
    await record(db, "other")
    await db.write(
        "UPDATE managers SET zone_id = (SELECT zone_id FROM zones WHERE zone_name = 'us') WHERE instance_id = 'one'"
    )
    assert await one.ended() == 1
    assert "The record of one was deleted or moved to another zone" in one.log
    one.start()  # as its supervisor does

    async def at_work() -> bool:
        rows = await list_managers(db)
        return any(m.zone_name == "us" and m.is_primary and m.status == "running" for m in rows)

    await eventually(at_work)


async def test_the_record_of_a_manager_that_runs_is_deleted_only_by_force(fleet: Fleet, db: Database):
    await fleet.start("one")
    (one,) = await list_managers(db)
    gone, runs = await record(db, "gone"), one.manager_id
    await delete_manager(db, gone)
    await record(db, "other")
    fleet.managers["one"].freeze()  # it still runs
    with pytest.raises(ManagerRuns, match="one is running: it would register again as a new, enabled record"):
        await delete_manager(db, runs)
    assert await names(db) == {"one", "other"}
    await delete_manager(db, runs, force=True)
    assert await names(db) == {"other"}


# Records of Managers that left ----------------------------------------------------------------------------------------


async def silent(db: Database, name: str, days: float) -> None:
    await db.write(
        "UPDATE managers SET last_reported = clock_timestamp() - make_interval(secs => %s) WHERE instance_id = %s",
        (days * 86400, name),
    )


async def names(db: Database) -> set[str]:
    return {manager.instance_id for manager in await list_managers(db)}


async def test_the_primary_removes_records_of_managers_that_left_long_ago(fleet: Fleet, db: Database):
    await fleet.start("one", agent_missing_s="1.2", checkin_hold_s="0.1")
    await primary_is(db, "one")
    await fleet.start("frozen")
    fleet.managers["frozen"].freeze()
    left = {"left": 31, "off": 31, "lately": 29}
    for name, days in left.items():
        await record(db, name, enabled=name != "off")
        await silent(db, name, days)
    await record(db, "elsewhere", "us")  # its zone has no Primary, and those of other zones ignore it
    for name in ("frozen", "elsewhere"):
        await silent(db, name, 31)
    async with db.transaction() as connection:
        await change_installation_settings(connection, {"manager_record_retention_days": 30})

    async def logged() -> list[str] | None:
        rows = await db.fetch("SELECT message FROM logs WHERE code = 'manager-removed' ORDER BY message")
        return [row["message"] for row in rows] if len(rows) >= 2 else None

    assert await eventually(logged) == [
        f"The record of {name} was removed: it last reported 31.0 days ago,"
        " and records are kept for 30 days (manager_record_retention_days)"
        for name in ("left", "off")
    ]
    assert await names(db) == {"one", "frozen", "lately", "elsewhere"}


@pytest.mark.parametrize(("keep_days", "quiet", "goes"), [(30, False, True), (30, True, False), (0, False, False)])
async def test_manager_records_are_removed_after_retention_outside_a_quiet_period(
    db: Database, dsn: str, keep_days: int, quiet: bool, goes: bool
):
    one = await find_or_insert_manager(db, "one", "default", "host", "1")
    await record(db, "left")
    await silent(db, "left", 31)
    async with db.transaction() as connection:
        await change_installation_settings(connection, {"manager_record_retention_days": keep_days})
    async with primary_of(db, dsn, one) as (context, _):
        await run_manager_records(replace(context, quiet=quiet))
        assert await names(db) == ({"one"} if goes else {"one", "left"})


async def test_a_primary_whose_term_is_over_removes_no_record(db: Database, dsn: str):
    one = await find_or_insert_manager(db, "one", "default", "host", "1")
    await record(db, "left")
    await silent(db, "left", 31)
    async with db.transaction() as connection:
        await change_installation_settings(connection, {"manager_record_retention_days": 30})
    async with primary_of(db, dsn, one) as (context, connection):
        await connection.resign(context.fence.term)
        with pytest.raises(LeaseLost):
            await run_manager_records(context)
    assert await names(db) == {"one", "left"}


@asynccontextmanager
async def primary_of(
    db: Database, dsn: str, me: ManagerRow
) -> AsyncGenerator[tuple[PrimaryContext, LeadershipConnection]]:
    """A round of a Primary in this process, and the connection of its leadership."""
    holder = str(uuid.uuid4())
    config: dict[str, Any] = {"database_url": dsn, "secret_key_file": Path("none"), "manager_dir": Path("none")}
    async with leadership_connection(dsn, "leadership", me.zone_key, holder) as connection:
        term = await connection.take(me.manager_id, 0, 30)
        assert term is not None
        logs = LogWriter(db, "manager", me.zone_name)
        yield (
            PrimaryContext(
                db=db,
                fence=Fence(me.zone_key, holder, term),
                zone_id=me.zone_id,
                config=ManagerConfig(**config),
                secrets=Secrets(b"0" * 32),
                logs=logs,
                events=RoundEvents(db, logs),
                quiet=False,
                tasks=Tasks(TaskFailures(), logs),
            ),
            connection,
        )


async def test_a_manager_that_reports_again_keeps_its_record(db: Database):
    await record(db, "one")
    manager_id = await record(db, "back")
    async with db.transaction() as connection:
        await lock_zones(connection)
        assert not await remove_record(connection, manager_id, 30)
    await silent(db, "back", 31)
    async with db.transaction() as connection:
        await lock_zones(connection)
        assert await remove_record(connection, manager_id, 30)
    assert await names(db) == {"one"}
