"""The guardian: sentinel, health and what a disabled Manager does (CONTRACT, Health; seed page of Managers)."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.integration.agents import joined
from tests.integration.managers import Fleet, eventually, lease, manager_here, primary_is

from greenroom.db.database import Database
from greenroom.db.managers import adopt, list_managers, set_enabled
from greenroom.testing.processes import answers
from greenroom.up.postgres import Cluster


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
async def spare(db: Database, fleet: Fleet) -> str:
    """Another enabled Manager, so that one may be disabled; only its record exists."""
    return (await adopt(db, "spare", "default", "elsewhere", "1")).manager_id


async def manager(db: Database, name: str) -> dict[str, Any]:
    return next(m for m in await list_managers(db) if m["instance_id"] == name)


async def enable(db: Database, name: str, enabled: bool) -> None:
    await set_enabled(db, (await manager(db, name))["manager_id"], enabled)


async def until_sentinel(fleet: Fleet, there: bool) -> None:
    async def look() -> bool:
        return fleet.sentinel("one").exists() == there

    await eventually(look, 4)


async def test_disabling_writes_the_sentinel_and_answers_503_and_enabling_undoes_it(
    fleet: Fleet, db: Database, spare: str
):
    process = await fleet.start("one")
    await primary_is(db, "one")
    await enable(db, "one", enabled=False)
    begun = time.monotonic()
    await until_sentinel(fleet, there=True)
    for path in ("/__healthcheck", "/health"):
        response = await answers(fleet.urls["one"] + path, 503)
        assert response.json() == {"ok": False, "status": "disabled", "enabled": False}
        assert response.headers["Retry-After"] == "30"
    assert time.monotonic() - begun < 2
    found = await manager(db, "one")
    assert (found["status"], found["enabled"], found["is_primary"]) == ("unknown", False, False)
    await enable(db, "one", enabled=True)
    begun = time.monotonic()
    await until_sentinel(fleet, there=False)
    assert (await answers(fleet.urls["one"] + "/health", 200)).json() == {
        "ok": True,
        "status": "running",
        "enabled": True,
    }

    async def running() -> bool:
        return (await manager(db, "one"))["status"] == "running"

    await eventually(running)
    assert time.monotonic() - begun < 2.5
    assert process.process is not None
    assert process.process.poll() is None


async def test_a_disabled_manager_reports_and_does_nothing_else(fleet: Fleet, db: Database, spare: str):
    await fleet.start("one")
    await primary_is(db, "one")
    await enable(db, "one", enabled=False)
    await until_sentinel(fleet, there=True)
    before = await manager(db, "one")
    await db.write(
        "INSERT INTO agents (agent_id, zone_id, credential_hash, last_reported, complete)"
        " SELECT %s, zone_id, '', clock_timestamp(), true FROM zones",
        (str(uuid.uuid4()),),
    )

    async def reported() -> bool:
        return (await manager(db, "one"))["last_reported"] > before["last_reported"]

    await eventually(reported)
    await asyncio.sleep(1.5)
    assert (await lease(db))["primary"] is None
    assert await db.fetch("SELECT status FROM agents") == [{"status": "pending"}]
    assert await db.fetch("SELECT 1 FROM pg_stat_activity WHERE application_name = 'greenroom lease one'") == []


@pytest.mark.parametrize("enabled", [True, False])
async def test_each_round_makes_the_sentinel_follow_the_flag(fleet: Fleet, db: Database, spare: str, enabled: bool):
    await fleet.start("one")
    if enabled:
        fleet.sentinel("one").parent.mkdir(parents=True)
        fleet.sentinel("one").touch()
    else:
        await enable(db, "one", enabled=False)
        await until_sentinel(fleet, there=True)
        fleet.sentinel("one").unlink()
    await until_sentinel(fleet, there=not enabled)


async def test_a_disabled_manager_that_starts_writes_the_sentinel_before_it_listens(
    fleet: Fleet, db: Database, spare: str
):
    await adopt(db, "one", "default", "here", "1")
    await enable(db, "one", enabled=False)
    fleet.make("one").start()
    port = fleet.urls["one"].rpartition(":")[2]
    async with asyncio.timeout(20):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", int(port))):
                    existed = fleet.sentinel("one").exists()
                    break
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)
    response = await answers(fleet.urls["one"] + "/health", 503)
    assert response.json()["status"] == "disabled"
    assert existed


async def test_while_the_database_is_away_at_the_start_a_sentinel_stays_and_health_is_500(
    fleet: Fleet, db: Database, tmp_path: Path, cluster: Cluster
):
    fleet.dsn = f"host={tmp_path} port={cluster.port} user=greenroom dbname=nowhere"
    process = fleet.make("one", unhealthy_after_s="1")
    fleet.sentinel("one").parent.mkdir(parents=True)
    fleet.sentinel("one").touch()
    process.start()
    await answers(fleet.urls["one"] + "/health", 500)
    await asyncio.sleep(1.5)
    assert fleet.sentinel("one").exists()
    async with httpx.AsyncClient() as client:
        assert (await client.post(fleet.urls["one"] + "/v1/check-in", content=b"{}")).status_code == 503
    assert process.process is not None
    assert process.process.poll() is None


async def test_a_guardian_that_misses_its_rounds_is_unhealthy(fleet: Fleet, db: Database):
    process = await fleet.start("one", unhealthy_after_s="1.5")
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
    await process.stops.release("primary.after_check")
    await answers(fleet.urls["one"] + "/__healthcheck", 200)


async def test_a_held_check_in_ends_with_503_when_its_manager_is_disabled(fleet: Fleet, db: Database, spare: str):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        task = asyncio.create_task(agent.post("/v1/check-in", agent.message(hold_s=5)))
        await asyncio.sleep(0.3)
        assert not task.done()
        begun = time.monotonic()
        await enable(db, "one", enabled=False)
        response = await task
        assert time.monotonic() - begun < 1
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
            answer = await agent.check_in(full=True)
        finally:
            await _allow_connections(dsn, name, "true")
        assert not answer.fresh
        assert answer.desired is None

        async def fresh() -> bool:
            return (await agent.check_in(full=True)).desired is not None

        await eventually(fresh)


async def test_restart_keeps_identity_first_report_and_flag(fleet: Fleet, db: Database, spare: str):
    async with manager_here(fleet):
        before = await manager(db, "one")
        await enable(db, "one", enabled=False)
    async with manager_here(fleet):
        after = await manager(db, "one")
    for name in ("manager_id", "first_reported", "zone_id"):
        assert after[name] == before[name]
    assert not after["enabled"]
    assert after["last_reported"] > before["last_reported"]
