"""Staged sessions that stop working, and Agents that leave, return or are moved: claimable sessions are usable."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support import rows
from tests.support.agents import ToldAgent, checking_in, joined, row, seen, session, user
from tests.support.managers import Fleet, manager_here
from tests.support.real_agents import agent_inside, behave, containers, manager_of, session_id, simulated
from tests.support.scripted_manager import World
from tests.support.scripted_manager import spec as any_spec
from tests.support.waiting import eventually

from greenroom.agent.session import prober
from greenroom.core.errors import Invalid
from greenroom.db.database import Database
from greenroom.db.launch.claims import ClaimedSession, LedgerLine, claim
from greenroom.runtimes.contract import ProbeResult

QUICK: dict[str, Any] = {"agent_missing_s": 2, "checkin_hold_s": 0.5, "guardian_interval_s": 0.1}
IMAGE = any_spec().image


async def staged(db: Database, agent: ToldAgent, fleet: Fleet, **columns: Any) -> tuple[str, str]:
    """Insert a claimable session of a pool of one; returns its id and its config's."""
    (zone,) = await db.fetch("SELECT zone_id::text FROM zones WHERE zone_name = 'default'")
    image_id = await rows.image(db)
    config_id = await rows.staging_config(db, zone["zone_id"], image_id, num_sessions=1)
    made = await session(db, agent, staging_config_id=config_id, status="running", **columns)
    await db.write(
        "UPDATE sessions SET expires = clock_timestamp() + interval '1 h', started = clock_timestamp(),"
        " config_hash = %s",
        (await rows.config_hash(db, config_id),),
    )
    await db.write("UPDATE agents SET status = 'running'")
    await agent.check_in()
    return made, config_id


async def claimed(db: Database, config_id: str) -> bool:
    user_id = await user(db, f"u{uuid.uuid4()}")
    wanted = rows.claim(config_id, rows.session_user(user_id), config_hash=await rows.config_hash(db, config_id))
    return isinstance(await claim(db, wanted, LedgerLine(), max_sessions=9), ClaimedSession)


async def test_a_broken_session_is_unclaimable_from_the_reporting_commit_on(db: Database, dsn: str, tmp_path: Path):
    fleet = await _fleet(db, dsn, tmp_path)
    await primary_is_elsewhere(db)
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        made, config_id = await staged(db, agent, fleet)
        await agent.check_in(seen(made, usable=True))
        await agent.check_in(seen(made, usable=False))
        assert (await row(db, made))["claimable"]  # a restarted Agent has not inspected it yet
        await agent.check_in(seen(made, broken=True, probe_error="The session's page does not answer."))
        assert not await claimed(db, config_id)

        async def logged() -> list[dict[str, Any]]:
            return await db.fetch("SELECT level, message FROM logs WHERE code = 'staged-session-broken'")

        (line,) = await eventually(logged)
    found = await row(db, made)
    assert (found["claimable"], found["broke"] is not None) == (False, True)
    assert "stopped working while it was staged: The session's page does not answer." in found["error"]
    assert line["level"] == "ERROR"
    assert "cannot be claimed" in line["message"]


async def test_a_broken_session_that_was_just_claimed_stays_with_its_user(db: Database, dsn: str, tmp_path: Path):
    """The hand-over probes it once more, and gives the user another session."""
    fleet = await _fleet(db, dsn, tmp_path)
    await primary_is_elsewhere(db)
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        made, config_id = await staged(db, agent, fleet)
        assert await claimed(db, config_id)
        await agent.check_in(seen(made, broken=True, probe_error="No answer."))
        found = await row(db, made)
    assert (found["status"], found["user_id"] is not None, found["broke"]) == ("assigning", True, None)


@pytest.mark.parametrize("how", ["assigned", "quarantined"])
async def test_the_database_refuses_to_stage_a_used_session_again(db: Database, dsn: str, tmp_path: Path, how: str):
    fleet = await _fleet(db, dsn, tmp_path)
    await primary_is_elsewhere(db)
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        made, config_id = await staged(db, agent, fleet)
        assert await claimed(db, config_id)
    if how == "quarantined":
        await db.write("UPDATE sessions SET status = 'failed', set_aside_for = user_id, user_id = NULL")
    with pytest.raises(Invalid, match="sessions_staged_was_nobodys"):
        await db.write("UPDATE sessions SET status = 'running', user_id = NULL WHERE session_id = %s", (made,))
    assert not await claimed(db, config_id)


async def test_a_session_of_a_moved_agent_is_not_handed_out_in_the_old_zone(db: Database, dsn: str, tmp_path: Path):
    fleet = await _fleet(db, dsn, tmp_path)
    other = await rows.zone(db, "other")
    await primary_is_elsewhere(db)
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
        made, config_id = await staged(db, agent, fleet)
        await db.write("UPDATE agents SET zone_id = %s", (other,))
        assert not await claimed(db, config_id)
    await db.write("UPDATE zone_leases SET expires_at = '-infinity', previous_manager_id = NULL")
    async with manager_here(fleet, **QUICK):

        async def ended() -> bool:
            return (await row(db, made))["status"] == "deleting"

        await eventually(ended, 30)
    assert "not in zone default any more" in (await row(db, made))["ended_reason"]


