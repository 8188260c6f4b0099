"""Clocks, deadlines and the Agents that ignore them, with a real Manager and an Agent whose messages the test sends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

import httpx2
import pytest
from psycopg.types.json import Jsonb
from tests.support.agents import ToldAgent, joined, row, seen, session, user
from tests.support.managers import Fleet, manager_here
from tests.support.waiting import eventually

from greenroom.core.session.deadlines import Clocks
from greenroom.db.database import Database
from greenroom.db.fleet.views import list_agents
from greenroom.db.session.lifecycle import read_expiring, resume, stop_or_pause
from greenroom.db.session.sessions import end_sessions, request_delete
from greenroom.manager.tasks import deadlines

QUICK: dict[str, Any] = {
    "agent_missing_s": 5,  # an Agent that checks in is not missing, even if the machine stalls for a moment
    "checkin_hold_s": 0.5,
    "session_lost_s": 6,
    "agent_dead_s": 60,
    "guardian_interval_s": 0.1,
    "verdict_grace_s": 0.5,
}


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[httpx2.ASGITransport]:
    async with manager_here(fleet, **QUICK) as transport:
        yield transport


class Stubborn:
    """An Agent that ignores its orders and keeps reporting `states`; a session that is not among them is running."""

    def __init__(self, agent: ToldAgent, **states: str) -> None:
        self.agent = agent
        self.states = states

    async def __aenter__(self) -> Stubborn:
        self._task = asyncio.create_task(self._report())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _report(self) -> None:
        while True:
            reports = [
                seen(session_id, self.states.get(session_id, "running"), generation, usable=True)
                for session_id, generation in self.agent.desired.items()
            ]
            await self.agent.check_in(*reports)
            await asyncio.sleep(0.05)  # as for an Agent that repeats its report


def is_in(db: Database, session_id: str, *wanted: str) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    async def look() -> dict[str, Any] | None:
        found = await row(db, session_id)
        return found if found["status"] in wanted else None

    return look


async def used(db: Database, agent: ToldAgent, fleet: Fleet, **columns: Any) -> str:
    """A session that a user has had for an hour, without running clocks."""
    owner = await user(db, f"u{uuid.uuid4()}")
    fields: dict[str, Any] = {"status": "running", "user_id": owner}
    session_id = await session(db, agent, **(fields | columns))
    clocks = Clocks(keepalive_s=3600, keepalive_from="`keepalive_expiration` = 3600 by default")
    await db.write(
        "UPDATE sessions SET assigned = clock_timestamp() - interval '1 hour', started = clock_timestamp(),"
        " expiry = %s, launch_id = gen_random_uuid() WHERE session_id = %s",
        (Jsonb(asdict(clocks)), session_id),
    )
    return session_id


async def deadline_over(db: Database, agent: ToldAgent) -> None:
    """Let the deadlines expire, with the Agent running, whose return extends those of its sessions."""

    async def is_running() -> bool:
        return bool(
            await db.fetch("SELECT 1 FROM agents WHERE agent_id = %s AND status = 'running'", (agent.agent_id,))
        )

    await eventually(is_running)
    await db.write("UPDATE sessions SET deadline = clock_timestamp()")


async def over(db: Database, session_id: str, clocks: Clocks, *, limit: bool = False) -> None:
    """Let the keepalive clock, or the time limit, expire."""
    await db.write(
        "UPDATE sessions SET expiry = %s, expires = clock_timestamp(),"
        " time_limit_ends = CASE WHEN %s THEN clock_timestamp() END WHERE session_id = %s",
        (Jsonb(asdict(clocks)), limit, session_id),
    )


async def test_a_field_of_a_later_version_in_stored_clocks_is_ignored(db: Database, fleet: Fleet):
    async with manager_here(fleet) as door:
        agent = await joined(db, door)
    session_id = await used(db, agent, fleet)
    await db.write(
        "UPDATE sessions SET expiry = %s, expires = clock_timestamp() WHERE session_id = %s",
        (Jsonb({"keepalive_s": 60, "action": "stop", "of a later version": 1}), session_id),
    )
    (found,) = await read_expiring(db, str((await row(db, session_id))["zone_id"]))
    assert found.clocks == Clocks(keepalive_s=60, action="stop")


async def logged(db: Database, code: str) -> list[str]:
    async def look() -> list[str]:
        rows = await db.fetch("SELECT message FROM logs WHERE code = %s ORDER BY log_id", (code,))
        return [found["message"] for found in rows]

    found: list[str] = await eventually(look)
    return found


# Expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "reached"), [("stop", "stopped"), ("pause", "paused")])
async def test_an_unused_session_is_stopped_or_paused_and_stays_so(
    agent: ToldAgent, db: Database, fleet: Fleet, action: Any, reached: str
):
    session_id = await used(db, agent, fleet)
    async with Stubborn(agent, **{session_id: reached}):
        clocks = Clocks(keepalive_s=60, action=action, keepalive_from="K", action_from="A")
        await over(db, session_id, clocks)
        found = await eventually(is_in(db, session_id, reached))
        assert found["stopped_reason"] == "Its time without an open window is limited to 1 minute: K; A."
        assert found["expires"] is None
        await asyncio.sleep(0.5)  # to see that nothing happens
        assert (await row(db, session_id))["status"] == reached
        assert (await list_agents(db)).rows[0].cores_allocated == 0.5
    (message,) = await logged(db, "session-expired")
    assert message.endswith(f"is {reached}: Its time without an open window is limited to 1 minute: K; A.")


async def test_a_time_limit_deletes_a_stopped_or_paused_session(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await used(db, agent, fleet, status="paused", want="paused")
    async with Stubborn(agent, **{session_id: "paused"}) as stubborn:
        await over(db, session_id, Clocks(keepalive_s=60, action="pause", time_limit_from="L"), limit=True)
        await eventually(is_in(db, session_id, "deleting"))
        stubborn.states[session_id] = "absent"
        found = await eventually(is_in(db, session_id, "deleted"))
    assert found["ended_reason"] == "It ends at its time limit: L."
    assert (await list_agents(db)).rows[0].cores_allocated == 0


async def test_a_session_without_user_has_no_such_clocks(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await session(db, agent, status="running")
    theirs = await used(db, agent, fleet)
    async with Stubborn(agent):
        for each in (session_id, theirs):
            await over(db, each, Clocks(keepalive_s=60))
        await eventually(is_in(db, theirs, "deleting"))  # before the Primary ends any session, nothing is proved
        before = await rounds(db)

        async def another_round() -> bool:
            return await rounds(db) > before

        await eventually(another_round)
        assert (await row(db, session_id))["status"] == "running"


# Agents that ignore their orders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["stop", "pause"])
async def test_an_ignored_stop_or_pause_is_taken_back(db: Database, fleet: Fleet, command: Any):
    async with manager_here(fleet, **QUICK) as door:
        agent = await joined(db, door)
        session_id = await used(db, agent, fleet)
        async with Stubborn(agent), db.transaction() as connection:
            asked = await stop_or_pause(connection, session_id, command, "Asked for.")
            assert asked is not None
    async with manager_here(fleet, "two", **QUICK) as door:
        agent.door = door
        async with Stubborn(agent):
            await deadline_over(db, agent)  # the Manager that began it has ended; its successor reads the row
            found = await eventually(is_in(db, session_id, "running"))
            assert (found["want"], found["stopped_reason"]) == ("running", None)
            assert found["expires"] > found["keepalive"]
        assert f"did not {command} it within" in (await logged(db, "session-starting"))[0]


async def test_a_session_ordered_again_before_the_action_has_its_time_again(
    db: Database, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
):
    planned = asyncio.Event()

    async def ordered_anew(name: str) -> None:
        if name == "primary.after_check" and not planned.is_set():
            await db.write("UPDATE sessions SET deadline = clock_timestamp() + interval '1 hour'")
            planned.set()

    async with manager_here(fleet, **QUICK) as door:
        agent = await joined(db, door)
        session_id = await used(db, agent, fleet, status="stopping", want="stopped")
        async with Stubborn(agent):
            monkeypatch.setattr(deadlines, "hold_if_armed", ordered_anew)
            await deadline_over(db, agent)
            await planned.wait()
            before = await rounds(db)

            async def another_round() -> bool:
                return await rounds(db) > before

            await eventually(another_round)
            assert (await row(db, session_id))["status"] == "stopping"


async def rounds(db: Database) -> Any:
    (found,) = await db.fetch("SELECT last_round FROM managers")
    return found["last_round"]


async def test_an_ignored_deletion_is_repeated_and_its_time_goes_on(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await used(db, agent, fleet, status="deleting", want="absent")
    since = (await row(db, session_id))["status_changed"]
    async with Stubborn(agent) as stubborn:
        await deadline_over(db, agent)

        async def repeated() -> bool:
            return (await row(db, session_id))["generation"] == 2

        await eventually(repeated)
        found = await row(db, session_id)
        assert (found["status"], found["status_changed"]) == ("deleting", since)
        stubborn.states[session_id] = "absent"
        await eventually(is_in(db, session_id, "deleted"))


async def test_a_session_that_is_not_created_fails_with_the_reason(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await used(db, agent, fleet, status="requested")
    await db.write("UPDATE sessions SET started = NULL")
    async with Stubborn(agent, **{session_id: "creating"}):
        await db.write("UPDATE sessions SET deadline = clock_timestamp()")
        await eventually(is_in(db, session_id, "starting"))
        await db.write("UPDATE sessions SET deadline = clock_timestamp()")
        found = await eventually(is_in(db, session_id, "failed"))
    assert "still starting on host-1" in found["error"]


async def test_what_was_lost_is_not_lost_for_ever_once_its_agent_is_back(agent: ToldAgent, db: Database, fleet: Fleet):
    broken = await used(db, agent, fleet)
    unstopped = await used(db, agent, fleet, status="stopping", want="stopped")
    await agent.check_in()
    for session_id in (broken, unstopped):
        await eventually(is_in(db, session_id, "lost"))
    async with Stubborn(agent, **{broken: "creating"}):

        async def has_deadline() -> bool:
            return (await row(db, broken))["deadline"] is not None

        await eventually(has_deadline)
        await db.write("UPDATE sessions SET deadline = clock_timestamp() WHERE status = 'lost'")
        found = await eventually(is_in(db, broken, "failed"))
        assert "still lost on host-1" in found["error"]
        await eventually(is_in(db, unstopped, "running"))


async def test_a_session_resumed_while_its_agent_is_away_waits_for_it(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await used(db, agent, fleet, status="starting")
    await agent.check_in()

    async def is_missing() -> bool:
        return (await list_agents(db)).rows[0].status == "missing"

    await eventually(is_missing)
    await db.write("UPDATE sessions SET deadline = clock_timestamp()")
    await eventually(is_in(db, session_id, "lost"))
    async with Stubborn(agent):
        await eventually(is_in(db, session_id, "running"))


async def test_an_agent_back_from_silence_has_time_to_do_what_was_asked(db: Database, fleet: Fleet):
    timings: dict[str, Any] = {**QUICK, "session_lost_s": 600}
    async with manager_here(fleet, **timings) as door:
        agent = await joined(db, door)
        orders = {"starting": "running", "stopping": "stopped", "pausing": "paused"}
        ids = {status: await used(db, agent, fleet, status=status, want=want) for status, want in orders.items()}
        await agent.check_in()

        async def is_now(status: str) -> bool:
            return (await list_agents(db)).rows[0].status == status

        await eventually(lambda: is_now("missing"))
        await db.write("UPDATE sessions SET status_changed = clock_timestamp() - interval '5 minutes'")
        async with Stubborn(agent, **{ids["starting"]: "creating"}):
            await eventually(lambda: is_now("running"))
            before = await rounds(db)

            async def another_round() -> bool:
                return await rounds(db) > before

            await eventually(another_round)
            assert {(await row(db, session_id))["status"] for session_id in ids.values()} == set(orders)


async def test_a_resumed_session_has_a_new_keepalive_and_its_old_time_limit(
    agent: ToldAgent, db: Database, fleet: Fleet
):
    session_id = await used(db, agent, fleet, status="stopped", want="stopped")
    async with db.transaction() as connection:
        assert await resume(connection, session_id, Clocks(keepalive_s=60, time_limit_s=7200)) is not None
    async with Stubborn(agent):
        found = await eventually(is_in(db, session_id, "running"))
    assert (found["expires"] - found["keepalive"]).total_seconds() == pytest.approx(60, abs=5)
    assert (found["time_limit_ends"] - found["assigned"]).total_seconds() == 7200


async def test_the_container_of_a_force_ended_session_is_condemned(agent: ToldAgent, db: Database, fleet: Fleet):
    session_id = await used(db, agent, fleet)
    command_id = str(uuid.uuid4())
    await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv)"
        " VALUES (%s, %s, %s, 1, '[]')",
        (command_id, session_id, agent.agent_id),
    )
    async with db.transaction() as connection:
        await request_delete(connection, session_id, "by force")
    async with db.transaction() as connection:
        assert await end_sessions(connection, [session_id], "by force") == [session_id]
    assert (await list_agents(db)).rows[0].cores_allocated == 0
    command = await db.fetch_one("SELECT state, output FROM session_commands")
    assert command == {"state": "unknown", "output": "The session ended before there was a result."}

    async def condemned() -> bool:
        answer = await agent.check_in(unknown=[session_id])
        return answer.verdicts.get(session_id) == "destroy"

    await eventually(condemned)
