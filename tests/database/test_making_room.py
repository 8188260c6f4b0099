"""People first when capacity is scarce: a launch on demand takes the room of staged sessions that nobody can have yet,
and while a user waits for room, the pools of the zone leave the room that comes free to that user."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.database.locks import waiting
from tests.database.primary_here import SECRETS, primary_of

from greenroom.api.launch.service import Launcher, LaunchRequest, LaunchResult
from greenroom.core.errors import NoResources
from greenroom.core.launch.eviction import MAX_WAITING_S, WAITING_S
from greenroom.db.database import Database
from greenroom.db.diagnostics.invariants import INVARIANTS, broken
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.eviction import read_unready
from greenroom.db.launch.ledger import launch_of_session
from greenroom.db.session.sessions import end_sessions
from greenroom.manager.tasks.context import PrimaryContext
from greenroom.manager.tasks.pools import run_pools
from greenroom.manager.tasks.replacement import run_successors
from greenroom.testing import rows

CORES = 4
"""Of the only Agent; every session reserves one."""


@dataclass(frozen=True)
class Stage:
    """A zone with a pool of `Staged` that wants more than the Agent has room for, and users who launch `Desktop`."""

    db: Database
    launcher: Launcher
    ctx: PrimaryContext
    agent_id: str
    config_id: str
    image_id: str
    group_id: str

    async def launch(self, name: str, image_id: str | None = None) -> LaunchResult:
        found = await self.db.fetch_one("SELECT user_id::text FROM users WHERE username = %s", (name,))
        user_id = found["user_id"] if found else await rows.user(self.db, name, self.group_id)
        request = LaunchRequest(user_id=user_id, image_id=image_id or self.image_id, request_host="desk.example")
        return await self.launcher.launch(request)

    async def fill(self) -> None:
        """The Primary's round over the zone's pools."""
        await run_pools(self.ctx)

    async def becomes_usable(self, number: int) -> None:
        """The oldest sessions of the pool are claimable from now on."""
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id IN (SELECT session_id"
            " FROM sessions WHERE user_id IS NULL AND status = 'requested' ORDER BY created, session_id LIMIT %s)"
            " AND status = 'requested'",
            (number,),
        )

    async def pool(self) -> dict[str, int]:
        """Sessions without a user, by status."""
        found = await self.db.fetch(
            "SELECT status, count(*) AS number FROM sessions WHERE user_id IS NULL GROUP BY status"
        )
        return {row["status"]: row["number"] for row in found}

    async def shortfall(self) -> tuple[str, str]:
        row = await self.db.fetch_one("SELECT shortfall_code, shortfall_reason FROM staging_configs")
        assert row is not None
        return row["shortfall_code"], row["shortfall_reason"]

    async def session(self, session_id: str) -> dict[str, Any]:
        row = await self.db.fetch_one("SELECT * FROM sessions WHERE session_id = %s", (session_id,))
        assert row is not None
        return row

    async def end(self, session_id: str) -> None:
        """A session is over, and its room is free."""
        await self.db.write(
            "UPDATE sessions SET status = 'deleting', want = 'absent' WHERE session_id = %s", (session_id,)
        )
        async with self.db.transaction() as connection:
            assert await end_sessions(connection, [session_id], "gone")

    async def pass_time(self, seconds: float) -> None:
        """So long ago everybody was refused, as far as anybody can tell."""
        await self.db.write(
            "UPDATE launches_waiting SET refused = refused - make_interval(secs => %s),"
            " since = since - make_interval(secs => %s)",
            (seconds, seconds),
        )

    async def must_add_up(self) -> None:
        (booked,) = [invariant for invariant in INVARIANTS if invariant.code == "I5"]
        assert await broken(self.db, booked) == []


@pytest.fixture
async def stage(db: Database, tmp_path: Path) -> Stage:
    zone_id = await rows.zone(db)
    agent_id = await rows.agent(db, zone_id, cores=CORES, hostname="agent-1")
    staged, image_id = await rows.image(db, friendly_name="Staged"), await rows.image(db)
    config_id = await rows.staging_config(db, zone_id, staged, num_sessions=6)
    group_id = await rows.group(db, image_id)
    ctx = await primary_of(db, zone_id, tmp_path)
    return Stage(db, Launcher(db, SECRETS, LogWriter(db, "api")), ctx, agent_id, config_id, image_id, group_id)


async def test_a_launch_takes_the_room_of_the_newest_staged_session_that_is_not_usable_yet(stage: Stage):
    await stage.fill()
    assert await stage.pool() == {"requested": CORES}
    await stage.becomes_usable(2)
    newest = max(await read_unready(stage.db, stage.ctx.zone_id), key=lambda u: (u.created, u.session_id))
    result = await stage.launch("ada")
    assert await stage.pool() == {"running": 2, "requested": 1, "deleting": 1}
    gone = await stage.session(newest.session_id)
    assert (gone["status"], gone["want"]) == ("deleting", "absent")
    assert gone["ended_reason"] == (
        f"Its room was given to session {result.session_id}, launched on demand: people go first."
    )
    launch = await launch_of_session(stage.db, result.session_id)
    assert launch is not None
    assert [(s.candidate, s.code, s.used) for s in launch.steps[1:]] == [
        ("agent-1", "no_capacity", False),
        ("agent-1", None, True),
    ]
    assert launch.steps[-1].reason.endswith("in the room of a staged session that was not usable yet: people go first.")
    await stage.must_add_up()


async def test_the_room_is_not_given_back_twice_and_the_pool_fills_up_again_later(stage: Stage):
    await stage.fill()
    mine = await stage.launch("ada")
    (gone,) = await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'deleting'")
    await stage.end(gone["session_id"])
    await stage.must_add_up()
    await stage.fill()
    assert await stage.pool() == {"requested": CORES - 1, "deleted": 1}
    assert (await stage.shortfall())[0] == "no-capacity"
    await stage.end(mine.session_id)
    await stage.fill()
    assert await stage.pool() == {"requested": CORES, "deleted": 1}
    await stage.must_add_up()


async def test_what_is_claimable_stays_and_room_that_comes_free_is_for_who_waits(stage: Stage):
    first = await stage.launch("ada")
    await stage.fill()
    await stage.becomes_usable(CORES - 1)
    with pytest.raises(NoResources):
        await stage.launch("bob")
    assert await stage.pool() == {"running": CORES - 1}
    await stage.end(first.session_id)
    await stage.fill()
    assert await stage.pool() == {"running": CORES - 1}
    assert await stage.shortfall() == (
        "starting",
        "3 of 6 not staged: 1 person waits for room in zone eu; people go first.",
    )
    second = await stage.launch("bob")
    await stage.end(second.session_id)
    await stage.fill()
    assert await stage.pool() == {"running": CORES - 1, "requested": 1}, "nobody waits any more"


async def test_pools_wait_for_people_for_a_limited_time(stage: Stage):
    await stage.becomes_usable(0)
    holders = [await stage.launch(name) for name in ("ada", "bob", "cem", "dan")]
    with pytest.raises(NoResources):
        await stage.launch("eve")
    await stage.end(holders[0].session_id)
    await stage.fill()
    assert await stage.pool() == {}
    await stage.pass_time(WAITING_S)
    await stage.fill()
    assert await stage.pool() == {"requested": 1}, "the user did not come again"


async def test_repeated_refusals_hold_up_pools_for_a_minute_at_most(stage: Stage):
    holders = [await stage.launch(name) for name in ("ada", "bob", "cem", "dan")]
    for _ in range(int(MAX_WAITING_S / 10) + 1):
        with pytest.raises(NoResources):
            await stage.launch("eve")
        await stage.pass_time(10)
    with pytest.raises(NoResources):
        await stage.launch("eve")
    await stage.end(holders[0].session_id)
    await stage.fill()
    assert await stage.pool() == {"requested": 1}


async def test_a_launch_that_could_never_fit_holds_up_nobody(stage: Stage):
    huge = await rows.image(stage.db, friendly_name="Huge", cores=CORES + 1.0)
    await stage.db.write("INSERT INTO group_images (group_id, image_id) VALUES (%s, %s)", (stage.group_id, huge))
    with pytest.raises(NoResources):
        await stage.launch("ada", huge)
    await stage.fill()
    assert await stage.pool() == {"requested": CORES}


async def test_sessions_that_become_usable_meanwhile_are_nobodys_room(stage: Stage):
    """Launches and reports of Agents at the same moment: what was seen usable is never taken."""
    for _ in range(6):
        await stage.fill()
        names = [f"user-{uuid.uuid4()}" for _ in range(3)]

        async def report() -> None:
            for _ in range(CORES):
                await stage.becomes_usable(1)

        launches = [stage.launch(name) for name in names]
        results = await asyncio.gather(*launches, report(), return_exceptions=True)
        assert all(isinstance(r, (LaunchResult, NoResources)) for r in results[:-1]), results
        served = sum(isinstance(result, LaunchResult) for result in results)
        found = await stage.db.fetch("SELECT count(*) AS n FROM sessions WHERE status = 'deleting' AND started IS NULL")
        assert found[0]["n"] == served, "each launch took the room of one"
        taken = await stage.db.fetch("SELECT 1 FROM sessions WHERE status = 'deleting' AND started IS NOT NULL")
        assert taken == []
        await stage.must_add_up()
        for row in await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status <> 'deleted'"):
            await stage.end(row["session_id"])
        await stage.db.write("DELETE FROM launches_waiting")


LAST = "ffffffff-ffff-4fff-bfff-ffffffffffff"
"""The highest id of a session."""


async def failed_start(stage: Stage) -> str:
    """A user's session that could not start, beside an Agent that the session `LAST` fills, which is not usable yet."""
    other = await rows.agent(stage.db, stage.ctx.zone_id, cores=1.0, hostname="agent-2")
    (staged,) = await rows.staged_sessions(stage.db, stage.config_id, other, 1, status="requested")
    await stage.db.write("UPDATE sessions SET session_id = %s WHERE session_id = %s", (LAST, staged))
    first = (await stage.launch("ada")).session_id
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', error = 'It ended by itself.' WHERE session_id = %s", (first,)
    )
    return first


