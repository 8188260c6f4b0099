"""Check-in over HTTP against a real Manager and a real PostgreSQL (docs/explanation/protocols.md §2)."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable

import httpx2
import msgspec
import pytest
from tests.support.agents import HttpDoor, ToldAgent, joined, row, seen, session, term_above, user
from tests.support.managers import Fleet
from tests.support.waiting import eventually

from greenroom.db.database import Database
from greenroom.db.fleet.views import list_agents
from greenroom.db.launch.on_demand import read_agents
from greenroom.db.session.views import get_session
from greenroom.wire.fields import SessionUse
from greenroom.wire.messages import Authorised, ImageReport, LogLine, Step, Usage, digest


async def test_nonsense_is_answered_422(agent: ToldAgent):
    response = await agent.post("/v1/check-in", {"v": 1})
    assert response.status_code == 422
    response = await agent.post("/v1/check-in", agent.message(seen("not-an-id")))
    assert response.status_code == 422
    for at in (-1.0, 1e12):
        line = LogLine(at=at, level="INFO", code="stream-opened", message="of a time no calendar has")
        response = await agent.post("/v1/check-in", agent.message(logs=[line]))
        assert (response.status_code, "`$.logs[0].at`" in response.json()["message"]) == (422, True)


async def test_a_refused_check_in_is_logged_once_and_is_the_reason_of_the_agent(agent: ToldAgent, db: Database):
    async def reason() -> str | None:
        (shown,) = (await list_agents(db)).rows
        return shown.status_reason if shown.status == "running" else "It does not run yet."

    await agent.check_in(full=True, images=[])

    async def runs() -> bool:
        return await reason() is None

    assert await eventually(runs)
    odd = {**msgspec.to_builtins(agent.message()), "homes": [{"user_id": "test", "image_id": "test"}]}
    credential, agent.credential = agent.credential, "wrong"
    assert (await agent.post("/v1/check-in", odd)).status_code == 422
    assert await db.fetch("SELECT 1 FROM agents WHERE check_in_refused <> ''") == []
    agent.credential = credential
    for _ in range(2):
        assert (await agent.post("/v1/check-in", odd)).status_code == 422
    refused = await reason() or ""
    assert refused.startswith("The Managers refuse its check-ins: The message is not a CheckIn")
    assert "homes[0]" in refused

    async def logged() -> bool:
        return bool(await db.fetch("SELECT 1 FROM logs WHERE code = 'agent-check-in-refused'"))

    assert await eventually(logged)
    assert len(await db.fetch("SELECT 1 FROM logs WHERE code = 'agent-check-in-refused'")) == 1
    await agent.check_in(full=True, images=[])
    assert await reason() is None


async def test_an_invalid_label_of_a_container_does_not_end_check_ins(agent: ToldAgent, db: Database):
    message = {**msgspec.to_builtins(agent.message()), "unknown": ["test"], "usage": {"sessions": {"test": {}}}}
    assert (await agent.post("/v1/check-in", message)).status_code == 200


async def test_a_session_goes_from_requested_to_running_as_it_is_seen(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, user_id=await user(db))
    answer = await agent.check_in(full=True)
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


async def test_what_a_host_has_of_disk_and_runtimes_is_known_to_placement(agent: ToldAgent, db: Database):
    usage = Usage(
        cpu=0.5,
        disk_free_bytes=3_000_000_000,
        disk_free_inodes=0.25,
        disk_kept_bytes=5_000_000_000,
        runtime_classes=("kata", "runsc"),
    )
    await agent.check_in(usage=usage)
    (zone_id,) = (str(found["zone_id"]) for found in await db.fetch("SELECT zone_id FROM agents"))

    async def reported() -> tuple[object, ...]:
        (view,) = await read_agents(db, zone_id, "")
        return view.disk.free_bytes, view.disk.free_inodes, view.disk.kept_bytes, view.runtime_classes

    await eventually(lambda: _is(reported(), (3_000_000_000, 0.25, 5_000_000_000, ("kata", "runsc"))))


async def test_the_last_use_of_a_session_is_shown_with_it(agent: ToldAgent, db: Database):
    used, unknown = await session(db, agent, user_id=await user(db)), await session(db, agent)
    await agent.check_in(usage=Usage(sessions={used: SessionUse(cpu=0.25, memory_bytes=300_000_000)}))

    async def shown(session_id: str) -> tuple[float | None, int | None]:
        found = await get_session(db, session_id)
        return found.cpu_used, found.memory_used

    await eventually(lambda: _is(shown(used), (0.25, 300_000_000)))
    assert await shown(unknown) == (None, None)


async def _is(asked: Awaitable[object], wanted: object) -> bool:
    return await asked == wanted


async def test_a_deleted_session_gives_its_reservation_back_when_it_is_gone(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, status="deleting", want="absent")
    await agent.check_in()
    await agent.check_in(seen(session_id, "absent"))
    assert (await row(db, session_id))["status"] == "deleted"
    assert agent.desired == {}
    capacity = await db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_what_is_kept_for_inspection_ends_with_its_container(agent: ToldAgent, db: Database):
    session_id = await session(db, agent)
    await agent.check_in()
    await agent.check_in(seen(session_id, "failed", error="it ended", container_id="c1"))
    await db.write("UPDATE sessions SET set_aside_for = %s", (await user(db),))
    await agent.check_in(seen(session_id, "failed", error="it ended", container_id="c1", exit_code=1))
    assert (await row(db, session_id))["status"] == "failed"
    await agent.check_in(seen(session_id, "failed", error="it ended"))
    kept = await row(db, session_id)
    assert (kept["status"], kept["want"]) == ("deleting", "absent")
    await agent.check_in(seen(session_id, "absent", generation=kept["generation"]))
    assert (await row(db, session_id))["status"] == "deleted"
    capacity = await db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_the_agent_gets_the_limits_in_the_settings_of_the_user(agent: ToldAgent, db: Database):
    ann = await user(db)
    ids = [await session(db, agent, user_id=ann) for _ in range(2)]
    kept = json.dumps({"max_upload_mb": 7, "idle_disconnect": 1.5})
    await db.write("UPDATE sessions SET client_settings = %s WHERE session_id = %s", (kept, ids[0]))
    answer = await agent.check_in(full=True)
    authorised = {one.session_id: one.authorised for one in answer.desired or []}
    assert [authorised[session_id] for session_id in ids] == [
        Authorised(user_id=ann, epoch=1, max_upload_mb=7, idle_disconnect_s=90.0),
        Authorised(user_id=ann, epoch=1),
    ]


async def test_an_older_generation_and_an_older_message_change_nothing(agent: ToldAgent, db: Database):
    session_id = await session(db, agent, generation=3)
    await agent.check_in(seen(session_id, "running", generation=2, usable=True))
    assert (await row(db, session_id))["status"] == "requested"
    await agent.check_in(seen(session_id, "creating", generation=3), seq=20)
    answer = await agent.check_in(seen(session_id, "failed", generation=3, error="late"), seq=19)
    assert answer.acked_seq == 20
    assert (await row(db, session_id))["status"] == "starting"


async def test_a_message_of_another_database_changes_nothing(agent: ToldAgent, db: Database):
    """The database was restored from a backup: the Agent's message refers to lost data."""
    session_id = await session(db, agent)
    await agent.check_in()
    answer = await agent.check_in(seen(session_id, usable=True), db_epoch="an older one", seq=agent.seq + 1)
    assert (await row(db, session_id))["status"] == "requested"
    assert (answer.desired, answer.commands, answer.verdicts) == (None, [], {})
    assert agent.registered is not None
    assert answer.db_epoch == agent.registered.db_epoch, "so the Agent registers again"


