"""The guardian: sentinel, health and the behavior of a disabled Manager (docs/reference/managers.md)."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import Any

import httpx2
import psycopg
import pytest
from tests.support.agents import joined
from tests.support.managers import LONG_LEADERSHIP, STARTED_S, Fleet, leadership, manager_here, primary_is
from tests.support.processes import RoleProcess, answers
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.db.fleet.managers import ListedManager, find_or_insert_manager, list_managers, set_enabled


@pytest.fixture
async def other(db: Database, fleet: Fleet) -> str:
    """Insert the record of another enabled Manager, so that one may be disabled."""
    return (await find_or_insert_manager(db, "other", "default", "elsewhere", "1")).manager_id


async def manager(db: Database, name: str) -> ListedManager:
    return next(m for m in await list_managers(db) if m.instance_id == name)


async def enable(db: Database, name: str, enabled: bool) -> None:
    await set_enabled(db, (await manager(db, name)).manager_id, enabled)


async def asked(fleet: Fleet) -> httpx2.Response:
    """The answer of Manager `one` to an Agent."""
    async with httpx2.AsyncClient() as client:
        return await client.post(fleet.urls["one"] + "/v1/check-in", content=b"{}")


async def until_sentinel(fleet: Fleet, there: bool) -> None:
    async def look() -> bool:
        return fleet.sentinel("one").exists() == there

    await eventually(look)


async def test_disabling_writes_the_sentinel_and_enabling_undoes_it(fleet: Fleet, db: Database, other: str):
    process = await fleet.start("one")
    await primary_is(db, "one")
    await enable(db, "one", enabled=False)
    await until_sentinel(fleet, there=True)
    for path in ("/__healthcheck", "/health"):
        response = await answers(fleet.urls["one"] + path, 503)
        assert response.json() == {"ok": False, "status": "disabled", "enabled": False}
        assert response.headers["Retry-After"] == "30"
    found = await manager(db, "one")
    assert (found.status, found.enabled, found.is_primary) == ("unknown", False, False)
    await enable(db, "one", enabled=True)
    await until_sentinel(fleet, there=False)
    assert (await answers(fleet.urls["one"] + "/health", 200)).json() == {
        "ok": True,
        "status": "running",
        "enabled": True,
    }

    async def running() -> bool:
        return (await manager(db, "one")).status == "running"

    await eventually(running)
    assert process.process is not None
    assert process.process.poll() is None


async def test_what_it_logs_names_its_zone_as_that_is_called_now(fleet: Fleet, db: Database, other: str):
    async def logged() -> set[str]:
        rows = await db.fetch("SELECT zone_name FROM logs WHERE code = 'manager-disabled'")
        return {row["zone_name"] for row in rows}

    async with manager_here(fleet):
        await primary_is(db, "one")
        await db.write("UPDATE zones SET zone_name = 'renamed'")
        await enable(db, "one", enabled=False)
        assert await eventually(logged) == {"renamed"}


async def record_writers(db: Database) -> None:
    """Record the author of each change of a table in `writers` from now on."""
    await db.write("CREATE TABLE writers (what text, who text)")
    await db.write(
        "CREATE FUNCTION record_writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO writers"
        " VALUES (TG_OP || ' ' || TG_TABLE_NAME, current_setting('application_name')); RETURN NULL; END $$"
    )
    await db.write(
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'writers' LOOP EXECUTE format('CREATE TRIGGER record_writer AFTER INSERT OR UPDATE OR DELETE"
        " ON %I FOR EACH STATEMENT EXECUTE FUNCTION record_writer()', t); END LOOP; END $$"
    )


async def test_a_disabled_manager_writes_its_heartbeat_and_nothing_else(fleet: Fleet, db: Database):
    """The only other Manager is frozen: there is work, no Manager to do it, and the disabled one does not do it."""
    await fleet.start("one")
    await primary_is(db, "one")
    await fleet.start("two")
    await enable(db, "one", enabled=False)
    await primary_is(db, "two")
    await until_sentinel(fleet, there=True)
    fleet.managers["two"].freeze()
    await db.write(
        "INSERT INTO agents (agent_id, zone_id, credential_hash, last_reported, complete)"
        " SELECT %s, zone_id, '', clock_timestamp(), true FROM zones",
        (str(uuid.uuid4()),),
    )

    async def expired() -> bool:
        return (await leadership(db))["primary"] is None

    await eventually(expired)
    await record_writers(db)

    async def beats() -> bool:
        (row,) = await db.fetch("SELECT count(*) FROM writers WHERE who LIKE 'greenroom%% one'")
        return row["count"] >= 3

    await eventually(beats)
    rows = await db.fetch("SELECT DISTINCT what, who FROM writers WHERE who LIKE 'greenroom%'")
    assert rows == [{"what": "UPDATE managers", "who": "greenroom manager one"}]
    assert (await leadership(db))["primary"] is None
    assert await db.fetch("SELECT status FROM agents") == [{"status": "pending"}]
    assert await db.fetch("SELECT 1 FROM pg_stat_activity WHERE application_name = 'greenroom leadership one'") == []
    await enable(db, "one", enabled=True)
    await primary_is(db, "one")

    async def promoted() -> bool:
        return await db.fetch("SELECT status FROM agents") == [{"status": "running"}]

    await eventually(promoted)
    fleet.managers["two"].thaw()


async def test_an_enabled_manager_leaves_the_role_to_its_present_holder(fleet: Fleet, db: Database):
    await fleet.start("one", **LONG_LEADERSHIP)
    await primary_is(db, "one")
    await fleet.start("two", **LONG_LEADERSHIP)
    await enable(db, "one", enabled=False)
    term = (await primary_is(db, "two"))["term"]
    await until_sentinel(fleet, there=True)
    await enable(db, "one", enabled=True)
    await answers(fleet.urls["one"] + "/health", 200)

    async def waits() -> bool:
        return bool(
            await db.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 71 AND NOT granted")
        )

    await eventually(waits)
    assert (await leadership(db))["term"] == term
    fleet.managers["two"].kill()
    assert (await primary_is(db, "one"))["term"] == term + 1


async def test_a_disabled_manager_stops_even_if_it_cannot_write_its_sentinel(fleet: Fleet, db: Database, other: str):
    process = await fleet.start("one", unhealthy_after_s="1.5")
    await primary_is(db, "one")
    fleet.sentinel("one").parent.write_text("not a folder")
    await enable(db, "one", enabled=False)

    async def left() -> bool:
        return (await asked(fleet)).status_code == 503

    await eventually(left)
    await answers(fleet.urls["one"] + "/__healthcheck", 500)
    assert "cannot be created" in process.log
    process.kill()
    await process.ended()
    process.start()
    assert await process.ended(STARTED_S) == 1
    assert f"The sentinel file {fleet.sentinel('one')} cannot be created" in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize("enabled", [True, False])
async def test_each_round_makes_the_sentinel_follow_the_flag(fleet: Fleet, db: Database, other: str, enabled: bool):
    await fleet.start("one")
    if enabled:
        fleet.sentinel("one").parent.mkdir(parents=True)
        fleet.sentinel("one").touch()
    else:
        await enable(db, "one", enabled=False)
        await until_sentinel(fleet, there=True)
        fleet.sentinel("one").unlink()
    await until_sentinel(fleet, there=not enabled)


async def test_a_disabled_manager_writes_its_sentinel_before_it_listens(fleet: Fleet, db: Database, other: str):
    await find_or_insert_manager(db, "one", "default", "here", "1")
    await enable(db, "one", enabled=False)
    fleet.make("one").start()
    port = fleet.urls["one"].rpartition(":")[2]
    async with asyncio.timeout(STARTED_S):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", int(port))):
                    existed = fleet.sentinel("one").exists()
                    break
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)  # its port opens without an event
    response = await answers(fleet.urls["one"] + "/health", 503)
    assert response.json()["status"] == "disabled"
    assert existed


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_sentinel_stays_until_the_database_is_back(
    fleet: Fleet, db: Database, dsn: str, other: str, enabled: bool
):
    await find_or_insert_manager(db, "one", "default", "here", "1")
    await enable(db, "one", enabled=enabled)
    process = fleet.make("one")
    fleet.sentinel("one").parent.mkdir(parents=True)
    fleet.sentinel("one").touch()
    name = dsn.rpartition("dbname=")[2]
    await _allow_connections(dsn, name, "false")
    try:
        process.start()
        await answers(fleet.urls["one"] + "/health", 500)
        for_agents = await asked(fleet)
        assert (for_agents.status_code, for_agents.json()["status"]) == (503, "starting")
        assert for_agents.headers["Retry-After"] == "1"
        await eventually(lambda: _has_tried_again(process))
        assert fleet.sentinel("one").exists()
    finally:
        await _allow_connections(dsn, name, "true")
    await answers(fleet.urls["one"] + "/health", 200 if enabled else 503)
    assert fleet.sentinel("one").exists() != enabled
    assert process.process is not None
    assert process.process.poll() is None


async def _has_tried_again(process: RoleProcess) -> bool:
    return process.log.count("the Manager registers when the database can be reached") >= 2


async def test_a_guardian_that_misses_its_rounds_is_unhealthy(fleet: Fleet, db: Database):
    process = await fleet.start("one", unhealthy_after_s="4")
    await primary_is(db, "one")
    await process.stops.arm("primary.after_check")
    await db.write(
        "INSERT INTO agents (agent_id, zone_id, credential_hash, last_reported, complete)"
        " SELECT %s, zone_id, '', clock_timestamp(), true FROM zones",
        (str(uuid.uuid4()),),
    )
    await process.stops.reached("primary.after_check")
    response = await answers(fleet.urls["one"] + "/__healthcheck", 500)
    assert response.json() == {"ok": False, "status": "unhealthy", "enabled": True}
    for_agents = await asked(fleet)
    assert (for_agents.status_code, for_agents.json()["status"]) == (500, "unhealthy")
    await process.stops.release("primary.after_check")
    await answers(fleet.urls["one"] + "/__healthcheck", 200)


async def test_a_primary_that_hangs_loses_the_role_and_may_not_write(fleet: Fleet, db: Database):
    """Its leadership connection still works: neither its end nor an expired leadership shows that it hangs."""
    process = await fleet.start("one", unhealthy_after_s="4", **LONG_LEADERSHIP)
    term = (await primary_is(db, "one"))["term"]
    await fleet.start("two", **LONG_LEADERSHIP)
    await process.stops.arm("primary.after_check")
    await db.write(
        "INSERT INTO agents (agent_id, zone_id, credential_hash, last_reported, complete)"
        " SELECT %s, zone_id, '', clock_timestamp(), true FROM zones",
        (str(uuid.uuid4()),),
    )
    await process.stops.reached("primary.after_check")
    assert (await primary_is(db, "two"))["term"] == term + 1

    async def said() -> list[dict[str, Any]]:
        return await db.fetch("SELECT message FROM logs WHERE code LIKE 'primary-%' ORDER BY time")

    async def both() -> bool:
        return len(await said()) >= 3

    await eventually(both)
    assert [row["message"] for row in await said()][1:] == [
        "one is no longer Primary of zone default because it hangs",
        f"two became Primary of zone default with term {term + 1} because one resigned",
    ]
    await process.stops.release("primary.after_check")
    await answers(fleet.urls["one"] + "/__healthcheck", 200)
    assert "the round ended early" in process.log
    assert (await leadership(db))["primary"] == "two"
    fleet.managers["two"].kill()
    await primary_is(db, "one")


async def test_a_held_check_in_ends_with_503_when_its_manager_is_disabled(fleet: Fleet, db: Database, other: str):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        await primary_is(db, "one")
        await agent.check_in()  # news of the election would end a hold as well
        task = asyncio.create_task(agent.post("/v1/check-in", agent.message(hold_s=5)))
        await asyncio.sleep(0.3)  # to see that nothing happens
        assert not task.done()
        await enable(db, "one", enabled=False)
        response = await task
    assert response.status_code == 503
    assert response.json() == {"ok": False, "status": "disabled", "enabled": False}
    assert response.headers["Retry-After"] == "30"


async def _allow_connections(dsn: str, name: str, value: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn.replace(name, "greenroom"), autocommit=True) as connection:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {value}'.encode())
        if value == "false":
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )


async def test_while_the_database_is_away_answers_change_nothing(fleet: Fleet, db: Database, dsn: str):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        name = dsn.rpartition("dbname=")[2]
        await _allow_connections(dsn, name, "false")
        try:
            answer = await agent.check_in(full=True, once=True)
        finally:
            await _allow_connections(dsn, name, "true")
        assert not answer.fresh
        assert answer.desired is None

        async def fresh() -> bool:
            return (await agent.check_in(full=True)).desired is not None

        await eventually(fresh)


async def test_restart_keeps_identity_first_report_and_flag(fleet: Fleet, db: Database, other: str):
    async with manager_here(fleet):
        before = await manager(db, "one")
        await enable(db, "one", enabled=False)
    async with manager_here(fleet):
        after = await manager(db, "one")
    for name in ("manager_id", "first_reported", "zone_id"):
        assert getattr(after, name) == getattr(before, name)
    assert not after.enabled
    assert after.last_reported > before.last_reported
