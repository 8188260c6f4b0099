"""Managers while PostgreSQL is restarted and stopped (docs/explanation/protocols.md §1), with a separate database
server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from tests.support import history
from tests.support.agents import joined, row, session, user
from tests.support.managers import LONG_LEADERSHIP, Fleet, leadership, manager_here, primary_is
from tests.support.processes import answers
from tests.support.servers import Server, own_server
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.db.migrate import migrate
from greenroom.up.postgres import PostgresCluster


@pytest.fixture
async def server(cluster: PostgresCluster) -> AsyncIterator[Server]:
    with own_server(cluster) as server:
        await server.start()
        await migrate(server.cluster.dsn)
        yield server


@pytest.fixture
async def own(server: Server) -> AsyncIterator[Database]:
    db = Database(server.cluster.dsn, application_name="greenroom test")
    await db.open()
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    yield db
    await db.close()


async def test_over_a_crash_of_postgresql_the_primary_keeps_its_term(server: Server, own: Database, tmp_path: Path):
    fleet = Fleet(server.cluster.dsn, tmp_path)
    try:
        await fleet.start("one", **LONG_LEADERSHIP)
        before = await primary_is(own, "one")
        await fleet.start("two", **LONG_LEADERSHIP)
        for _ in range(3):
            server.stop()
            await server.start()
            after = await primary_is(own, "one")
            assert after["term"] == before["term"]
        await answers(fleet.urls["one"] + "/health", 200)
    finally:
        fleet.close()


async def test_postgresql_gone_for_long_ends_no_manager_and_no_session(server: Server, own: Database, tmp_path: Path):
    fleet = Fleet(server.cluster.dsn, tmp_path)
    quick = {
        "agent_missing_s": 5,  # the Agent's time to come back
        "checkin_hold_s": 0.5,
        "session_lost_s": 6,
        "agent_dead_s": 7,
        "guardian_interval_s": 0.2,
    }
    try:
        await fleet.start("two", unhealthy_after_s="2")
        async with manager_here(fleet, "one", **quick) as door:
            agent = await joined(own, door)
            session_id = await session(own, agent, status="running", user_id=await user(own))
            await agent.check_in()
            server.stop()
            assert not (await agent.check_in(once=True)).fresh
            await answers(fleet.urls["two"] + "/health", 500)
            await asyncio.sleep(8)  # longer than a lease and its margin
            await server.start()
            await answers(fleet.urls["two"] + "/health", 200)

            async def fresh() -> bool:
                return (await agent.check_in(once=True)).fresh

            await eventually(fresh)
            assert (await row(own, session_id))["status"] == "running"
            assert [a["status"] for a in await own.fetch("SELECT status FROM agents")] != ["dead"]

            async def has_primary() -> bool:
                return (await leadership(own))["primary"] is not None

            await eventually(has_primary)
        process = fleet.managers["two"].process
        assert process is not None
        assert process.poll() is None
    finally:
        fleet.close()


@pytest.mark.timeout(240)
async def test_a_minute_without_postgresql_ends_no_process(server: Server, own: Database, tmp_path: Path):
    """With the timings of a deployment: longer than the lease, so its next holder has the next term."""
    await history.record(own)
    fleet = Fleet(server.cluster.dsn, tmp_path)
    as_deployed = {"lease_ttl_s": "6", "lease_renew_s": "2", "lease_margin_s": "1"}
    try:
        for name in ("one", "two", "three"):
            await fleet.start(name, **as_deployed)
        before = await primary_is(own, "one", "two", "three")
        server.stop()
        for name in fleet.managers:
            await answers(fleet.urls[name] + "/health", 500, timeout_s=30)
        await asyncio.sleep(45)  # longer than the lease in a deployment
        await server.start()
        after = await primary_is(own, "one", "two", "three")
        assert after["term"] == before["term"] + 1
        for name in fleet.managers:
            await answers(fleet.urls[name] + "/health", 200)
        for manager in fleet.managers.values():
            assert manager.process is not None
            assert manager.process.poll() is None

        async def written() -> bool:
            return any(e.kind == "write" and e.term == after["term"] for e in await history.read(own))

        await eventually(written)
        assert history.problems(await history.read(own)) == []
    finally:
        fleet.close()


async def test_a_manager_whose_database_has_no_tables_yet_ends_with_its_connections(
    db: Database, dsn: str, tmp_path: Path
):
    """A connection that is still being opened outlives a cancellation: the process would neither serve nor end."""
    await db.write("DROP SCHEMA public CASCADE")
    await db.write("CREATE SCHEMA public")
    before = asyncio.all_tasks()
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with manager_here(Fleet(dsn, tmp_path)):
            pytest.fail("there is no record that it could have")
    assert asyncio.all_tasks() <= before, "the pool of the test may have opened a further connection meanwhile"
