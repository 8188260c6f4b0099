"""kill -9 of a Manager at each of its stop points: the next Manager continues, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.support import rows
from tests.support.agents import joined, row, seen, session
from tests.support.managers import LONG_LEADERSHIP, Fleet, primary_is
from tests.support.processes import RoleProcess, answers, arm_before_start
from tests.support.waiting import eventually

from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.database import Database


@pytest.fixture
async def zone_id(db: Database) -> str:
    return await rows.zone(db, "default")


@pytest.fixture
async def fleet(dsn: str, tmp_path: Path, zone_id: str) -> AsyncIterator[Fleet]:
    del zone_id
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


async def kill_at(manager: RoleProcess, name: str) -> None:
    await manager.stops.reached(name)
    manager.kill()
    await manager.ended()


@pytest.mark.parametrize("name", ["leadership.after_take", "leadership.before_renew"])
async def test_killed_before_its_first_renewal_the_next_term_begins_at_once(fleet: Fleet, db: Database, name: str):
    arm_before_start(fleet.folder, "one", name)
    one = fleet.make("one", **LONG_LEADERSHIP)
    one.start()
    await one.stops.reached(name)
    await fleet.start("two")
    await kill_at(one, name)
    assert (await primary_is(db, "two"))["term"] == 2


@pytest.mark.parametrize(
    "name", ["leadership.before_renew", "primary.after_check", "primary.in_guard", "pool.after_count"]
)
async def test_a_killed_primarys_successor_does_its_pending_work_once(
    fleet: Fleet, db: Database, zone_id: str, name: str
):
    one = await fleet.start("one", **LONG_LEADERSHIP)
    await primary_is(db, "one")
    await fleet.start("two", **LONG_LEADERSHIP)
    await one.stops.arm(name)
    # An empty pool, and wrong counts of reservations
    agent_id = await rows.agent(db, zone_id)
    config = await rows.staging_config(db, zone_id, await rows.image(db), num_sessions=2)
    await db.write("UPDATE agent_capacity SET cores_allocated = cores_allocated + 9 WHERE agent_id = %s", (agent_id,))
    await db.notify(ChangeEvent(Topic.SETTINGS))
    await kill_at(one, name)
    assert (await primary_is(db, "two"))["term"] == 2

    async def pool_is_full() -> bool:
        return len(await db.fetch("SELECT 1 FROM sessions WHERE staging_config_id = %s", (config,))) == 2

    async def counts_are_right() -> bool:
        return await db.fetch("SELECT cores_allocated FROM agent_capacity") == [{"cores_allocated": 2.0}]

    await eventually(pool_is_full)
    await eventually(counts_are_right)
    assert await db.fetch("SELECT DISTINCT term FROM sessions") in ([{"term": 1}], [{"term": 2}])


@pytest.mark.parametrize(("name", "is_committed"), [("checkin.before_commit", False), ("checkin.after_commit", True)])
async def test_a_report_killed_around_its_group_commit_counts_once(
    fleet: Fleet, db: Database, name: str, is_committed: bool
):
    one = await fleet.start("one")
    agent = await joined(db, _Door(fleet.urls["one"]))
    session_id = await session(db, agent, status="deleting", want="absent", cores=0.5)
    await agent.check_in()
    await one.stops.arm(name)
    check_in = asyncio.create_task(agent.check_in(seen(session_id, "absent")))
    await kill_at(one, name)
    with pytest.raises(httpx2.TransportError):
        await check_in
    assert await _session(db, session_id) == (("deleted", 0) if is_committed else ("deleting", 0.5))

    one.start()
    await answers(f"{fleet.urls['one']}/health", 200)
    answer = await agent.check_in(seen(session_id, "absent"))
    assert answer.acked_seq == agent.seq
    assert answer.desired == []
    assert await _session(db, session_id) == ("deleted", 0)


async def _session(db: Database, session_id: str) -> tuple[str, float]:
    """The status of the session, and the reserved cores of its Agent."""
    (capacity,) = await db.fetch("SELECT cores_allocated FROM agent_capacity")
    return (await row(db, session_id))["status"], capacity["cores_allocated"]


class _Door(httpx2.AsyncBaseTransport):
    """The transport to a Manager that runs as a process."""

    def __init__(self, url: str) -> None:
        self._url = httpx2.URL(url)
        self._transport = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(host=self._url.host, port=self._url.port)
        return await self._transport.handle_async_request(request)