async def test_an_agent_cannot_change_the_session_of_another(door: httpx2.ASGITransport, db: Database, fleet: Fleet):
    owner, other = await joined(db, door), await joined(db, door)
    session_id = await session(db, owner)
    await other.check_in(seen(session_id, "failed", error="mine"))
    assert (await row(db, session_id))["status"] == "requested"
    assert await db.fetch("SELECT 1 FROM session_observed") == []


async def test_a_failure_keeps_its_reason_and_the_last_lines(agent: ToldAgent, db: Database):
    session_id = await session(db, agent)
    await agent.check_in(seen(session_id, "failed", error="no such image", exit_code=125, log_tail="a\0b"))
    found = await row(db, session_id)
    assert (found["status"], found["error"], found["log_tail"], found["exit_code"]) == (
        "failed",
        "no such image",
        "ab",
        125,
    )


async def test_a_digest_that_differs_brings_the_whole_list(agent: ToldAgent, db: Database):
    ids = {await session(db, agent) for _ in range(3)}
    await agent.check_in()
    assert set(agent.desired) == ids
    assert (await agent.check_in()).desired is None
    agent.desired[next(iter(ids))] = 99
    answer = await agent.check_in()
    assert answer.desired is not None
    assert {d.session_id for d in answer.desired} == ids


