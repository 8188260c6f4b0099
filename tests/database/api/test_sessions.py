"""/api/v1/sessions: launch, follow, act; users can access only their own sessions."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Stage
from tests.support import rows
from tests.support.managers import notifications
from tests.support.waiting import eventually

from greenroom.core.launch.forecast import USER_REMEDIES
from greenroom.core.masking import unseal_variables
from greenroom.core.session.progress import failure_message
from greenroom.kit.secrets import Secrets


async def test_a_user_who_waits_in_the_queue_of_a_machine_sees_their_place(stage: Stage, ada: Client):
    first, second = [(await ada.launch(stage.image_id))["session_id"] for _ in range(2)]

    async def step(session_id: str, name: str, ago_s: float = 0.0) -> None:
        await stage.db.write(
            "INSERT INTO session_steps (session_id, name, at)"
            " VALUES (%s, %s, clock_timestamp() - make_interval(secs => %s))",
            (session_id, name, ago_s),
        )

    async def message(session_id: str) -> str:
        return (await ada.read(f"/api/v1/sessions/{session_id}/connection"))["operational_message"]

    await stage.db.write("UPDATE sessions SET status = 'starting'")
    await step(first, "queued", 20)
    await step(second, "queued", 10)
    assert await message(first) == "Number 1 in the queue of the machine"
    assert await message(second) == "Number 2 in the queue of the machine"
    await step(first, "admitted")
    await step(first, "painted")
    assert await message(first) == "Opening the session"
    assert await message(second) == "Number 1 in the queue of the machine, about 30 s"


async def test_the_region_of_the_browser_reaches_the_session(stage: Stage, ada: Client):
    browser = {"browser_language": "de-DE", "browser_timezone": "Europe/Berlin"}
    made = await ada.launch(stage.image_id, **browser)
    spec = (await stage.row(made["session_id"]))["spec"]
    given = unseal_variables(spec, Secrets(bytes(32)).unseal, plain=True)["environment"]
    assert (given["LC_ALL"], given["TZ"]) == ("de_DE.UTF-8", "Europe/Berlin")
    image = await ada.only("/api/v1/me/images")
    assert image["last_launched"] is not None


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("browser_timezone", "../../etc/passwd; rm", 422),
        ("browser_timezone", "Mars/Olympus", 202),
        ("browser_language", "klingon", 422),
    ],
)
async def test_a_region_that_no_browser_has_is_refused(stage: Stage, ada: Client, field: str, value: str, status: int):
    """A browser may know a newer time zone than the api, which must not prevent the launch."""
    answer = await ada.post("/api/v1/sessions", json={"image_id": stage.image_id, field: value})
    assert answer.status_code == status, answer.text
    assert all("TZ" not in row["spec"]["environment"] for row in await stage.db.fetch("SELECT spec FROM sessions"))


async def test_a_user_launches_follows_and_deletes_a_session(stage: Stage, ada: Client):
    launched = await ada.launch(stage.image_id)
    assert (launched["status"], launched["operational_status"], launched["staged"]) == ("requested", "starting", False)
    session_id = launched["session_id"]
    connection = await ada.read(f"/api/v1/sessions/{session_id}/connection")
    assert (connection["operational_progress"], connection["frame_url"]) == (10, None)
    assert [step["name"] for step in connection["steps"] if step["at"]] == ["requested", "placed"]
    await stage.becomes(session_id, "running")
    connection = await ada.read(f"/api/v1/sessions/{session_id}/connection")
    path = f"/desktop/{stage.agent_id[:8]}/{session_id}"
    assert connection["frame_url"] == f"https://127.0.0.1:8445{path}/?token={launched['session_token']}"
    assert connection["websocket_path"] == f"{path}/websockify"
    assert connection["operational_progress"] == 100
    deleted = await ada.delete(f"/api/v1/sessions/{session_id}")
    assert (deleted.status_code, deleted.json()["status"]) == (202, "deleting")
    assert (await ada.delete(f"/api/v1/sessions/{session_id}")).status_code == 202
    row = await stage.db.fetch_one("SELECT status, want, ended_reason FROM sessions")
    assert row == {"status": "deleting", "want": "absent", "ended_reason": "deleted by ada@example.org"}


async def test_the_end_of_a_users_session_is_no_news_of_the_pool_it_came_from(stage: Stage, ada: Client):
    config_id = await stage.config(num_sessions=2)
    claimed, unclaimed = await stage.staged(config_id, 2)
    assert await stage.launched(ada) == claimed
    sent = await notifications(stage.db, ada.delete(f"/api/v1/sessions/{claimed}"))
    assert f"agent:{stage.agent_id}:{claimed}" in sent
    assert not any(event.startswith("staging:") for event in sent)
    sent = await notifications(stage.db, stage.admin.delete(f"/api/v1/sessions/{unclaimed}"))
    assert f"staging:{config_id}" in sent


async def test_users_see_their_own_and_administrators_all(stage: Stage, with_user: MakeClient, ada: Client):
    mine = (await ada.launch(stage.image_id))["session_id"]
    bob = await with_user("bob@example.org")
    theirs = (await bob.launch(stage.image_id))["session_id"]

    async def seen(client: Client, path: str) -> set[str]:
        return {session["session_id"] for session in await client.read(path)}

    assert await seen(ada, "/api/v1/sessions") == {mine}
    assert await seen(ada, "/api/v1/me/sessions") == {mine}
    assert await seen(ada, f"/api/v1/sessions?user_id={uuid.uuid4()}") == {mine}
    assert await seen(stage.admin, "/api/v1/sessions") == {mine, theirs}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/connection"),
        ("GET", "/placement"),
        ("POST", "/keepalives"),
        ("POST", "/commands"),
        ("POST", "/lifecycle-commands"),
    ):
        body = {"/commands": {"command": ["id"]}, "/lifecycle-commands": {"command": "stop"}}.get(path)
        response = await bob.request(method, f"/api/v1/sessions/{mine}{path}", json=body)
        assert response.status_code == 404, (method, path)
    listed = (await stage.admin.read("/api/v1/sessions"))[0]
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


async def test_a_launch_answers_with_its_zone_also_if_the_user_may_not_choose_it(stage: Stage, ada: Client):
    other = await rows.zone(stage.db, "elsewhere")
    key = {"Idempotency-Key": "one"}
    body = {"image_id": stage.image_id, "zone_id": other}
    for _ in ("first", "repeated"):
        answer = await ada.post("/api/v1/sessions", json=body, headers=key)
        launched = answer.json()
        assert (launched["zone_id"], launched["zone_name"]) == (stage.zone_id, "default")


async def test_a_staged_session_shows_if_it_is_claimable_and_its_predecessor(stage: Stage):
    config_id = await stage.config()
    (old,) = await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1)
    (new,) = await rows.staged_sessions(stage.db, config_id, stage.agent_id, 1, status="starting")
    await stage.db.write("UPDATE sessions SET replaces = %s WHERE session_id = %s", (old, new))
    listed = {row["session_id"]: row for row in await stage.admin.read("/api/v1/sessions")}
    assert [(listed[each]["claimable"], listed[each]["replaces"]) for each in (old, new)] == [
        (True, None),
        (False, old),
    ]


async def test_an_idempotency_key_gives_the_same_session(stage: Stage, ada: Client):
    body, headers = {"image_id": stage.image_id}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(ada.post("/api/v1/sessions", json=body, headers=headers) for _ in range(4)))
    assert len({(a.json()["session_id"], a.json()["session_token"]) for a in answers}) == 1
    other = await ada.post("/api/v1/sessions", json=body | {"kasm_url": "https://x.example"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-mismatch")


async def test_a_program_launches_for_a_user_with_the_permission(stage: Stage, with_key: MakeClient, ada: Client):
    assert (await stage.admin.post("/api/v1/sessions", json={"image_id": stage.image_id})).status_code == 422
    launched = await stage.admin.launch(stage.image_id, user_id=await ada.own_id())
    assert launched["username"] == "ada@example.org"
    weak = await with_key("sessions_view")
    response = await weak.post("/api/v1/sessions", json={"image_id": stage.image_id, "user_id": await ada.own_id()})
    assert response.status_code == 403
    await stage.becomes(launched["session_id"], "running")
    path = f"/api/v1/sessions/{launched['session_id']}/connection"
    assert (await weak.read(path))["frame_url"] is None
    assert (await stage.admin.read(path))["frame_url"] is not None


async def test_a_launch_that_no_agent_can_serve_says_why(stage: Stage, ada: Client):
    await stage.db.write("UPDATE agents SET enabled = false")
    body = {"image_id": stage.image_id}
    response = await ada.post("/api/v1/sessions", json=body)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "no-resources")
    assert problem["detail"] == USER_REMEDIES["agent_disabled"]
    assert "agent-1" not in response.text
    detail = (await stage.admin.post("/api/v1/sessions", json=body | {"user_id": await ada.own_id()})).json()["detail"]
    assert detail.endswith("Zone default: agent-1 is disabled. Enable an Agent or end its draining.")
    launch = await stage.admin.read(f"/api/v1/launches/{problem['launch_id']}")
    assert (launch["outcome"], launch["username"], launch["session_id"]) == ("failed", "ada@example.org", None)
    assert [(s["step"], s["code"]) for s in launch["steps"]] == [
        ("staged_here", "pool_empty"),
        ("on_demand_here", "agent_disabled"),
    ]
    assert (launch["reason"], launch["waited_ms"]) == ("Zone default: agent-1 is disabled.", launch["duration_ms"])
    listed = await stage.admin.read(f"/api/v1/launches?outcome=failed&user_id={await ada.own_id()}&limit=1")
    assert len(listed) == 1
    assert listed[0]["launch_id"] != problem["launch_id"], "the newest first"
    assert (await ada.get("/api/v1/launches")).status_code == 403


async def test_a_launch_lasts_for_the_user_until_the_session_can_be_used(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    path = f"/api/v1/launches?user_id={await ada.own_id()}"
    (starting,) = await stage.admin.read(path)
    assert starting["waited_ms"] is None
    await stage.becomes(session_id, "running")
    await stage.db.write(
        "UPDATE sessions SET started = (SELECT at + interval '9 s' FROM launches) WHERE session_id = %s", (session_id,)
    )
    (launch,) = await stage.admin.read(path)
    assert launch["waited_ms"] == pytest.approx(9000 + launch["duration_ms"])
    assert launch["reason"].startswith("A new session")


async def test_the_cause_of_a_failure_is_for_administrators(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    cause = "On agent-1: dial tcp: lookup registry.example: no such host"
    await stage.db.write(
        "UPDATE sessions SET status = 'failed', gave_up = true, error = %s, log_tail = 'secret' WHERE session_id = %s",
        (cause, session_id),
    )
    path = f"/api/v1/sessions/{session_id}"
    seen = [await ada.read(path + end) for end in ("", "/connection")]
    assert {answer["operational_message"] for answer in seen} == {failure_message({})}
    assert (seen[0]["error"], seen[0]["log_tail"]) == (failure_message({}), None)
    shown = await stage.admin.read(path)
    assert (shown["error"], shown["log_tail"]) == (cause, "secret")
    assert cause in shown["operational_message"]


async def test_the_placement_has_every_step(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    placement = await ada.read(f"/api/v1/sessions/{session_id}/placement")
    assert placement["outcome"] == "on_demand"
    assert [(s["order"], s["step"], s["used"], s["code"]) for s in placement["steps"]] == [
        (1, "staged_here", False, "pool_empty"),
        (2, "on_demand_here", True, None),
    ]


async def test_a_group_can_forbid_deleting(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    await stage.group(ada, allow_kasm_delete=False)
    assert "group Students" in await ada.refused(403, f"DELETE /api/v1/sessions/{session_id}")
    assert (await stage.admin.delete(f"/api/v1/sessions/{session_id}")).status_code == 202


async def test_a_keepalive_prolongs_the_session_to_its_limit(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    await stage.db.write("UPDATE sessions SET expires = clock_timestamp() + interval '30 s'")
    answer = await ada.post(f"/api/v1/sessions/{session_id}/keepalives")
    assert (answer.status_code, answer.json()["usage_reached"]) == (200, False)
    (row,) = await stage.db.fetch("SELECT extract(epoch FROM expires - clock_timestamp()) AS left FROM sessions")
    assert 3590 < row["left"] <= 3600
    await stage.group(ada, session_time_limit=60)
    await ada.post(f"/api/v1/sessions/{session_id}/keepalives")
    (row,) = await stage.db.fetch("SELECT extract(epoch FROM expires - assigned) AS life FROM sessions")
    assert row["life"] == 60


async def test_the_page_of_the_user_reports_its_stream(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    path = f"/api/v1/sessions/{session_id}"

    async def reported() -> tuple[float | None, bool]:
        shown = await stage.admin.read(path)
        return shown["round_trip_ms"], shown["client_address"] is not None

    await ada.post(f"{path}/keepalives")
    assert await reported() == (None, False), "a program sends no body"
    await ada.post(f"{path}/keepalives", json={"round_trip_ms": 12.5})
    assert await reported() == (12.5, True)
    await stage.admin.post(f"{path}/keepalives", json={"round_trip_ms": 99})
    assert await reported() == (12.5, True), "another user is not the client"
    await ada.post(f"{path}/keepalives", json={"round_trip_ms": None})
    assert await reported() == (None, True)
    assert (await ada.post(f"{path}/keepalives", json={"round_trip_ms": -1})).status_code == 422
    await ada.post(f"{path}/keepalives", json={"frames_s": 24, "kbit_s": 900})
    shown = await stage.admin.read(path)
    assert (shown["frames_s"], shown["kbit_s"]) == (24, 900)
    address = (await ada.read(path))["client_address"]
    found = await stage.admin.read(f"/api/v1/sessions?q=client:{address}")
    assert [row["session_id"] for row in found] == [session_id]


async def test_a_command_is_no_way_around_a_forbidden_download(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    path = f"/api/v1/sessions/{session_id}/commands"
    await stage.db.write("""UPDATE sessions SET permissions = permissions || '{"allow_kasm_downloads": false}'""")
    assert "allow_kasm_downloads" in await ada.refused(403, f"POST {path}", {"command": ["cat", "secret"]})
    assert (await stage.admin.post(path, json={"command": ["id"]})).json()["code"] == "wrong-state", "it is not running"


async def test_without_the_launcher_a_user_cannot_launch_for_themselves(stage: Stage, ada: Client):
    await stage.db.write("UPDATE groups SET permissions = '{}' WHERE name = 'All Users'")
    for named in ({}, {"user_id": await ada.own_id()}):
        response = await ada.post("/api/v1/sessions", json={"image_id": stage.image_id, **named})
        assert response.status_code == 403, named


async def test_a_launch_cannot_choose_the_network(stage: Stage, ada: Client):
    for network in ("host", "bridge", "container:gr-another"):
        session_id = (await ada.launch(stage.image_id, network_id=network))["session_id"]
        (row,) = await stage.db.fetch("SELECT spec FROM sessions WHERE session_id = %s", (session_id,))
        assert row["spec"]["network"] is None
        await ada.delete(f"/api/v1/sessions/{session_id}")


async def test_a_command_waits_for_its_result(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    path = f"/api/v1/sessions/{session_id}/commands"
    assert (await ada.post(path, json={"command": ["id"]})).json()["code"] == "wrong-state"
    await stage.becomes(session_id, "running")

    async def agent() -> None:
        found = await eventually(lambda: stage.db.fetch("SELECT argv FROM session_commands"))
        assert found[0]["argv"] == ["sh", "-c", "exit 3"]
        await stage.db.write("UPDATE session_commands SET state = 'done', exit_code = 3, output = 'out'")

    answer, _ = await asyncio.gather(ada.post(path, json={"command": ["sh", "-c", "exit 3"]}), agent())
    assert (answer.status_code, answer.json()["exit_code"], answer.json()["output"]) == (200, 3, "out")
    assert (await ada.post(path, json={"command": ["id"], "user": "root"})).status_code == 403
    assert (await ada.post(path, json={"command": []})).status_code == 422


async def test_a_start_that_takes_long_says_what_its_agent_sees(stage: Stage, ada: Client):
    session_id = (await ada.launch(stage.image_id))["session_id"]
    path = f"/api/v1/sessions/{session_id}"
    await stage.db.write(
        "WITH s AS (UPDATE sessions SET status = 'starting', status_changed = clock_timestamp() - interval '30 s',"
        " deadline = NULL WHERE session_id = %s RETURNING session_id, agent_id, generation)"
        " INSERT INTO session_observed (session_id, agent_id, incarnation, seq, generation, state, probe_error)"
        " SELECT session_id, agent_id, 1, 1, generation, 'running', 'The page does not answer on port 6901.' FROM s",
        (session_id,),
    )
    seen = await stage.admin.read(path)
    assert re.fullmatch(r"The page does not answer on port 6901 \(3\d s of 120 s\)\.", seen["status_reason"])
    assert (await ada.read(path))["status_reason"] is None, "causes are for administrators"
