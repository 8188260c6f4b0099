"""The work of the Primary: a Manager that is not Primary does none of it, and does it once it is Primary.

Every kind of work is pending at once: an Agent to promote, one to mark as missing, counts and offers that were changed
by plain SQL, a pool to fill, a session that expired, one whose deadline passed, one that failed long ago.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from tests.support import rows
from tests.support.agents import ToldAgent, checking_in, join_token, joined, row, seen, session, user
from tests.support.managers import Fleet, leadership, manager_here
from tests.support.waiting import eventually

from greenroom.db.database import Database

BUSY_S = 40.0
"""The time in which a busy machine does all of it; statements that time out delay it again (QUIET)."""
QUICK: dict[str, Any] = {"agent_missing_s": 4, "checkin_hold_s": 1, "guardian_interval_s": 0.1, "verdict_grace_s": 1}


@pytest.fixture
async def zone_id(db: Database) -> str:
    """A zone whose leadership belongs to another Manager, which is not part of this test."""
    zone_id = await rows.zone(db, "default")
    await db.write(
        "UPDATE zone_leases SET holder = gen_random_uuid(), manager_id = gen_random_uuid(), term = 41,"
        " expires_at = clock_timestamp() + interval '1 hour', renewed_at = '-infinity'"
    )
    return zone_id


@pytest.fixture
async def fleet(dsn: str, tmp_path: Path, zone_id: str) -> Fleet:
    del zone_id
    return Fleet(dsn, tmp_path)


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[httpx2.ASGITransport]:
    """A Manager that is enabled, healthy and not Primary."""
    async with manager_here(fleet, **QUICK) as transport:
        yield transport


async def end_the_other(db: Database) -> None:
    """The holder's leadership ends."""
    await db.write("UPDATE zone_leases SET expires_at = '-infinity', previous_manager_id = NULL")


async def state(db: Database) -> dict[str, list[dict[str, Any]]]:
    """The rows that a Primary would change."""
    return {
        "agents": await db.fetch("SELECT agent_id, status FROM agents ORDER BY agent_id"),
        "capacity": await db.fetch(
            "SELECT agent_id, cores, memory, overcommit, cores_allocated, memory_allocated FROM agent_capacity"
            " ORDER BY agent_id"
        ),
        "sessions": await db.fetch(
            "SELECT session_id, status, want, generation, expires, deadline FROM sessions ORDER BY session_id"
        ),
        "leadership": await db.fetch("SELECT holder, term FROM zone_leases"),
    }


async def rounds(db: Database, number: int = 8) -> None:
    """Wait for this number of additional rounds of the guardian."""
    seen_at: set[Any] = set()

    async def made() -> bool:
        seen_at.add((await db.fetch("SELECT max(last_round) AS at FROM managers"))[0]["at"])
        return len(seen_at) > number

    await eventually(made)