async def test_a_start_that_failed_takes_the_room_of_a_staged_session_on_another_agent(stage: Stage):
    """Its user waits no less than one who launches."""
    first = await failed_start(stage)
    await run_successors(stage.ctx)
    successor, gone = await stage.session(str((await stage.session(first))["superseded_by"])), await stage.session(LAST)
    assert (successor["status"], successor["agent_id"]) == ("requested", gone["agent_id"])
    assert (gone["status"], gone["ended_reason"]) == (
        "deleting",
        f"Its room was given to session {successor['session_id']}, launched on demand: people go first.",
    )
    launch = await launch_of_session(stage.db, str(successor["session_id"]))
    assert launch is not None
    assert launch.steps[-1].reason == (
        "A new session was placed on agent-2 in zone eu in its place, in the room of a staged session that was not"
        " usable yet: people go first."
    )
    await stage.must_add_up()


async def test_a_successor_that_takes_room_comes_to_its_locks_in_their_order(stage: Stage):
    first = await failed_start(stage)
    lock = "SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE"
    async with stage.db.transaction() as batch:
        await batch.execute(lock, (first,))
        searching = asyncio.create_task(run_successors(stage.ctx))
        await waiting(stage.db, 1)
        await batch.execute(lock, (LAST,))
    await searching
    assert (await stage.session(first))["superseded_by"] is not None
