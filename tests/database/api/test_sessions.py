"""/api/v1/sessions: launch, follow, act; users only on their own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from greenroom.core.launch.forecast import NOT_NOW
from greenroom.core.session.progress import failure
from greenroom.db.database import Database
from greenroom.testing import rows

Make = Callable[..., Awaitable[httpx.AsyncClient]]

Client = httpx.AsyncClient


@dataclass(frozen=True)
class Stage:
    db: Database
    admin: Client
    ada: Client
    ada_id: str
    image_id: str
    zone_id: str
    agent_id: str

    async def launched(self, client: Client | None = None, **body: Any) -> dict[str, Any]:
        response = await (client or self.ada).post("/api/v1/sessions", json={"image_id": self.image_id, **body})
        assert response.status_code == 202, response.text
        return response.json()

    async def runs(self, session_id: str) -> None:
        await self.db.write(
            "UPDATE sessions SET status = 'running', started = clock_timestamp() WHERE session_id = %s", (session_id,)
        )


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: Client, with_user: Make) -> Stage:
    del app
    ada = await with_user("ada@example.org")
    me = (await ada.get("/api/v1/me")).json()["user"]
    zone = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    agent_id = await rows.agent(db, zone, hostname="agent-1", image=image["name"])
    return Stage(db, admin, ada, me["user_id"], image["image_id"], zone, agent_id)


async def test_a_user_launches_follows_and_deletes_a_session(stage: Stage):
    launched = await stage.launched()
    assert (launched["status"], launched["operational_status"], launched["staged"]) == ("requested", "starting", False)
    session_id = launched["session_id"]
    connection = (await stage.ada.get(f"/api/v1/sessions/{session_id}/connection")).json()
    assert (connection["operational_progress"], connection["frame_url"]) == (10, None)
    assert [step["name"] for step in connection["steps"] if step["at"]] == ["requested", "placed"]
    await stage.runs(session_id)
    connection = (await stage.ada.get(f"/api/v1/sessions/{session_id}/connection")).json()
    path = f"/desktop/{stage.agent_id[:8]}/{session_id}"
    assert connection["frame_url"] == f"https://127.0.0.1:8445{path}/?token={launched['session_token']}"
    assert connection["websocket_path"] == f"{path}/websockify"
    assert connection["operational_progress"] == 100
    deleted = await stage.ada.delete(f"/api/v1/sessions/{session_id}")
    assert (deleted.status_code, deleted.json()["status"]) == (202, "deleting")
    assert (await stage.ada.delete(f"/api/v1/sessions/{session_id}")).status_code == 202
    row = await stage.db.fetch_one("SELECT status, want, ended_reason FROM sessions")
    assert row == {"status": "deleting", "want": "absent", "ended_reason": "deleted by ada@example.org"}


async def test_users_see_their_own_and_administrators_all(stage: Stage, with_user: Make):
    mine = (await stage.launched())["session_id"]
    bob = await with_user("bob@example.org")
    theirs = (await stage.launched(bob))["session_id"]

    async def seen(client: Client, path: str) -> set[str]:
        return {session["session_id"] for session in (await client.get(path)).json()}

    assert await seen(stage.ada, "/api/v1/sessions") == {mine}
    assert await seen(stage.ada, "/api/v1/me/sessions") == {mine}
    assert await seen(stage.ada, f"/api/v1/sessions?user_id={uuid.uuid4()}") == {mine}
    assert await seen(stage.admin, "/api/v1/sessions") == {mine, theirs}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/connection"),
        ("GET", "/placement"),
        ("POST", "/keepalives"),
        ("POST", "/commands"),
    ):
        body = {"command": ["id"]} if path == "/commands" else None
        response = await bob.request(method, f"/api/v1/sessions/{mine}{path}", json=body)
        assert response.status_code == 404, (method, path)
    listed = (await stage.admin.get("/api/v1/sessions")).json()[0]
    assert {
        "session_id",
        "user_id",
        "username",
        "staging_config_id",
        "image_id",
        "zone_id",
        "zone_name",
        "agent_id",
        "status",
        "operational_status",
        "created",
        "assigned",
        "expires",
    } <= set(listed)


async def test_a_staged_session_says_whether_it_can_be_had_and_whose_place_it_takes(stage: Stage):
    body = {"zone_id": stage.zone_id, "image_id": stage.image_id, "num_sessions": 1, "expiration": 1}
    config_id = (await stage.admin.post("/api/v1/staging-configs", json=body)).json()["staging_config_id"]
    (old,) = await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1)
    (new,) = await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1, status="starting")
    await stage.db.write("UPDATE sessions SET replaces = %s WHERE session_id = %s", (old, new))
    listed = {row["session_id"]: row for row in (await stage.admin.get("/api/v1/sessions")).json()}
    assert [(listed[each]["claimable"], listed[each]["replaces"]) for each in (old, new)] == [
        (True, None),
        (False, old),
    ]


async def test_lists_are_paged(stage: Stage):
    for _ in range(3):
        await stage.launched()
    first = await stage.admin.get("/api/v1/sessions?limit=2")
    assert len(first.json()) == 2
    following = await stage.admin.get(first.links["next"]["url"])
    assert len({s["session_id"] for s in (*first.json(), *following.json())}) == 3
    assert "next" not in following.links


async def test_an_idempotency_key_gives_the_same_session(stage: Stage):
    body, headers = {"image_id": stage.image_id}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(stage.ada.post("/api/v1/sessions", json=body, headers=headers) for _ in range(4)))
    assert len({(a.json()["session_id"], a.json()["session_token"]) for a in answers}) == 1
    other = await stage.ada.post("/api/v1/sessions", json=body | {"kasm_url": "https://x.example"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-mismatch")


async def test_a_program_launches_for_a_user_with_the_permission(stage: Stage, with_key: Make):
    assert (await stage.admin.post("/api/v1/sessions", json={"image_id": stage.image_id})).status_code == 422
    launched = await stage.launched(stage.admin, user_id=stage.ada_id)
    assert launched["username"] == "ada@example.org"
    weak = await with_key("sessions_view")
    response = await weak.post("/api/v1/sessions", json={"image_id": stage.image_id, "user_id": stage.ada_id})
    assert response.status_code == 403
    await stage.runs(launched["session_id"])
    path = f"/api/v1/sessions/{launched['session_id']}/connection"
    assert (await weak.get(path)).json()["frame_url"] is None
    assert (await stage.admin.get(path)).json()["frame_url"] is not None


async def test_a_launch_that_nobody_can_serve_says_why(stage: Stage):
    await stage.db.write("UPDATE agents SET enabled = false")
    body = {"image_id": stage.image_id}
    response = await stage.ada.post("/api/v1/sessions", json=body)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "no-resources")
    assert problem["detail"] == NOT_NOW["agent_disabled"]
    assert "agent-1" not in response.text
    told = (await stage.admin.post("/api/v1/sessions", json=body | {"user_id": stage.ada_id})).json()["detail"]
    assert told.endswith("Zone default: agent-1 is disabled. Enable an Agent or end its draining.")
    launch = (await stage.admin.get(f"/api/v1/launches/{problem['launch_id']}")).json()
    assert (launch["outcome"], launch["username"], launch["session_id"]) == ("failed", "ada@example.org", None)
    assert [(s["step"], s["code"]) for s in launch["steps"]] == [
        ("staged_here", "pool_empty"),
        ("on_demand_here", "agent_disabled"),
    ]
    listed = (await stage.admin.get(f"/api/v1/launches?outcome=failed&user_id={stage.ada_id}&limit=1")).json()
    assert len(listed) == 1
    assert listed[0]["launch_id"] != problem["launch_id"], "the newest first"
    assert (await stage.ada.get("/api/v1/launches")).status_code == 403


async def test_the_cause_of_a_failure_is_for_administrators(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    cause = "On agent-1: dial tcp: lookup registry.example: no such host"
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', gave_up = true, error = %s, log_tail = 'secret' WHERE session_id = %s",
        (cause, session_id),
    )
    path = f"/api/v1/sessions/{session_id}"
    seen = [(await stage.ada.get(path + end)).json() for end in ("", "/connection")]
    assert {answer["operational_message"] for answer in seen} == {failure({})}
    assert (seen[0]["error"], seen[0]["log_tail"]) == (failure({}), None)
    told = (await stage.admin.get(path)).json()
    assert (told["error"], told["log_tail"]) == (cause, "secret")
    assert cause in told["operational_message"]


async def test_the_placement_has_every_step(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    placement = (await stage.ada.get(f"/api/v1/sessions/{session_id}/placement")).json()
    assert placement["outcome"] == "on_demand"
    assert [(s["order"], s["step"], s["used"], s["code"]) for s in placement["steps"]] == [
        (1, "staged_here", False, "pool_empty"),
        (2, "on_demand_here", True, None),
    ]


async def test_a_group_can_forbid_deleting(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    group_id = await rows.group(stage.db, name="strict", priority=2, allow_kasm_delete=False)
    await stage.db.write("INSERT INTO user_groups VALUES (%s, %s)", (stage.ada_id, group_id))
    response = await stage.ada.delete(f"/api/v1/sessions/{session_id}")
    assert response.status_code == 403
    assert "group strict" in response.json()["detail"]
    assert (await stage.admin.delete(f"/api/v1/sessions/{session_id}")).status_code == 202


async def test_a_keepalive_prolongs_the_session_to_its_limit(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp() + interval '1 s'")
    answer = await stage.ada.post(f"/api/v1/sessions/{session_id}/keepalives")
    assert (answer.status_code, answer.json()["usage_reached"]) == (200, False)
    row = await stage.db.fetch_one("SELECT extract(epoch FROM expires - clock_timestamp()) AS left FROM sessions")
    assert row is not None
    assert 3590 < row["left"] <= 3600
    group_id = await rows.group(stage.db, name="short", priority=2, session_time_limit=60)
    await stage.db.write("INSERT INTO user_groups VALUES (%s, %s)", (stage.ada_id, group_id))
    await stage.ada.post(f"/api/v1/sessions/{session_id}/keepalives")
    row = await stage.db.fetch_one("SELECT extract(epoch FROM expires - assigned) AS life FROM sessions")
    assert row is not None
    assert row["life"] == 60


async def test_a_command_is_no_way_around_a_forbidden_download(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    path = f"/api/v1/sessions/{session_id}/commands"
    await stage.db.write("""UPDATE sessions SET permissions = permissions || '{"allow_kasm_downloads": false}'""")
    answer = await stage.ada.post(path, json={"command": ["cat", "secret"]})
    assert answer.status_code == 403
    assert "allow_kasm_downloads" in answer.json()["detail"]
    assert (await stage.admin.post(path, json={"command": ["id"]})).json()["code"] == "wrong-state", "it is not running"


async def test_without_the_launcher_a_user_cannot_launch_by_naming_themselves(stage: Stage):
    await stage.db.write("UPDATE groups SET permissions = '{}' WHERE name = 'All Users'")
    for named in ({}, {"user_id": stage.ada_id}):
        response = await stage.ada.post("/api/v1/sessions", json={"image_id": stage.image_id, **named})
        assert response.status_code == 403, named


async def test_a_launch_cannot_choose_the_network(stage: Stage):
    for network in ("host", "bridge", "container:gr-another"):
        session_id = (await stage.launched(network_id=network))["session_id"]
        row = await stage.db.fetch_one("SELECT spec FROM sessions WHERE session_id = %s", (session_id,))
        assert row is not None
        assert row["spec"]["network"] is None
        await stage.ada.delete(f"/api/v1/sessions/{session_id}")


async def test_a_command_waits_for_its_result(stage: Stage):
    session_id = (await stage.launched())["session_id"]
    path = f"/api/v1/sessions/{session_id}/commands"
    assert (await stage.ada.post(path, json={"command": ["id"]})).json()["code"] == "wrong-state"
    await stage.runs(session_id)

    async def agent() -> None:
        while not (found := await stage.db.fetch("SELECT argv FROM session_commands")):  # noqa: ASYNC110 -- any news may come
            await asyncio.sleep(0.02)
        assert found[0]["argv"] == ["sh", "-c", "exit 3"]
        await stage.db.write("UPDATE session_commands SET state = 'done', exit_code = 3, output = 'out'")

    answer, _ = await asyncio.gather(stage.ada.post(path, json={"command": ["sh", "-c", "exit 3"]}), agent())
    assert (answer.status_code, answer.json()["exit_code"], answer.json()["output"]) == (200, 3, "out")
    assert (await stage.ada.post(path, json={"command": ["id"], "user": "root"})).status_code == 403
    assert (await stage.ada.post(path, json={"command": []})).status_code == 422