async def test_all_of_it_waits_for_the_primary_and_is_done_by_it(
    door: httpx2.ASGITransport, db: Database, fleet: Fleet, zone_id: str
):
    image_id = await rows.image(db)
    host = await rows.agent(db, zone_id, hostname="of the pool")
    await db.write(
        "UPDATE agents SET last_reported = clock_timestamp() + interval '1 hour' WHERE agent_id = %s", (host,)
    )
    pool = await rows.staging_config(db, zone_id, image_id, num_sessions=2)
    pending = ToldAgent(door, await join_token(db))
    assert (await pending.register()).status_code == 200
    await pending.check_in(full=True)
    silent = await joined(db, door)
    await db.write(
        "UPDATE agents SET status = 'running', last_reported = clock_timestamp() - interval '1 minute'"
        " WHERE agent_id = %s",
        (silent.agent_id,),
    )
    counted = await joined(db, door)
    await db.write("UPDATE agents SET status = 'running' WHERE agent_id = %s", (counted.agent_id,))
    await db.write("UPDATE agents SET draining = agent_id <> %s", (host,))  # only one Agent is available for the pool
    expired = await session(db, counted, status="running", user_id=await user(db))
    overdue = await session(db, counted, status="starting", user_id=await user(db, "bob"))
    failed = await session(db, counted, status="failed", want="absent")
    await db.write("UPDATE sessions SET expires = now() - interval '1 minute' WHERE session_id = %s", (expired,))
    await db.write(
        "UPDATE sessions SET deadline = now() - interval '1 minute', status_changed = now() - interval '1 hour'"
        " WHERE session_id = %s",
        (overdue,),
    )
    await db.write("UPDATE sessions SET status_changed = now() - interval '9 days' WHERE session_id = %s", (failed,))
    await db.write("UPDATE agent_capacity SET cores_allocated = 7, cores = 99 WHERE agent_id = %s", (counted.agent_id,))

    before = await state(db)
    await rounds(db)
    assert await state(db) == before, "a Manager that is not Primary changes nothing"
    assert await db.fetch("SELECT 1 FROM sessions WHERE staging_config_id = %s", (pool,)) == []

    await end_the_other(db)
    async with checking_in(counted, pending):
        await eventually(lambda: agent_is(db, pending, "running"), BUSY_S)
        await eventually(lambda: agent_is(db, silent, "missing"), BUSY_S)
        await eventually(lambda: session_is(db, expired, "deleting"), BUSY_S)
        await eventually(lambda: session_is(db, overdue, "failed"), BUSY_S)
        await eventually(lambda: session_is(db, failed, "deleting"), BUSY_S)

        async def pool_is_full() -> bool:
            return len(await db.fetch("SELECT 1 FROM sessions WHERE staging_config_id = %s", (pool,))) == 2

        await eventually(pool_is_full, BUSY_S)

        async def corrected() -> bool:
            (found,) = await db.fetch(
                "SELECT c.cores, c.cores_allocated, sum(s.cores) AS summed FROM agent_capacity c JOIN sessions s"
                " USING (agent_id) WHERE agent_id = %s GROUP BY c.cores, c.cores_allocated",
                (counted.agent_id,),
            )
            return found["cores"] == 32 and found["cores_allocated"] == found["summed"] == 1.5

        await eventually(corrected, BUSY_S)
    assert (await leadership(db))["term"] > 41
    assert {r["term"] for r in await db.fetch("SELECT term FROM sessions WHERE staging_config_id = %s", (pool,))} == {
        42
    }

    async def said() -> bool:
        found = [(r["code"], r["message"]) for r in await db.fetch("SELECT code, message FROM logs")]
        codes = {code for code, _ in found}
        return (
            any(code == "capacity-corrected" and "cores 7 → 1.5" in message for code, message in found)
            and any(code == "agent-offer-changed" and "cores 99 → 32" in message for code, message in found)
            and {"agent-running", "agent-missing", "session-expired", "session-failed"} <= codes
        )

    assert await eventually(said)


async def agent_is(db: Database, agent: ToldAgent, status: str) -> bool:
    (found,) = await db.fetch("SELECT status FROM agents WHERE agent_id = %s", (agent.agent_id,))
    return found["status"] == status


async def session_is(db: Database, session_id: str, status: str) -> bool:
    return (await row(db, session_id))["status"] == status


async def test_what_agents_saw_moves_sessions_while_the_zone_has_no_primary(agent: ToldAgent, db: Database):
    """A row whose container is gone, and the log row with its status before and after."""
    launched = await session(db, agent)
    broken = await session(db, agent, status="running", user_id=await user(db))
    await agent.check_in()
    await agent.check_in(seen(launched, usable=True), seen(broken, "absent"))
    assert (await row(db, launched))["status"] == "running"
    assert (await row(db, broken))["status"] == "failed"

    async def said() -> bool:
        found = await db.fetch("SELECT message, details FROM logs WHERE code = 'session-failed'")
        return [r["details"] for r in found] == [{"before": "running", "after": "failed"}] and (
            "its container is gone although its deletion was not requested" in found[0]["message"]
        )

    assert await eventually(said)


async def test_any_manager_condemns_an_unknown_container_after_its_grace(door: httpx2.ASGITransport, db: Database):
    agent, stranger = await joined(db, door), str(uuid.uuid4())
    assert (await agent.check_in(unknown=[stranger])).verdicts == {}

    async def condemned() -> bool:
        return (await agent.check_in(unknown=[stranger])).verdicts == {stranger: "destroy"}

    await eventually(condemned)


async def test_a_new_primary_announces_itself_to_agents_of_other_managers(door: httpx2.ASGITransport, db: Database):
    del door
    async with await psycopg.AsyncConnection.connect(db.dsn, autocommit=True) as listening:
        await listening.execute("LISTEN greenroom")
        (zone,) = await db.fetch("SELECT zone_key FROM zones")
        await end_the_other(db)
        async with asyncio.timeout(20):
            async for event in listening.notifies():
                if event.payload == f"primary:{zone['zone_key']}":
                    break
    assert (await leadership(db))["primary"] == "one"