async def test_a_later_change_travels_alone(agent: ToldAgent, db: Database):
    gone, kept = await session(db, agent), await session(db, agent)
    await agent.check_in()
    new = await session(db, agent)
    await db.write("UPDATE sessions SET status = 'deleted', want = 'absent' WHERE session_id = %s", (gone,))
    held = digest(agent.desired)
    answer = await agent.check_in()
    assert answer.desired is None
    assert answer.changes is not None
    assert (answer.changes.since, [one.session_id for one in answer.changes.changed]) == (held, [new])
    assert answer.changes.left == [gone]
    assert agent.desired.keys() == {kept, new}
    await session(db, agent)
    whole = await agent.check_in(full=True)
    assert (whole.changes, len(whole.desired or ())) == (None, 3)


async def test_answers_that_cross_bring_no_whole_list(agent: ToldAgent, db: Database):
    await session(db, agent)
    await agent.check_in()
    for _ in range(3):
        held, taken = agent.desired, list[dict[str, int]]()
        for _ in range(2):  # its two connections send requests before it has processed either answer
            await session(db, agent)
            agent.desired = dict(held)
            answer = await agent.check_in()
            assert answer.desired is None
            assert answer.changes is not None
            taken.append(agent.desired)
        agent.desired = taken[0]  # it applies the first answer, and the second changes a list that it no longer has


async def test_a_container_without_a_row_is_condemned_only_after_a_grace(agent: ToldAgent, db: Database):
    stranger = str(uuid.uuid4())
    mine = await session(db, agent)
    begun = time.monotonic()
    assert (await agent.check_in(unknown=[stranger, mine])).verdicts == {mine: "keep"}

    async def condemned() -> bool:
        return (await agent.check_in(unknown=[stranger, mine])).verdicts.get(stranger) == "destroy"

    await eventually(condemned)
    assert time.monotonic() - begun > 0.9


async def test_a_heartbeat_is_committed_soon(agent: ToldAgent, db: Database):
    await agent.check_in()

    async def recorded() -> bool:
        found = await db.fetch_one("SELECT seq FROM agents")
        return found is not None and found["seq"] == agent.seq

    await eventually(recorded)


