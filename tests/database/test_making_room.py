"""Users first when capacity is scarce: a launch on demand takes the capacity of staged sessions that are not usable
yet, and while a user waits for capacity, the pools of the zone leave freed capacity to that user."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from tests.database.locks import waiting
from tests.support import rows
from tests.support.managers import notifications
from tests.support.system import System

from greenroom.api.launch.service import LaunchResult
from greenroom.core.errors import NoResources
from greenroom.core.launch.eviction import MAX_WAITING_S, WAITING_S
from greenroom.db.database import Database
from greenroom.db.launch.on_demand import read_starting_staged
from greenroom.manager.tasks.replacement import run_replacements

CORES = 4
"""The cores of the only Agent; every session reserves one."""


class Scarce(System):
    """A zone with a pool of `Staged` that desires more than the Agent can run, and users who launch `Desktop`."""

    async def launch_of(self, name: str, **changes: Any) -> LaunchResult:
        return await self.launch(user_id=await self.user(name), **changes)

    async def becomes_usable(self, number: int) -> None:
        """Make the oldest sessions of the pool claimable."""
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id IN (SELECT session_id"
            " FROM sessions WHERE user_id IS NULL AND status = 'requested' ORDER BY created, session_id LIMIT %s)"
            " AND status = 'requested'",
            (number,),
        )

    async def pool(self) -> dict[str, int]:
        return await self.statuses(pooled=True)

    async def shortfall(self) -> tuple[str, str]:
        row = await self.one("SELECT shortfall_code, shortfall_reason FROM staging_configs")
        return row["shortfall_code"], row["shortfall_reason"]

    async def pass_time(self, seconds: float) -> None:
        """Make all refusals older by this time."""
        await self.db.write(
            "UPDATE launches_waiting SET refused = refused - make_interval(secs => %s),"
            " since = since - make_interval(secs => %s)",
            (seconds, seconds),
        )

    async def must_add_up(self) -> None:
        assert "I5" not in await self.broken()


@pytest.fixture
async def stage(db: Database) -> Scarce:
    stage = await Scarce.populate(db, cores=CORES)
    staged = await rows.image(db, friendly_name="Staged")
    stage.config_ids["eu"] = await rows.staging_config(db, stage.zone_id, staged, num_sessions=6)
    return stage


async def test_a_launch_takes_the_room_of_the_newest_unready_staged_session(stage: Scarce):
    await stage.plan()
    assert await stage.pool() == {"requested": CORES}
    await stage.becomes_usable(2)
    newest = max(await read_starting_staged(stage.db, stage.zone_id), key=lambda u: (u.created, u.session_id))
    launch = asyncio.ensure_future(stage.launch_of("ada"))
    sent = await notifications(stage.db, launch)
    result = launch.result()
    changed = [result.session_id, newest.session_id]
    assert sent == {
        f"staging:{stage.config_ids['eu']}",
        *(f"session:{session_id}" for session_id in changed),
        *(f"agent:{stage.agent_id}:{session_id}" for session_id in changed),
    }
    assert await stage.pool() == {"running": 2, "requested": 1, "deleting": 1}
    row = await stage.row(newest.session_id)
    assert (row["status"], row["want"]) == ("deleting", "absent")
    assert row["ended_reason"] == (
        f"It ended to make room for session {result.session_id}, launched on demand: launches of users have priority."
    )
    steps = await stage.steps(result.session_id)
    assert [(s.candidate, s.code, s.used) for s in steps[1:]] == [
        ("agent-1", "no_capacity", False),
        ("agent-1", None, True),
    ]
    assert steps[-1].reason.endswith(
        "in place of a staged session that was not usable yet: launches of users have priority."
    )
    await stage.must_add_up()


async def test_the_room_is_given_back_once_and_the_pool_refills_later(stage: Scarce):
    await stage.plan()
    mine = await stage.launch_of("ada")
    (gone,) = await stage.db.fetch("SELECT session_id::text FROM sessions WHERE status = 'deleting'")
    await stage.end(gone["session_id"])
    await stage.must_add_up()
    await stage.plan()
    assert await stage.pool() == {"requested": CORES - 1, "deleted": 1}
    assert (await stage.shortfall())[0] == "no-capacity"
    await stage.end(mine.session_id)
    await stage.plan()
    assert await stage.pool() == {"requested": CORES, "deleted": 1}
    await stage.must_add_up()


async def test_claimable_sessions_stay_and_free_room_is_for_waiting_users(stage: Scarce):
    first = await stage.launch_of("ada")
    await stage.plan()
    await stage.becomes_usable(CORES - 1)
    with pytest.raises(NoResources):
        await stage.launch_of("bob")
    assert await stage.pool() == {"running": CORES - 1}
    await stage.end(first.session_id)
    await stage.plan()
    assert await stage.pool() == {"running": CORES - 1}
    assert await stage.shortfall() == (
        "starting",
        "3 of 6 not staged: 1 user waits for room in zone eu; launches of users have priority.",
    )
    second = await stage.launch_of("bob")
    await stage.end(second.session_id)
    await stage.plan()
    assert await stage.pool() == {"running": CORES - 1, "requested": 1}, "no user waits any more"


async def test_pools_wait_for_people_for_a_limited_time(stage: Scarce):
    await stage.becomes_usable(0)
    holders = [await stage.launch_of(name) for name in ("ada", "bob", "cem", "dan")]
    with pytest.raises(NoResources):
        await stage.launch_of("eve")
    await stage.end(holders[0].session_id)
    await stage.plan()
    assert await stage.pool() == {}
    await stage.pass_time(WAITING_S)
    await stage.plan()
    assert await stage.pool() == {"requested": 1}, "the user did not come again"


async def test_repeated_refusals_hold_up_pools_for_a_minute_at_most(stage: Scarce):
    holders = [await stage.launch_of(name) for name in ("ada", "bob", "cem", "dan")]
    for _ in range(int(MAX_WAITING_S / 10) + 1):
        with pytest.raises(NoResources):
            await stage.launch_of("eve")
        await stage.pass_time(10)
    with pytest.raises(NoResources):
        await stage.launch_of("eve")
    await stage.end(holders[0].session_id)
    await stage.plan()
    assert await stage.pool() == {"requested": 1}


async def test_a_launch_that_could_never_fit_keeps_no_pool_waiting(stage: Scarce):
    huge = await rows.image(stage.db, friendly_name="Huge", cores=CORES + 1.0)
    await stage.db.write("INSERT INTO group_images (group_id, image_id) VALUES (%s, %s)", (stage.group_id, huge))
    with pytest.raises(NoResources):
        await stage.launch_of("ada", image_id=huge)
    await stage.plan()
    assert await stage.pool() == {"requested": CORES}


async def test_sessions_that_become_usable_meanwhile_are_not_evicted(stage: Scarce):
    """Launches and reports of Agents at the same time: a session that was reported as usable is never taken."""
    for _ in range(6):
        await stage.plan()
        names = [f"user-{uuid.uuid4()}" for _ in range(3)]

        async def report() -> None:
            for _ in range(CORES):
                await stage.becomes_usable(1)

        launches = [stage.launch_of(name) for name in names]
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


async def failed_start(stage: Scarce) -> str:
    """A user's session that could not start, with a second Agent that is filled by the session `LAST`, which is not
    usable yet."""
    other = await rows.agent(stage.db, stage.zone_id, cores=1.0, hostname="agent-2")
    (staged,) = await rows.staged_sessions(stage.db, stage.config_id, other, 1, status="requested")
    await stage.db.write("UPDATE sessions SET session_id = %s WHERE session_id = %s", (LAST, staged))
    first = (await stage.launch_of("ada")).session_id
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', error = 'It ended by itself.' WHERE session_id = %s", (first,)
    )
    return first


async def test_a_failed_start_takes_the_room_of_a_staged_session_elsewhere(stage: Scarce):
    """Its user has the same priority as one who launches."""
    first = await failed_start(stage)
    await run_replacements(stage.ctx)
    successor, gone = await stage.row(str((await stage.row(first))["superseded_by"])), await stage.row(LAST)
    assert (successor["status"], successor["agent_id"]) == ("requested", gone["agent_id"])
    assert gone["status"] == "deleting"
    assert gone["ended_reason"] == (
        f"It ended to make room for session {successor['session_id']}, launched on demand: launches of "
        "users have priority."
    )
    steps = await stage.steps(str(successor["session_id"]))
    assert steps[-1].reason == (
        "A new session was placed on agent-2 in zone eu in its place, in place of a staged session that "
        "was not usable yet: launches of users have priority."
    )
    await stage.must_add_up()


async def test_a_successor_that_takes_room_comes_to_its_locks_in_their_order(stage: Scarce):
    first = await failed_start(stage)
    lock = "SELECT 1 FROM sessions WHERE session_id = %s FOR NO KEY UPDATE"
    async with stage.db.transaction() as batch:
        await batch.execute(lock, (first,))
        searching = asyncio.create_task(run_replacements(stage.ctx))
        await waiting(stage.db, 1)
        await batch.execute(lock, (LAST,))
    await searching
    assert (await stage.row(first))["superseded_by"] is not None
