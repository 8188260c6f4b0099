"""Time limits on a busy host (ADR 31): an Agent's reported lateness extends the deadlines, and the consequences."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.database.failing_launches import Failing
from tests.support.agents import joined
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.db.database import Database
from greenroom.manager.tasks.deadlines import run_deadlines, run_recovered_quarantines
from greenroom.manager.tasks.replacement import run_replacements

LATE = Lateness(own_s=0.4, queue=20.0)


@pytest.fixture
async def stage(db: Database) -> Failing:
    return await Failing.filled(db, "eu")


async def agents_say(stage: Failing, lateness: Lateness, ago_s: float = 0.0) -> None:
    """Set the lateness that all Agents reported, and the time of their last check-in."""
    await stage.db.write(
        "UPDATE agents SET lateness = %s, last_reported = clock_timestamp() - make_interval(secs => %s)",
        (Jsonb(asdict(lateness)), ago_s),
    )


async def waited(stage: Failing, session_id: str, seconds: float) -> dict[str, Any]:
    """The row of a session after it has had its status for `seconds`."""
    await stage.db.write(
        "UPDATE sessions SET status_changed = clock_timestamp() - make_interval(secs => %s) WHERE session_id = %s",
        (seconds, session_id),
    )
    await run_deadlines(stage.ctx)
    return await stage.row(session_id)


async def recover(stage: Failing) -> None:
    await run_recovered_quarantines(stage.ctx)


async def test_the_lateness_that_an_agent_reports_is_stored(db: Database, dsn: str, tmp_path: Path):
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    async with manager_here(Fleet(dsn, tmp_path)) as door:
        agent = await joined(db, door)
        await agent.check_in(lateness=LATE)

        async def stored() -> bool:
            (row,) = await db.fetch("SELECT lateness FROM agents")
            return row["lateness"] == asdict(LATE)

        await eventually(stored)


async def test_a_hand_over_has_more_time_on_an_agent_that_reports_lateness(stage: Failing):
    first = (await stage.launch()).session_id
    await agents_say(stage, LATE)
    assert (await waited(stage, first, 10))["status"] == "assigning"
    await agents_say(stage, LATE, ago_s=8)
    frozen = await waited(stage, first, 3)
    assert (frozen["status"], frozen["slow"]) == ("failed", False)
    assert re.search(r"did not acknowledge the hand-over within [3-9]\.\d s$", frozen["set_aside_reason"])


async def test_a_hand_over_that_exceeds_the_extended_deadline_counts_as_slow(stage: Failing):
    first = (await stage.launch()).session_id
    await agents_say(stage, LATE)
    late = await waited(stage, first, 21)
    assert (late["status"], late["slow"]) == ("failed", True)
    assert "10.0 times as long as on a quiet host" in late["set_aside_reason"]


async def test_the_deadline_of_a_start_counts_from_its_last_step_and_ends_with_the_frame(stage: Failing):
    session_id = await stage.launch_on_demand()
    await agents_say(stage, ON_TIME)
    step = "INSERT INTO session_steps (session_id, name) VALUES (%s, %s)"
    await stage.db.write(step, (session_id, "started"))
    assert (await waited(stage, session_id, 130))["status"] == "starting"
    await stage.db.write(step, (session_id, "painted"))
    assert (await waited(stage, session_id, 3600))["status"] == "starting"
    await stage.db.write("UPDATE agents SET status = 'missing'")
    assert (await waited(stage, session_id, 3600))["status"] == "failed", "its Agent is away"


async def test_the_deadline_of_a_queued_start_counts_from_its_start_slot(stage: Failing):
    session_id = await stage.launch_on_demand()
    await agents_say(stage, ON_TIME)
    step = "INSERT INTO session_steps (session_id, name, at) VALUES (%s, %s, clock_timestamp() - interval '300 s')"
    await stage.db.write(step, (session_id, "queued"))
    assert (await waited(stage, session_id, 590))["status"] == "starting", "its host is busy, it has not failed"
    await stage.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'admitted')", (session_id,))
    assert (await waited(stage, session_id, 700))["status"] == "starting"
    await stage.db.write("UPDATE session_steps SET at = clock_timestamp() - interval '121 s' WHERE name = 'admitted'")
    assert (await waited(stage, session_id, 700))["status"] == "failed"


async def test_a_start_that_never_gets_a_start_slot_fails(stage: Failing):
    session_id = await stage.launch_on_demand()
    await agents_say(stage, ON_TIME)
    await stage.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'queued')", (session_id,))
    ended = await waited(stage, session_id, 601)
    assert ended["status"] == "failed"
    assert "it still waited for its turn on" in ended["error"]


async def test_a_slow_start_is_not_repeated_on_the_same_machine(stage: Failing):
    session_id = await stage.launch_on_demand()
    await stage.db.write("UPDATE agents SET machine_id = 'one'")
    await agents_say(stage, LATE)
    assert (await waited(stage, session_id, 601))["slow"]
    await run_replacements(stage.ctx)
    assert (await stage.row(session_id))["awaits_successor"], "it backs off"
    await stage.db.write("UPDATE sessions SET status_changed = clock_timestamp() - interval '8 s' WHERE slow")
    await run_replacements(stage.ctx)
    row = await stage.row(session_id)
    assert row["gave_up"]
    assert "Zone eu has no other Agent on another machine" in row["error"]


async def test_a_slow_start_is_repeated_on_another_machine(stage: Failing):
    session_id = await stage.launch_on_demand()
    await stage.db.write("UPDATE agents SET machine_id = hostname")
    await agents_say(stage, LATE)
    here = await stage.hostname_of(session_id)
    assert (await waited(stage, session_id, 601))["slow"]
    await stage.db.write("UPDATE sessions SET status_changed = clock_timestamp() - interval '8 s' WHERE slow")
    await run_replacements(stage.ctx)
    other = await stage.successor_of(session_id)
    assert {here, await stage.hostname_of(str(other["session_id"]))} == {"agent-1", "agent-2"}


@pytest.mark.parametrize("slow", [True, False])
async def test_a_session_quarantined_for_slowness_ends_when_it_is_usable_again(stage: Failing, slow: bool):
    first = (await stage.launch()).session_id
    await stage.fails(first)
    await stage.db.write("UPDATE sessions SET slow = %s WHERE session_id = %s", (slow, first))
    await run_replacements(stage.ctx)
    await recover(stage)
    aside = await stage.row(first)
    assert (aside["status"], aside["claimable"]) == ("failed", False), "it has not answered yet"
    await stage.db.write(
        "INSERT INTO session_observed (session_id, agent_id, incarnation, seq, generation, state, usable)"
        " VALUES (%s, %s, 1, 1, %s, 'running', true)",
        (first, aside["agent_id"], aside["generation"]),
    )
    await recover(stage)
    after = await stage.row(first)
    assert (after["status"], after["want"]) == (("deleting", "absent") if slow else ("failed", "running"))
    assert not after["claimable"]