async def test_a_session_is_claimable_again_once_its_agent_reports_it_anew(db: Database, dsn: str, tmp_path: Path):
    fleet = await _fleet(db, dsn, tmp_path)
    async with manager_here(fleet, **QUICK) as door:
        agent = await joined(db, door)
        made, config_id = await staged(db, agent, fleet)
        await db.write("UPDATE staging_configs SET paused = true")  # no replacement is created
        await agent.check_in(seen(made, usable=True))

        async def is_unreachable() -> bool:
            return (await row(db, made))["status"] == "unreachable"

        await eventually(is_unreachable, 30)
        assert not await claimed(db, config_id)
        async with checking_in(agent):

            async def is_back() -> bool:
                return (await db.fetch("SELECT status FROM agents"))[0]["status"] == "running"

            await eventually(is_back, 30)
        assert (await row(db, made))["status"] == "unreachable"
        generation = (await row(db, made))["generation"]
        await agent.check_in(seen(made, generation=generation, broken=True, probe_error="No answer."))
        assert (await row(db, made))["status"] == "unreachable"
        await agent.check_in(seen(made, generation=generation, usable=True))
        assert (await row(db, made))["claimable"]  # the pool is not shrunk: one session is desired


async def primary_is_elsewhere(db: Database) -> None:
    """Let a Manager that does not belong to the test be Primary, so that the pools are not planned."""
    await db.write(
        "UPDATE zone_leases SET holder = gen_random_uuid(), manager_id = gen_random_uuid(), term = 41,"
        " expires_at = clock_timestamp() + interval '1 hour', renewed_at = '-infinity'"
    )


async def _fleet(db: Database, dsn: str, tmp_path: Path) -> Fleet:
    await db.write(
        "INSERT INTO zones (zone_name, allow_origin_domain, upstream_auth_address)"
        " VALUES ('default', '127.0.0.1', '127.0.0.1:443')"
    )
    return Fleet(dsn, tmp_path)


# The Agent's side ---------------------------------------------------------------------------------------------------


async def test_an_agent_says_that_a_session_is_broken_after_the_second_look(tmp_path: Path):
    world, staged_session = World(), session_id()
    behave(tmp_path)
    async with manager_of(world) as manager, agent_inside(tmp_path, manager, probe_interval_s=0.1):
        await world.want(staged_session)
        await world.until(lambda: world.is_usable(staged_session))
        behave(tmp_path, never_paint=[IMAGE])
        await world.until(lambda: world.observed[staged_session].broken)
        behave(tmp_path)
        await world.until(lambda: world.is_usable(staged_session))
    observed = [o for o in world.history if o.session_id == staged_session]
    assert not any(o.usable and o.broken for o in observed)
    assert {o.probe_error for o in observed if o.broken} == {"Nothing has been painted on the screen yet."}
    assert not observed[-1].broken


async def test_a_session_that_stumbles_for_a_moment_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prober, "BROKEN_AFTER_S", 60.0)  # a moment, even on a busy host
    world, staged_session = World(), session_id()
    behave(tmp_path)
    async with manager_of(world) as manager, agent_inside(tmp_path, manager, probe_interval_s=0.1) as agent:
        await world.want(staged_session)
        await world.until(lambda: world.is_usable(staged_session))

        async def stumbling(*_: object, **__: object) -> ProbeResult:
            return ProbeResult(usable=False, error="No answer.")

        with monkeypatch.context() as stumbles:
            stumbles.setattr(simulated(agent), "probe", stumbling)
            await world.until(lambda: not world.is_usable(staged_session))
        await world.until(lambda: world.is_usable(staged_session))
    assert not any(o.broken for o in world.history)


async def test_a_restarted_agent_calls_nothing_broken_before_it_has_looked(tmp_path: Path):
    world, staged_session = World(), session_id()
    behave(tmp_path)
    async with manager_of(world) as manager:
        async with agent_inside(tmp_path, manager):
            await world.want(staged_session)
            await world.until(lambda: world.is_usable(staged_session))
        world.history.clear()
        world.observed.clear()
        async with agent_inside(tmp_path, manager):
            await world.until(lambda: world.is_usable(staged_session))
    assert not any(o.broken for o in world.history)


async def test_a_staged_container_that_is_frozen_goes_on_at_once(tmp_path: Path):
    """It must run, regardless of the cause of the freeze."""
    world, staged_session = World(), session_id()
    behave(tmp_path)
    async with manager_of(world) as manager, agent_inside(tmp_path, manager) as agent:
        await world.want(staged_session)
        await world.until(lambda: world.is_usable(staged_session))
        await simulated(agent).pause(staged_session)
        assert containers(tmp_path)[staged_session].state == "paused"
        await eventually(lambda: containers(tmp_path)[staged_session].state == "running")
