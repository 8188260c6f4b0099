"""Registration and check-in over HTTP against a real Manager and a real PostgreSQL (PROTOCOLS §2)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.integration.agents import HttpDoor, ToldAgent, join_token, joined, row, seen, session, user
from tests.integration.managers import Fleet, eventually, manager_here

from greenroom.db.database import Database
from greenroom.wire.messages import AssignmentReport, CommandReport, ImageReport, Step


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[httpx.ASGITransport]:
    async with manager_here(fleet, verdict_grace_s=1) as transport:
        yield transport


# Registration ---------------------------------------------------------------------------------------------------------


async def test_a_join_token_admits_an_agent_with_the_id_it_proposes(door: httpx.ASGITransport, db: Database):
    agent = ToldAgent(door, await join_token(db))
    response = await agent.register()
    assert response.status_code == 200
    assert agent.registered is not None
    assert agent.registered.agent_id == agent.agent_id
    assert agent.registered.incarnation == 1
    assert agent.registered.managers[0].url.startswith("https://127.0.0.1:")
    rows = await db.fetch("SELECT credential_hash FROM agents")
    assert len(rows) == 1
    assert agent.credential.encode() not in bytes(rows[0]["credential_hash"])


async def test_a_wrong_token_is_refused_and_the_reason_is_in_the_logs(door: httpx.ASGITransport, db: Database):
    response = await ToldAgent(door, "wrong").register()
    assert response.status_code == 401
    assert "join token is not valid" in response.json()["message"]

    async def logged() -> bool:
        return bool(await db.fetch("SELECT 1 FROM logs WHERE code = 'agent-refused' AND message LIKE '%%join token%%'"))

    assert await eventually(logged)


async def test_a_refused_stranger_is_in_diagnostics_whatever_he_calls_himself(door: httpx.ASGITransport, db: Database):
    async with httpx.AsyncClient(transport=door, base_url="http://manager") as client:
        body = {"agent_id": "x" * 36, "join_token": "t", "machine_id": "m\0", "hostname": "h\0"}
        assert (await client.post("/v1/register", json=body)).status_code == 422

    async def noted() -> bool:
        requests = await db.fetch("SELECT agent_id FROM manager_requests WHERE status = 422")
        logged = await db.fetch("SELECT 1 FROM logs WHERE code = 'agent-refused' AND message LIKE '%%on host h was%%'")
        return [row["agent_id"] for row in requests] == [None] and bool(logged)

    assert await eventually(noted)


async def test_a_token_is_used_up(door: httpx.ASGITransport, db: Database):
    token = await join_token(db, uses=1)
    first, second = ToldAgent(door, token), ToldAgent(door, token)
    assert (await first.register()).status_code == 200
    assert (await second.register()).status_code == 401


async def test_an_expired_token_is_refused(door: httpx.ASGITransport, db: Database):
    assert (await ToldAgent(door, await join_token(db, valid_s=-1)).register()).status_code == 401


async def test_an_agent_whose_first_answer_was_lost_may_use_its_token_again(door: httpx.ASGITransport, db: Database):
    agent = ToldAgent(door, await join_token(db, uses=1))
    assert (await agent.register()).status_code == 200
    agent.credential = ""
    assert (await agent.register()).status_code == 200
    await agent.check_in(full=True)
    agent.credential = ""
    assert (await agent.register()).status_code == 401


async def test_a_restarted_agent_gets_the_next_incarnation_and_the_old_process_is_refused(
    door: httpx.ASGITransport, db: Database
):
    agent = await joined(db, door)
    old = agent.message()
    assert (await agent.register()).status_code == 200
    assert agent.registered is not None
    assert agent.registered.incarnation == 2
    assert (await agent.post("/v1/check-in", old)).status_code == 409
    await agent.check_in()


async def test_a_copied_identity_on_another_machine_is_refused(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    copy = ToldAgent(door, agent_id=agent.agent_id, credential=agent.credential, machine_id="machine-2")
    response = await copy.register()
    assert response.status_code == 409
    assert response.json()["code"] == "identity-conflict"
    await agent.check_in()


async def test_a_credential_opens_only_its_own_agent(door: httpx.ASGITransport, db: Database):
    one = await joined(db, door)
    other = await joined(db, door)
    message = other.message()
    other.credential = one.credential
    assert (await other.post("/v1/check-in", message)).status_code == 401
    other.agent_id = one.agent_id
    assert (await other.post("/v1/check-in", message)).status_code == 401


async def test_nonsense_is_answered_422(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    response = await agent.post("/v1/check-in", {"v": 1})
    assert response.status_code == 422
    response = await agent.post("/v1/check-in", agent.message(seen("not-an-id")))
    assert response.status_code == 422


# Observations ---------------------------------------------------------------------------------------------------------


async def test_a_session_goes_from_requested_to_running_as_it_is_seen(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file, user_id=await user(db))
    answer = await agent.check_in()
    assert answer.desired is not None
    assert [(d.session_id, d.want) for d in answer.desired] == [(session_id, "running")]
    assert answer.desired[0].spec is not None
    assert answer.desired[0].spec["credential"] == "pass word"
    await agent.check_in(seen(session_id, "creating", steps=[Step(name="received", at=time.time())]))
    assert (await row(db, session_id))["status"] == "starting"
    await agent.check_in(seen(session_id, "running"))
    assert (await row(db, session_id))["status"] == "starting"
    await agent.check_in(seen(session_id, "running", usable=True, address="127.0.0.1:4000"))
    found = await row(db, session_id)
    assert (found["status"], found["deadline"]) == ("running", None)
    assert found["started"] is not None
    steps = await db.fetch("SELECT name FROM session_steps WHERE session_id = %s ORDER BY at", (session_id,))
    assert [s["name"] for s in steps] == ["received", "ready"]


async def test_a_deleted_session_gives_its_reservation_back_when_it_is_gone(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file, status="deleting", want="absent")
    await agent.check_in()
    answer = await agent.check_in(seen(session_id, "absent"))
    assert (await row(db, session_id))["status"] == "deleted"
    assert answer.desired == []
    capacity = await db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_an_older_generation_and_an_older_message_change_nothing(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file, generation=3)
    await agent.check_in(seen(session_id, "running", generation=2, usable=True))
    assert (await row(db, session_id))["status"] == "requested"
    await agent.check_in(seen(session_id, "creating", generation=3), seq=20)
    answer = await agent.check_in(seen(session_id, "failed", generation=3, error="late"), seq=19)
    assert answer.acked_seq == 20
    assert (await row(db, session_id))["status"] == "starting"


async def test_an_agent_cannot_change_the_session_of_another(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    owner, other = await joined(db, door), await joined(db, door)
    session_id = await session(db, owner, fleet.key_file)
    await other.check_in(seen(session_id, "failed", error="mine"))
    assert (await row(db, session_id))["status"] == "requested"
    assert await db.fetch("SELECT 1 FROM session_observed") == []


async def test_a_failure_keeps_its_reason_and_the_last_lines(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file)
    await agent.check_in(seen(session_id, "failed", error="no such image", exit_code=125, log_tail="a\0b"))
    found = await row(db, session_id)
    assert (found["status"], found["error"], found["log_tail"], found["exit_code"]) == (
        "failed",
        "no such image",
        "ab",
        125,
    )


async def test_a_hand_over_is_received_then_assigned(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    assignment_id = str(uuid.uuid4())
    session_id = await session(
        db,
        agent,
        fleet.key_file,
        status="assigning",
        generation=2,
        user_id=await user(db),
        assignment_id=assignment_id,
        assignment=f'{{"assignment_id": "{assignment_id}"}}',
    )
    answer = await agent.check_in()
    assert answer.desired is not None
    assert answer.desired[0].assignment is not None
    report = AssignmentReport(assignment_id=assignment_id, state="received")
    await agent.check_in(seen(session_id, generation=2, usable=True, assignment=report))
    found = await row(db, session_id)
    assert (found["status"], found["assignment_state"]) == ("assigning", "received")
    assert found["deadline"] is not None
    report = AssignmentReport(assignment_id=assignment_id, state="assigned", exit_code=0)
    await agent.check_in(seen(session_id, generation=2, usable=True, assignment=report))
    found = await row(db, session_id)
    assert (found["status"], found["assignment_state"], found["deadline"]) == ("running", "assigned", None)


async def test_a_command_is_told_until_it_has_begun_and_its_result_is_kept(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file, status="running")
    await agent.check_in()
    command_id = str(uuid.uuid4())
    await db.write(
        "INSERT INTO session_commands (command_id, session_id, agent_id, generation, argv)"
        """ VALUES (%s, %s, %s, 1, '["true"]')""",
        (command_id, session_id, agent.agent_id),
    )
    assert [c.argv for c in (await agent.check_in()).commands] == [["true"]]
    started = CommandReport(command_id=command_id, state="started")
    assert (await agent.check_in(seen(session_id, commands=[started]))).commands == []
    done = CommandReport(command_id=command_id, state="done", exit_code=0, output="hello")
    await agent.check_in(seen(session_id, commands=[done]))
    await agent.check_in(seen(session_id, commands=[CommandReport(command_id=command_id, state="unknown")]))
    rows = await db.fetch("SELECT state, exit_code, output FROM session_commands")
    assert rows == [{"state": "done", "exit_code": 0, "output": "hello"}]


# Holding --------------------------------------------------------------------------------------------------------------


async def _held(agent: ToldAgent, hold_s: float = 5) -> asyncio.Task[float]:
    """A poll that is being held; its result is how long it took."""

    async def poll() -> float:
        begun = time.monotonic()
        await agent.check_in(hold_s=hold_s)
        return time.monotonic() - begun

    task = asyncio.create_task(poll())
    await asyncio.sleep(0.4)
    assert not task.done()
    return task


async def test_a_held_poll_is_answered_at_once_when_a_session_is_added(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    task = await _held(agent)
    session_id = await session(db, agent, fleet.key_file)
    begun = time.monotonic()
    await db.notify(f"agent:{agent.agent_id}")
    await task
    assert time.monotonic() - begun < 1
    assert list(agent.desired) == [session_id]


async def test_without_a_notification_news_come_at_the_next_look(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    task = await _held(agent, hold_s=5)
    session_id = await session(db, agent, fleet.key_file)
    assert await task < 2.5, "a hand-over must be acknowledged within 2 s, so the end of the hold is too late"
    assert list(agent.desired) == [session_id]


async def test_while_a_poll_is_held_the_agent_can_speak(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    session_id = await session(db, agent, fleet.key_file)
    await agent.check_in()
    task = await _held(agent, hold_s=2)
    begun = time.monotonic()
    answer = await agent.check_in(seen(session_id, "running", usable=True))
    assert time.monotonic() - begun < 1
    assert answer.acked_seq == agent.seq
    assert (await row(db, session_id))["status"] == "running"
    assert await task > 1.5


async def test_a_digest_that_differs_brings_the_whole_list(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    ids = {await session(db, agent, fleet.key_file) for _ in range(3)}
    await agent.check_in()
    assert set(agent.desired) == ids
    assert (await agent.check_in()).desired is None
    agent.desired[next(iter(ids))] = 99
    answer = await agent.check_in()
    assert answer.desired is not None
    assert {d.session_id for d in answer.desired} == ids


async def test_a_container_without_a_row_is_condemned_after_a_grace_period_only(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agent = await joined(db, door)
    stranger = str(uuid.uuid4())
    mine = await session(db, agent, fleet.key_file)
    assert (await agent.check_in(unknown=[stranger, mine])).verdicts == {mine: "keep"}

    async def condemned() -> bool:
        return (await agent.check_in(unknown=[stranger, mine])).verdicts.get(stranger) == "destroy"

    begun = time.monotonic()
    await eventually(condemned, 20)
    assert time.monotonic() - begun > 0.9


async def test_a_heartbeat_is_committed_within_a_second(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    await agent.check_in()

    async def recorded() -> bool:
        found = await db.fetch_one("SELECT seq FROM agents")
        return found is not None and found["seq"] == agent.seq

    begun = time.monotonic()
    await eventually(recorded)
    assert time.monotonic() - begun < 1.5


async def test_many_agents_that_speak_at_once_are_committed_in_groups(
    door: httpx.ASGITransport, db: Database, fleet: Fleet
):
    agents = [await joined(db, door) for _ in range(12)]
    ids = [await session(db, agent, fleet.key_file) for agent in agents]
    before = await db.fetch_one("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    pairs = zip(agents, ids, strict=True)
    await asyncio.gather(*(agent.check_in(seen(session_id, "creating")) for agent, session_id in pairs))
    rows = await db.fetch("SELECT DISTINCT status FROM sessions")
    assert rows == [{"status": "starting"}]
    changed = await db.fetch_one("SELECT count(DISTINCT xmin::text) AS number FROM sessions")
    assert before is not None
    assert changed is not None
    assert changed["number"] < 12


async def test_a_message_that_cannot_be_stored_is_refused_alone(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agents = [await joined(db, door) for _ in range(6)]
    ids = [await session(db, agent, fleet.key_file) for agent in agents]
    told = [agent.message(seen(session_id, "creating")) for agent, session_id in zip(agents, ids, strict=True)]
    told[0] = agents[0].message(seen(ids[0], "creating", exit_code=2**40))
    answers = await asyncio.gather(*(a.post("/v1/check-in", m) for a, m in zip(agents, told, strict=True)))
    assert [answer.status_code for answer in answers] == [422, 200, 200, 200, 200, 200]
    rows = await db.fetch("SELECT status, count(*) AS number FROM sessions GROUP BY status ORDER BY status")
    assert rows == [{"status": "requested", "number": 1}, {"status": "starting", "number": 5}]


async def test_output_of_a_hand_over_may_hold_anything(door: httpx.ASGITransport, db: Database, fleet: Fleet):
    agent = await joined(db, door)
    handover = str(uuid.uuid4())
    session_id = await session(
        db, agent, fleet.key_file, status="assigning", user_id=await user(db), assignment_id=handover
    )
    report = AssignmentReport(assignment_id=handover, state="failed", exit_code=1, error="binary \0 output")
    await agent.check_in(seen(session_id, "running", usable=True, assignment=report))
    found = await row(db, session_id)
    assert (found["status"], found["set_aside_reason"]) == ("failed", "its hand-over failed: binary  output")


async def test_a_late_message_does_not_bring_an_old_list_of_images_back(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    late = agent.message(images=[ImageReport(name="a:1", state="pulling")])
    await agent.check_in(images=[ImageReport(name="a:1", state="present")])
    assert (await agent.post("/v1/check-in", late)).status_code == 200
    assert await db.fetch("SELECT name, state FROM agent_images") == [{"name": "a:1", "state": "present"}]


async def test_an_agent_hears_of_enabled_images(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    await db.write("INSERT INTO images (name, friendly_name) VALUES ('a:1', 'A'), ('b:1', 'B')")
    await db.write("UPDATE images SET enabled = false WHERE name = 'b:1'")
    answer = await agent.check_in()
    assert answer.images is not None
    assert [i.name for i in answer.images] == ["a:1"]
    assert (await agent.check_in()).images is None


async def test_refused_requests_are_kept_for_diagnostics(door: httpx.ASGITransport, db: Database):
    agent = await joined(db, door)
    agent.credential = "wrong"
    assert (await agent.post("/v1/check-in", agent.message())).status_code == 401

    async def kept() -> bool:
        return bool(
            await db.fetch(
                "SELECT 1 FROM manager_requests WHERE status = 401 AND path = '/manager_api/v1/check-in'"
                " AND agent_id = %s AND manager_instance_id = 'one'",
                (agent.agent_id,),
            )
        )

    assert await eventually(kept)


# A Manager that dies at the commit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["checkin.before_commit", "checkin.after_commit"])
async def test_what_was_said_to_a_manager_that_died_at_the_commit_is_said_again_and_done_once(
    fleet: Fleet, db: Database, place: str
):
    manager = await fleet.start("one")
    agent = await joined(db, HttpDoor(fleet.urls["one"]))
    session_id = await session(db, agent, fleet.key_file, status="deleting", want="absent")
    await agent.check_in()
    await manager.stops.arm(place)
    task = asyncio.create_task(agent.check_in(seen(session_id, "absent")))
    await manager.stops.reached(place)
    manager.kill()
    with pytest.raises(httpx.TransportError):
        await task
    committed = place == "checkin.after_commit"
    assert (await row(db, session_id))["status"] == ("deleted" if committed else "deleting")
    await fleet.start("two")
    agent.door = HttpDoor(fleet.urls["two"])
    answer = await agent.check_in(seen(session_id, "absent"))
    assert answer.acked_seq == agent.seq
    assert (await row(db, session_id))["status"] == "deleted"
    capacity = await db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_an_agent_that_heard_a_higher_term_makes_the_primary_raise_its_own(
    door: httpx.ASGITransport, db: Database
):
    agent = await joined(db, door)
    await eventually(lambda: _term_above(db, 0))
    await agent.check_in(term_seen=50)
    await eventually(lambda: _term_above(db, 50))
    assert (await agent.check_in()).term == 51
    assert (await agent.post("/v1/check-in", agent.message(term_seen=2_000_000))).status_code == 422


async def _term_above(db: Database, term: int) -> bool:
    found = await db.fetch_one("SELECT term FROM zone_leases")
    return found is not None and found["term"] > term


async def test_a_new_primary_is_heard_of_at_once_and_recorded(fleet: Fleet, db: Database, door: httpx.ASGITransport):
    agent = await joined(db, door)
    await eventually(lambda: _term_above(db, 0))
    await agent.check_in()
    task = await _held(agent)
    begun = time.monotonic()
    await db.write("UPDATE zone_leases SET term = term + 1, expires_at = '-infinity'")
    await db.notify("lease:1")
    await task
    assert time.monotonic() - begun < 1
    assert agent.term_seen >= 2
    await agent.check_in()
    found = await db.fetch_one("SELECT manager_term FROM agents")
    assert found == {"manager_term": agent.term_seen}