async def test_check_ins_of_many_agents_at_once_are_committed_in_groups(
    door: httpx2.ASGITransport, db: Database, fleet: Fleet
):
    agents = [await joined(db, door) for _ in range(12)]
    ids = [await session(db, agent) for agent in agents]
    before = await db.fetch_one("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    pairs = zip(agents, ids, strict=True)
    await asyncio.gather(*(agent.check_in(seen(session_id, "creating")) for agent, session_id in pairs))
    rows = await db.fetch("SELECT DISTINCT status FROM sessions")
    assert rows == [{"status": "starting"}]
    changed = await db.fetch_one("SELECT count(DISTINCT xmin::text) AS number FROM sessions")
    assert before is not None
    assert changed is not None
    assert changed["number"] < 12


async def test_a_message_that_cannot_be_stored_is_refused_alone(door: httpx2.ASGITransport, db: Database, fleet: Fleet):
    agents = [await joined(db, door) for _ in range(6)]
    ids = [await session(db, agent) for agent in agents]
    bad = agents[0].message(seen(ids[0], "creating", exit_code=2**40))

    async def is_refused() -> bool:
        """Not at once if the database took longer than the Manager waits."""
        return (await agents[0].post("/v1/check-in", bad)).status_code == 422

    good = zip(agents[1:], ids[1:], strict=True)
    await asyncio.gather(eventually(is_refused), *(agent.check_in(seen(id_, "creating")) for agent, id_ in good))
    rows = await db.fetch("SELECT status, count(*) AS number FROM sessions GROUP BY status ORDER BY status")
    assert rows == [{"status": "requested", "number": 1}, {"status": "starting", "number": 5}]


async def test_a_late_message_does_not_bring_an_old_list_of_images_back(agent: ToldAgent, db: Database):
    late = agent.message(images=[ImageReport(name="a:1", state="pulling")])
    await agent.check_in(images=[ImageReport(name="a:1", state="present")])
    assert (await agent.post("/v1/check-in", late)).status_code == 200
    assert await db.fetch("SELECT name, state FROM agent_images") == [{"name": "a:1", "state": "present"}]


async def test_an_image_that_an_agent_no_longer_reports_is_removed(agent: ToldAgent, db: Database):
    present = [ImageReport(name=name, state="present") for name in ("a:1", "b:1")]
    await agent.check_in(images=present)
    await agent.check_in(images=present[:1])
    assert await db.fetch("SELECT name FROM agent_images") == [{"name": "a:1"}]


async def test_an_agent_gets_the_enabled_images(agent: ToldAgent, db: Database):
    await db.write("INSERT INTO images (name, friendly_name) VALUES ('a:1', 'A'), ('b:1', 'B')")
    await db.write("UPDATE images SET enabled = false WHERE name = 'b:1'")
    answer = await agent.check_in()
    assert answer.images is not None
    assert [i.name for i in answer.images] == ["a:1"]
    assert (await agent.check_in()).images is None


async def test_an_agent_gets_only_the_images_that_may_run_on_it(door: httpx2.ASGITransport, db: Database):
    here, there = await joined(db, door), await joined(db, door)
    await db.write("INSERT INTO zones (zone_name) VALUES ('elsewhere')")
    await db.write(
        "INSERT INTO images (name, friendly_name, restrict_to_zone, zone_id, restrict_to_server, server_id)"
        " SELECT name, name, name LIKE 'zone%%', (SELECT zone_id FROM zones WHERE zone_name = substr(name, 6)),"
        " name = 'agent', %s FROM unnest(ARRAY['zone-default', 'zone-elsewhere', 'agent']) AS name",
        (here.agent_id,),
    )
    assert [i.name for i in (await here.check_in()).images or ()] == ["agent", "zone-default"]
    assert [i.name for i in (await there.check_in()).images or ()] == ["zone-default"]
    await db.write("UPDATE images SET server_id = %s WHERE name = 'agent'", (there.agent_id,))
    assert [i.name for i in (await here.check_in()).images or ()] == ["zone-default"]


async def test_refused_requests_are_kept_for_diagnostics(agent: ToldAgent, db: Database):
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


@pytest.mark.parametrize("place", ["checkin.before_commit", "checkin.after_commit"])
async def test_a_report_to_a_manager_that_died_is_repeated_and_counts_once(fleet: Fleet, db: Database, place: str):
    manager = await fleet.start("one")
    agent = await joined(db, HttpDoor(fleet.urls["one"]))
    session_id = await session(db, agent, status="deleting", want="absent")
    await agent.check_in()
    await manager.stops.arm(place)
    task = asyncio.create_task(agent.check_in(seen(session_id, "absent")))
    await manager.stops.reached(place)
    manager.kill()
    with pytest.raises(httpx2.TransportError):
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


async def test_an_agent_that_knows_a_higher_term_makes_the_primary_raise_its(agent: ToldAgent, db: Database):
    await eventually(lambda: term_above(db, 0))
    await agent.check_in(term_seen=50)
    await eventually(lambda: term_above(db, 50))

    async def is_raised() -> bool:
        return (await agent.check_in()).term == 51

    await eventually(is_raised)
    assert (await agent.post("/v1/check-in", agent.message(term_seen=2_000_000))).status_code == 422
