"""The Primary's tasks with a real Manager on a real PostgreSQL, and an Agent whose messages the test sends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, LiteralString, cast

import httpx2
import pytest
from tests.support.agents import ToldAgent, checking_in, join_token, joined, row, seen, session, user
from tests.support.managers import Fleet, manager_here
from tests.support.system import primary_of
from tests.support.waiting import eventually

from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.fleet.agents import update_agent
from greenroom.db.fleet.leadership import guarded
from greenroom.db.fleet.liveness import changed_offers, mark_dead
from greenroom.db.fleet.views import AgentRow, list_agents
from greenroom.db.session.deadlines import read_with_deadline
from greenroom.wire.messages import Observed, ReportedCapacity

QUICK: dict[str, Any] = {
    "agent_missing_s": 5,
    "checkin_hold_s": 0.5,
    "session_lost_s": 600,
    "agent_dead_s": 3600,
    "guardian_interval_s": 0.1,
}
"""An Agent that checks in is not missing, even if the machine stalls for a moment."""
SOON_MISSING: dict[str, Any] = {**QUICK, "agent_missing_s": 2}
SOON_LOST: dict[str, Any] = {**SOON_MISSING, "session_lost_s": 3}
SOON_DEAD: dict[str, Any] = {**SOON_LOST, "agent_dead_s": 5}
"""Each limit is short only up to the tested step: later steps do not happen before the test has finished."""


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> Fleet:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    return Fleet(dsn, tmp_path)


@pytest.fixture
def timings() -> dict[str, Any]:
    """The timings of the Manager; a test may override them."""
    return QUICK


@pytest.fixture
async def door(fleet: Fleet, timings: dict[str, Any]) -> AsyncIterator[httpx2.ASGITransport]:
    async with manager_here(fleet, **timings) as transport:
        yield transport


def status_is(db: Database, session_id: str, *wanted: str) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    async def look() -> dict[str, Any] | None:
        found = await row(db, session_id)
        return found if found["status"] in wanted else None

    return look


def agent_is(db: Database, wanted: str) -> Callable[[], Awaitable[AgentRow | None]]:
    async def look() -> AgentRow | None:
        agents = (await list_agents(db)).rows
        return agents[0] if agents and agents[0].status == wanted else None

    return look


async def test_an_agent_is_promoted_after_its_first_complete_check_in(door: httpx2.ASGITransport, db: Database):
    agent = ToldAgent(door, await join_token(db))
    await agent.register()
    await agent.check_in(inventory_complete=False)
    await asyncio.sleep(0.5)  # to see that nothing happens
    assert await agent_is(db, "pending")()
    await agent.check_in()
    found = await eventually(agent_is(db, "running"))
    assert (found.cores, found.memory) == (32, 8 << 30)


@pytest.mark.parametrize("timings", [SOON_MISSING], ids=["soon missing"])
async def test_staged_sessions_of_a_missing_agent_leave_and_return_with_it(agent: ToldAgent, db: Database):
    await eventually(agent_is(db, "running"))
    staged = await session(db, agent, status="running")
    coming = await session(db, agent)
    used = await session(db, agent, status="running", user_id=await user(db))
    await agent.check_in()
    usable: list[Observed] = [seen(s, usable=True) for s in (staged, used)]
    await agent.check_in(*usable)
    await eventually(agent_is(db, "missing"))
    assert (await row(db, staged))["status"] == "unreachable"
    assert (await row(db, coming))["status"] == "deleting"
    assert (await row(db, used))["status"] == "running"
    async with checking_in(agent):
        await eventually(agent_is(db, "running"))
        await eventually(status_is(db, coming, "deleting"))
        assert (await row(db, staged))["status"] == "unreachable"  # observations from before the silence do not count
    await agent.check_in(seen(staged, generation=2, usable=True))
    await eventually(status_is(db, staged, "running"))


@pytest.mark.parametrize("timings", [SOON_LOST], ids=["soon lost"])
async def test_a_lost_session_of_a_user_comes_back_with_its_agent(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="running", user_id=await user(db))
    await agent.check_in()
    await agent.check_in(seen(session_id, usable=True))
    found = await eventually(status_is(db, session_id, "lost"))
    assert "was lost" in found["error"]
    async with checking_in(agent):
        found = await eventually(status_is(db, session_id, "running"))
    assert found["error"] is None


@pytest.mark.parametrize("timings", [SOON_DEAD], ids=["soon dead"])
async def test_a_dead_agents_sessions_end_and_release_their_reservation(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="running", user_id=await user(db))
    await eventually(agent_is(db, "dead"), 20)
    found = await eventually(status_is(db, session_id, "deleted"))
    assert "is dead" in found["ended_reason"]
    assert (await list_agents(db)).rows[0].cores_allocated == 0


async def test_an_agent_that_reported_after_all_is_not_dead(db: Database, fleet: Fleet):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
    await db.write("UPDATE agents SET status = 'missing', last_reported = clock_timestamp() - interval '9 seconds'")
    async with db.transaction() as connection:
        assert not await mark_dead(connection, agent.agent_id, dead_s=60)
        assert await mark_dead(connection, agent.agent_id, dead_s=5)


async def test_what_an_agent_that_is_away_was_to_stop_or_delete_waits_for_it(db: Database, fleet: Fleet):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    for status in ("starting", "assigning", "stopping", "pausing", "deleting"):
        await session(db, agent, status=status)
    await db.write("UPDATE agents SET status = 'missing'")
    assert {waiting.status for waiting in await read_with_deadline(db, zone["zone_id"])} == {"starting", "assigning"}
    await db.write("UPDATE agents SET status = 'running'")
    assert len(await read_with_deadline(db, zone["zone_id"])) == 5


async def test_silence_proves_nothing_right_after_an_election(db: Database, fleet: Fleet):
    timings: dict[str, Any] = {**QUICK, "agent_missing_s": 6, "session_lost_s": 600, "agent_dead_s": 3600}
    async with manager_here(fleet, **timings) as door:
        await joined(db, door)
        await eventually(agent_is(db, "running"))
    await db.write("UPDATE agents SET last_reported = clock_timestamp() - interval '1 min'")
    async with manager_here(fleet, **timings):
        await asyncio.sleep(1.5)  # to see that nothing happens
        assert await agent_is(db, "running")()
        await eventually(agent_is(db, "missing"))


async def test_nothing_stays_in_a_transitional_status(agent: ToldAgent, db: Database):
    starting = await session(db, agent, status="starting", user_id=await user(db))
    deleting = await session(db, agent, status="deleting", want="absent")
    assigning = await session(
        db, agent, status="assigning", user_id=await user(db, "bob"), assignment_id=str(uuid.uuid4())
    )
    async with checking_in(agent):
        await db.write("UPDATE sessions SET deadline = clock_timestamp() + interval '2.2 seconds'")
        found = await eventually(status_is(db, starting, "failed", "deleting"))  # the same round deletes it
        assert "still starting on host-1" in found["error"]
        found = await eventually(status_is(db, assigning, "failed"))
        assert "did not acknowledge the hand-over" in found["error"]

        async def repeated() -> bool:
            return (await row(db, deleting))["generation"] == 2

        await eventually(repeated)

    async def logged() -> bool:
        codes = {line["code"] for line in await db.fetch("SELECT code FROM logs")}
        return {"session-failed", "session-deleting"} <= codes

    await eventually(logged)


async def test_drift_of_the_counts_is_corrected_and_logged(agent: ToldAgent, db: Database):
    await session(db, agent, cores=0.5)
    await db.write("UPDATE agent_capacity SET cores_allocated = 7, memory_allocated = 0")

    async def corrected() -> bool:
        found = (await list_agents(db)).rows[0]
        return (found.cores_allocated, found.memory_allocated) == (0.5, 256 << 20)

    async with checking_in(agent):
        await eventually(corrected)

    async def logged() -> bool:
        rows = await db.fetch("SELECT message FROM logs WHERE code = 'capacity-corrected'")
        return len(rows) == 1 and "cores 7 → 0.5, memory 0 B → 268.435 MB" in rows[0]["message"]

    assert await eventually(logged)


async def test_an_override_is_what_the_agent_offers_until_it_is_taken_away(door: httpx2.ASGITransport, db: Database):
    async def overcommit() -> float:
        (capacity,) = await db.fetch("SELECT overcommit FROM agent_capacity")
        return capacity["overcommit"]

    agent = await joined(db, door)
    assert await overcommit() == 16
    await update_agent(db, agent.agent_id, cores_override=3.5, memory_override=1 << 30)
    found = (await list_agents(db)).rows[0]
    assert (found.cores, found.memory, await overcommit()) == (3.5, 1 << 30, 1)
    await update_agent(db, agent.agent_id, cores_override=0, memory_override=0)

    async def restored() -> bool:
        found = (await list_agents(db)).rows[0]
        return (found.cores, found.memory, await overcommit()) == (32, 8 << 30, 16)

    await eventually(restored)


async def test_a_host_that_reports_nothing_offers_nothing_even_if_overridden(agent: ToldAgent, db: Database):
    await update_agent(db, agent.agent_id, cores_override=3.5, memory_override=1 << 30)

    async def offers() -> tuple[float, int]:
        found = (await list_agents(db)).rows[0]
        return found.cores, found.memory

    def reporting(cores: float, memory_bytes: int, offer: tuple[float, int]) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            await agent.check_in(capacity=ReportedCapacity(cores=cores, memory_bytes=memory_bytes))
            return await offers() == offer

        return look

    await eventually(reporting(0, 0, (0, 0)))
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    assert await changed_offers(db, zone["zone_id"], 16) == [], "the Primary leaves it so"
    await update_agent(db, agent.agent_id, cores_override=4)
    assert await offers() == (0, 0)
    await eventually(reporting(2, 8 << 30, (4, 1 << 30)))


async def refuse_changes_of(db: Database, session_id: str) -> None:
    """Refuse changes of a row: the database raises an error that Greenroom does not handle."""
    await db.write(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'this row is poison'; END $$"
    )
    statement = (
        "DO $$ BEGIN EXECUTE format('CREATE TRIGGER refuse BEFORE UPDATE ON sessions FOR EACH ROW"
        f" WHEN (OLD.session_id = %L) EXECUTE FUNCTION refuse()', '{uuid.UUID(session_id)}'); END $$"
    )
    await db.write(cast("LiteralString", statement))  # DO takes no parameters


async def health(door: httpx2.ASGITransport) -> tuple[int, Any]:
    async with httpx2.AsyncClient(transport=door, base_url="http://manager") as client:
        response = await client.get("/health")
    return response.status_code, response.json().get("failing_tasks")


async def test_a_row_that_cannot_be_written_stops_nothing_but_itself(
    door: httpx2.ASGITransport, agent: ToldAgent, db: Database
):
    """Otherwise each Manager of the zone would meet it in turn, and end."""
    poison, other = [await session(db, agent, status="requested") for _ in range(2)]
    await refuse_changes_of(db, poison)
    await db.write("UPDATE sessions SET deadline = clock_timestamp() WHERE session_id = %s", (other,))
    await db.write("ALTER TABLE sessions DISABLE TRIGGER refuse")
    await db.write("UPDATE sessions SET deadline = clock_timestamp() WHERE session_id = %s", (poison,))
    await db.write("ALTER TABLE sessions ENABLE TRIGGER refuse")
    async with checking_in(agent):
        await eventually(status_is(db, other, "failed"))

        async def shown() -> bool:
            return await health(door) == (200, ["deadlines"])

        await eventually(shown)
        of_tasks = "SELECT message FROM logs WHERE code = 'primary-task-failed' ORDER BY log_id"
        rows = await eventually(lambda: db.fetch(of_tasks))
        assert f"deadlines ({poison})" in rows[0]["message"]
        assert "this row is poison" in rows[0]["message"]
        assert (await row(db, poison))["status"] == "requested"
        for one, again_s in zip(await db.fetch(of_tasks), (1, 2, 4, 8, 16, 30), strict=False):
            assert one["message"].endswith(f"this task is tried again in {again_s} s.")
        await eventually(agent_is(db, "running"))
        await db.write("DROP TRIGGER refuse ON sessions")
        await eventually(status_is(db, poison, "failed"), 40)

        async def well() -> bool:
            return await health(door) == (200, None)

        await eventually(well)


@pytest.mark.usefixtures("fleet")
async def test_a_task_that_stood_still_in_its_transaction_blames_no_session(db: Database):
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones")
    ctx = await primary_of(db, zone["zone_id"])

    async def stands_still() -> None:
        async with guarded(db, ctx.fence) as connection:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 1")
            gone = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = %s)"
            await eventually(lambda: db.fetch(gone, (connection.info.backend_pid,)))
            async with ctx.tasks.isolated("deadlines", "session", within=connection):
                raise AssertionError("the transaction is over")

    with pytest.raises(Unavailable):
        await stands_still()
    assert ctx.tasks.failures.tasks == []
