"""Stop, pause, resume and force delete over both interfaces: the permissions, the statuses, and the resulting row."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.staging import Session


@pytest.mark.parametrize(
    ("command", "through", "reached", "want"),
    [("stop", "stopping", "stopped", "stopped"), ("pause", "pausing", "paused", "paused")],
)
async def test_a_user_stops_or_pauses_a_session_and_resumes_it(
    session: Session, command: str, through: str, reached: str, want: str
):
    await session.stage.everybody(**{f"allow_kasm_{command}": True})
    token = (await session.row())["auth_epoch"]
    assert await ordered(session, session.ada, command) == through
    assert await ordered(session, session.ada, command) == through
    row = await session.row()
    assert (row["want"], row["generation"], row["expires"]) == (want, 2, None)
    await session.becomes(reached)
    shown = await session.shown()
    assert (shown["status"], shown["expires_action"]) == (reached, None)
    assert shown["stopped_reason"] == "Requested by its user."
    assert "resume" in shown["actions"]
    assert await ordered(session, session.ada, "resume") == "starting"
    row = await session.row()
    assert (row["want"], row["generation"], row["auth_epoch"]) == ("running", 3, token)
    assert row["expires"] > row["keepalive"] > row["assigned"]


async def test_stop_and_pause_follow_the_owners_groups_and_resume_does_not(session: Session):
    for command in ("stop", "pause"):
        await session.stage.everybody(**{f"allow_kasm_{command}": False})
        refused = await order(session, session.ada, command)
        assert refused.status_code == 403
        assert f"`allow_kasm_{command}` = false from group All Users" in refused.json()["detail"]
    assert not {"stop", "pause"} & set((await session.shown())["actions"])
    assert {"stop", "pause"} <= set((await session.shown(session.admin))["actions"])
    assert await ordered(session, session.admin, "pause") == "pausing"
    await session.becomes("paused")
    assert await ordered(session, session.ada, "resume") == "starting"


@pytest.mark.parametrize(
    ("status", "command", "sentence"),
    [
        ("starting", "stop", "The session is starting; it can be stopped while it is paused or running."),
        ("stopped", "pause", "The session is stopped; it can be paused while it is running."),
        ("deleting", "resume", "The session is deleting; it can be resumed while it is paused or pausing"),
        ("lost", "stop", "its machine does not answer"),
    ],
)
async def test_in_other_statuses_it_is_refused_with_a_sentence(
    session: Session, status: str, command: str, sentence: str
):
    await session.becomes(status)
    refused = await order(session, session.admin, command)
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-state")
    assert sentence in refused.json()["detail"]
    assert (await session.row())["generation"] == 1


async def test_where_sessions_cannot_rest_stop_and_pause_are_neither_offered_nor_obeyed(session: Session):
    await session.db.write("UPDATE agents SET usage = usage || '{\"pauses\": false}'")
    await session.stage.everybody(allow_kasm_stop=True, allow_kasm_pause=True, keepalive_expiration_action="stop")
    shown = await session.shown()
    assert not {"stop", "pause"} & set(shown["actions"])
    for command in ("stop", "pause"):
        refused = await order(session, session.ada, command)
        assert refused.status_code == 409
        assert "its Agent cannot stop or pause sessions" in refused.json()["detail"]


async def test_a_staged_session_is_refused_with_a_sentence(session: Session):
    await session.db.write("UPDATE sessions SET user_id = NULL")
    refused = await order(session, session.admin, "pause")
    assert refused.status_code == 409
    assert "staged session cannot be paused" in refused.json()["detail"]


async def test_a_stopped_session_counts_for_the_limit_and_keeps_its_room(session: Session):
    await session.stage.everybody(max_kasms_per_user=1)
    await ordered(session, session.ada, "stop")
    await session.becomes("stopped")
    refused = await session.ada.post("/api/v1/sessions", json={"image_id": session.stage.image_id})
    assert refused.json()["code"] == "session-limit"
    (reserved,) = await session.db.fetch("SELECT cores_allocated FROM agent_capacity")
    assert reserved["cores_allocated"] > 0


async def test_a_resting_session_cannot_be_kept_alive(session: Session):
    await ordered(session, session.admin, "pause")
    assert "pausing" in await session.ada.refused(409, f"POST {session.path}/keepalives")


async def test_an_automatic_end_is_announced_with_setting_value_and_group(session: Session):
    await session.stage.everybody(keepalive_expiration=600, keepalive_expiration_action="pause")
    await session.ada.post(f"{session.path}/keepalives")
    shown = await session.shown()
    assert (shown["expires_action"], shown["expires_setting"]) == ("pause", "keepalive_expiration")
    assert "`keepalive_expiration` = 600 from group All Users" in shown["expires_reason"]
    assert shown["time_limit_ends"] is None
    await session.admin.patch(f"/api/v1/images/{session.stage.image_id}", json={"session_time_limit": 300})
    await session.ada.post(f"{session.path}/keepalives")
    shown = await session.shown()
    assert (shown["expires_action"], shown["expires"]) == ("delete", shown["time_limit_ends"])
    assert "`session_time_limit` = 300 of workspace Desktop" in shown["expires_reason"]
    assert shown["expires_setting"] is None, "no group has this limit"


async def order(session: Session, client: Client, command: str) -> httpx2.Response:
    return await client.post(f"{session.path}/lifecycle-commands", json={"command": command})


async def ordered(session: Session, client: Client, command: str) -> str:
    answer = await order(session, client, command)
    assert answer.status_code == 202, answer.text
    return answer.json()["status"]


STATUSES = ["requested", "starting", "running", "assigning", "stopping", "stopped", "pausing", "paused", "deleting"]


@pytest.mark.parametrize("status", [*STATUSES, "failed", "unreachable", "lost"])
async def test_force_ends_a_session_in_any_status_at_once(session: Session, status: str):
    await session.becomes(status)
    for _ in range(2):
        answer = await session.admin.delete(f"{session.path}?force=true")
        assert (answer.status_code, answer.json()["status"]) == (202, "deleted")
    row = await session.row()
    assert (row["status"], row["want"]) == ("deleted", "absent")
    assert row["ended"] is not None
    capacity = await session.db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_force_is_for_administrators_and_for_owners_who_may(session: Session):
    assert "allow_kasm_force_delete" in await session.ada.refused(403, f"DELETE {session.path}?force=true")
    assert "force_delete" not in (await session.shown())["actions"]
    await session.stage.everybody(allow_kasm_force_delete=True)
    assert "force_delete" in (await session.shown())["actions"]
    assert (await session.ada.delete(f"{session.path}?force=true")).json()["status"] == "deleted"


# The published interface --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api/public", "/api"])
async def test_the_published_calls_answer_with_an_empty_object(session: Session, with_key: MakeClient, prefix: str):
    key = await with_key("users_auth_session", "user")
    await session.stage.everybody(allow_kasm_pause=False)
    body = {"kasm_id": session.session_id.replace("-", ""), "user_id": session.ada_id}

    async def call(name: str) -> tuple[int, Any]:
        answer = await key.post(f"{prefix}/{name}", json=body)
        return answer.status_code, answer.json()

    status, refused = await call("pause_kasm")
    assert (status, list(refused)) == (200, ["error_message"])
    assert "allow_kasm_pause" in refused["error_message"]
    assert await call("stop_kasm") == (200, {})
    assert (await session.row())["status"] == "stopping"
    assert await call("resume_kasm") == (200, {})
    assert (await session.row())["status"] == "starting"


async def test_a_published_call_without_a_key_is_refused_in_its_shape(session: Session, anonymous: Client):
    for path in ("/api/stop_kasm", "/api/public/stop_kasm"):
        answer = await anonymous.post(path, json={"kasm_id": session.session_id})
        assert (answer.status_code, list(answer.json())) == (401, ["error_message"])
