"""Rows of homes: created with a session, updated by reports of Agents, deleted once an Agent does not report them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.database.launches import Launches
from tests.support import rows

from greenroom.core.errors import HomeInUse, NoResources, ProfileInUse
from greenroom.db.database import Database
from greenroom.db.workspace import homes
from greenroom.db.workspace.homes import Home, ReportedHome


@pytest.fixture
async def stage(db: Database) -> Launches:
    stage = await Launches.populate(db, cores=10.0)
    await db.write("UPDATE images SET persistent_profile_path = '{homes}'")
    return stage


async def all_homes(stage: Launches) -> list[Home]:
    return (await homes.list_homes(stage.db)).rows


async def report(stage: Launches, *reported: ReportedHome, agent_id: str | None = None) -> None:
    async with stage.db.transaction() as connection:
        await homes.write_homes(connection, agent_id or stage.agent_id, reported)


def own(stage: Launches, **fields: Any) -> ReportedHome:
    return ReportedHome(user_id=stage.user_id, image_id=stage.image_id, **fields)


async def end(stage: Launches) -> None:
    await stage.db.write("UPDATE sessions SET status = 'deleted', ended = clock_timestamp()")


async def test_a_launch_makes_the_row_and_reports_keep_it_up(stage: Launches):
    session_id = (await stage.launch()).session_id
    (home,) = await all_homes(stage)
    assert (home.user_id, home.image_id, home.agent_id) == (stage.user_id, stage.image_id, stage.agent_id)
    assert (home.size_bytes, home.sessions) == (None, [session_id])
    now = time.time()
    await report(stage, own(stage, size_bytes=4096, measured=now, last_used=now + 10_000))
    await report(stage)  # from before the home was created
    (measured,) = await all_homes(stage)
    assert (measured.home_id, measured.size_bytes) == (home.home_id, 4096)
    assert measured.last_used.timestamp() < now + 5_000, "no home was used in the future"
    await end(stage)
    await report(stage)
    assert len(await all_homes(stage)) == 1, "the report may be older than the home"
    await stage.db.write("UPDATE homes SET last_used = last_used - interval '1 day'")
    await report(stage)
    assert await all_homes(stage) == []


async def test_a_home_that_an_agent_has_and_the_database_does_not_gets_its_row(stage: Launches):
    gone = ReportedHome(user_id=stage.agent_id, image_id=stage.agent_id, size_bytes=1, last_used=5.0)
    await report(stage, gone, own(stage, size_bytes=2))
    found = {home.username: home.size_bytes for home in await all_homes(stage)}
    assert found[None] == 1
    assert len(found) == 2


async def test_a_launch_goes_where_the_home_is(stage: Launches):
    other = await rows.agent(stage.db, stage.zone_id, hostname="other", cores=500.0)
    await stage.launch()
    (first,) = await all_homes(stage)
    await end(stage)
    for _ in range(2):
        assert (await stage.launch()).agent_id == first.agent_id
        await end(stage)
    await stage.db.write("UPDATE agents SET status = 'missing' WHERE agent_id = %s", (first.agent_id,))
    with pytest.raises(NoResources) as error:
        await stage.launch()
    assert "missing" in error.value.message
    assert (await stage.launch(persistent_profile_mode="Disabled")).agent_id in {other, stage.agent_id}


async def test_a_home_in_use_is_not_deleted_and_one_that_is_being_deleted_is_not_used(stage: Launches):
    session_id = (await stage.launch()).session_id
    (home,) = await all_homes(stage)
    with pytest.raises(HomeInUse, match=session_id):
        await homes.request_removal(stage.db, home.home_id)
    await end(stage)
    await homes.request_removal(stage.db, home.home_id)
    await homes.request_removal(stage.db, home.home_id)
    (asked,) = await all_homes(stage)
    assert asked.removal_id is not None
    await stage.db.write("UPDATE agents SET enabled = (agent_id = %s)", (home.agent_id,))
    with pytest.raises(ProfileInUse, match="being deleted"):
        await stage.launch()
    assert await stage.db.fetch("SELECT 1 FROM sessions WHERE status <> 'deleted'") == []
    await report(
        stage, own(stage, removal_id=asked.removal_id, problem="A part is still there."), agent_id=home.agent_id
    )
    again = await stage.launch()
    found = {one.moved_away: one for one in await all_homes(stage)}
    assert (found[True].home_id, found[True].problem) == (home.home_id, "A part is still there.")
    assert found[False].sessions == [again.session_id]
    await report(stage, own(stage), agent_id=home.agent_id)
    assert [one.home_id for one in await all_homes(stage)] == [found[False].home_id], "what was deleted is gone"


async def test_a_deletion_ends_when_the_agent_does_not_name_the_home(stage: Launches):
    await stage.launch()
    await end(stage)
    (home,) = await all_homes(stage)
    await homes.request_removal(stage.db, home.home_id)
    await report(stage, own(stage, problem="It is in use."), agent_id=home.agent_id)
    assert [one.problem for one in await all_homes(stage)] == ["It is in use."]
    await report(stage, agent_id=home.agent_id)
    assert await all_homes(stage) == []


async def test_of_a_launch_and_a_deletion_at_the_same_time_one_is_refused(stage: Launches):
    for _ in range(5):
        await stage.launch()
        await end(stage)
        (home,) = await all_homes(stage)
        done = await asyncio.gather(
            stage.launch(), homes.request_removal(stage.db, home.home_id), return_exceptions=True
        )
        refused = [one for one in done if isinstance(one, (ProfileInUse, HomeInUse))]
        assert len(refused) <= 1
        (after,) = await all_homes(stage)
        assert bool(after.sessions) != bool(after.removal_id), "a session has what is being deleted"
        await end(stage)
        await stage.db.write("DELETE FROM homes")


async def test_with_its_agent_the_homes_go(stage: Launches):
    await stage.launch()
    await end(stage)
    (home,) = await all_homes(stage)
    await homes.request_removal(stage.db, home.home_id)
    await stage.db.write("UPDATE sessions SET agent_id = NULL")
    await stage.db.write("DELETE FROM agents WHERE agent_id = %s", (home.agent_id,))
    assert await all_homes(stage) == []
