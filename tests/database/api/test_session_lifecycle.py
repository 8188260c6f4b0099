"""Stop, pause, resume and force delete over both interfaces: who may, in which status, and what the row says then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from greenroom.db.database import Database
from greenroom.testing import rows

Make = Callable[..., Awaitable[httpx.AsyncClient]]
Client = httpx.AsyncClient

ALL_USERS = "68d557ac-4cac-42cc-a9f3-1c7c853de0f3"


@dataclass(frozen=True)
class Stage:
    db: Database
    admin: Client
    ada: Client
    ada_id: str
    agent_id: str
    image_id: str
    session_id: str

    async def order(self, client: Client, command: str) -> httpx.Response:
        return await client.post(f"/api/v1/sessions/{self.session_id}/lifecycle-commands", json={"command": command})

    async def ordered(self, client: Client, command: str) -> str:
        answer = await self.order(client, command)
        assert answer.status_code == 202, answer.text
        return answer.json()["status"]

    async def set(self, **settings: Any) -> None:
        answer = await self.admin.patch(f"/api/v1/groups/{ALL_USERS}", json={"settings": settings})
        assert answer.status_code == 200, answer.text

    async def becomes(self, status: str) -> None:
        """What a Manager does when the Agent reports it."""
        await self.db.write(
            "UPDATE sessions SET status = %s, started = coalesce(started, clock_timestamp()) WHERE session_id = %s",
            (status, self.session_id),
        )

    async def row(self) -> dict[str, Any]:
        found = await self.db.fetch_one("SELECT * FROM sessions WHERE session_id = %s", (self.session_id,))
        assert found is not None
        return found

    async def shown(self, client: Client | None = None) -> dict[str, Any]:
        return (await (client or self.ada).get(f"/api/v1/sessions/{self.session_id}")).json()


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: Client, with_user: Make) -> Stage:
    """A running session of ada."""
    del app
    ada = await with_user("ada@example.org")
    me = (await ada.get("/api/v1/me")).json()["user"]
    zone = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    agent_id = await rows.agent(db, zone, hostname="agent-1", image=image["name"])
    launched = await ada.post("/api/v1/sessions", json={"image_id": image["image_id"]})
    assert launched.status_code == 202, launched.text
    session_id = launched.json()["session_id"]
    stage = Stage(db, admin, ada, me["user_id"], agent_id, image["image_id"], session_id)
    await stage.becomes("running")
    return stage


@pytest.mark.parametrize(
    ("command", "through", "reached", "want"),
    [("stop", "stopping", "stopped", "stopped"), ("pause", "pausing", "paused", "paused")],
)
async def test_a_user_stops_or_pauses_a_session_and_resumes_it(
    stage: Stage, command: str, through: str, reached: str, want: str
):
    await stage.set(**{f"allow_kasm_{command}": True})
    token = (await stage.row())["auth_epoch"]
    assert await stage.ordered(stage.ada, command) == through
    assert await stage.ordered(stage.ada, command) == through
    row = await stage.row()
    assert (row["want"], row["generation"], row["expires"]) == (want, 2, None)
    await stage.becomes(reached)
    shown = await stage.shown()
    assert (shown["status"], shown["expires_action"]) == (reached, None)
    assert shown["stopped_reason"] == "ada@example.org asked for it."
    assert "resume" in shown["actions"]
    assert await stage.ordered(stage.ada, "resume") == "starting"
    row = await stage.row()
    assert (row["want"], row["generation"], row["auth_epoch"]) == ("running", 3, token)
    assert row["expires"] > row["keepalive"] > row["assigned"]


async def test_stop_and_pause_are_subject_to_the_owners_groups_and_resume_is_not(stage: Stage):
    for command in ("stop", "pause"):
        refused = await stage.order(stage.ada, command)
        assert refused.status_code == 403
        assert f"`allow_kasm_{command}` = false by default" in refused.json()["detail"]
    assert not {"stop", "pause"} & set((await stage.shown())["actions"])
    assert {"stop", "pause"} <= set((await stage.shown(stage.admin))["actions"])
    assert await stage.ordered(stage.admin, "pause") == "pausing"
    await stage.becomes("paused")
    assert await stage.ordered(stage.ada, "resume") == "starting"


async def test_a_session_of_somebody_else_is_not_there(stage: Stage, with_user: Make):
    bob = await with_user("bob@example.org")
    assert (await stage.order(bob, "resume")).status_code == 404


@pytest.mark.parametrize(
    ("status", "command", "sentence"),
    [
        ("starting", "stop", "The session is starting; it can be stopped while it is paused or running."),
        ("stopped", "pause", "The session is stopped; it can be paused while it is running."),
        ("deleting", "resume", "The session is deleting; it can be resumed while it is paused or pausing"),
        ("lost", "stop", "its machine does not answer"),
    ],
)
async def test_in_other_statuses_it_is_refused_with_a_sentence(stage: Stage, status: str, command: str, sentence: str):
    await stage.becomes(status)
    refused = await stage.order(stage.admin, command)
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-state")
    assert sentence in refused.json()["detail"]
    assert (await stage.row())["generation"] == 1


async def test_a_staged_session_is_refused_with_a_sentence(stage: Stage):
    await stage.db.write("UPDATE sessions SET user_id = NULL")
    refused = await stage.order(stage.admin, "pause")
    assert refused.status_code == 409
    assert "staged session cannot be paused" in refused.json()["detail"]


async def test_a_resting_session_counts_for_its_users_limit_and_keeps_its_reservation(stage: Stage):
    await stage.set(max_kasms_per_user=1, allow_kasm_stop=True)
    await stage.ordered(stage.ada, "stop")
    await stage.becomes("stopped")
    refused = await stage.ada.post("/api/v1/sessions", json={"image_id": stage.image_id})
    assert refused.json()["code"] == "session-limit"
    reserved = await stage.db.fetch_one("SELECT cores_allocated FROM agent_capacity")
    assert reserved is not None
    assert reserved["cores_allocated"] > 0


async def test_a_resting_session_cannot_be_kept_alive(stage: Stage):
    await stage.ordered(stage.admin, "pause")
    refused = await stage.ada.post(f"/api/v1/sessions/{stage.session_id}/keepalives")
    assert refused.status_code == 409
    assert "pausing" in refused.json()["detail"]


async def test_what_will_happen_by_itself_is_told_with_setting_value_and_group(stage: Stage):
    await stage.set(keepalive_expiration=600, keepalive_expiration_action="pause")
    await stage.ada.post(f"/api/v1/sessions/{stage.session_id}/keepalives")
    shown = await stage.shown()
    assert shown["expires_action"] == "pause"
    assert "`keepalive_expiration` = 600 from group All Users" in shown["expires_reason"]
    assert shown["time_limit_ends"] is None
    await stage.admin.patch(f"/api/v1/images/{stage.image_id}", json={"session_time_limit": 300})
    await stage.ada.post(f"/api/v1/sessions/{stage.session_id}/keepalives")
    shown = await stage.shown()
    assert (shown["expires_action"], shown["expires"]) == ("delete", shown["time_limit_ends"])
    assert "`session_time_limit` = 300 of workspace Desktop" in shown["expires_reason"]


STATUSES = ["requested", "starting", "running", "assigning", "stopping", "stopped", "pausing", "paused", "deleting"]


@pytest.mark.parametrize("status", [*STATUSES, "failed", "unreachable", "lost"])
async def test_force_ends_a_session_in_any_status_at_once(stage: Stage, status: str):
    await stage.becomes(status)
    for _ in range(2):
        answer = await stage.admin.delete(f"/api/v1/sessions/{stage.session_id}?force=true")
        assert (answer.status_code, answer.json()["status"]) == (202, "deleted")
    row = await stage.row()
    assert (row["status"], row["want"]) == ("deleted", "absent")
    assert row["ended"] is not None
    capacity = await stage.db.fetch_one("SELECT cores_allocated, memory_allocated FROM agent_capacity")
    assert capacity == {"cores_allocated": 0, "memory_allocated": 0}


async def test_force_is_for_administrators_and_for_owners_whose_groups_allow_it(stage: Stage):
    refused = await stage.ada.delete(f"/api/v1/sessions/{stage.session_id}?force=true")
    assert refused.status_code == 403
    assert "allow_kasm_force_delete" in refused.json()["detail"]
    assert "force_delete" not in (await stage.shown())["actions"]
    await stage.set(allow_kasm_force_delete=True)
    assert "force_delete" in (await stage.shown())["actions"]
    assert (await stage.ada.delete(f"/api/v1/sessions/{stage.session_id}?force=true")).json()["status"] == "deleted"


# The published interface --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api/public", "/api"])
async def test_the_published_calls_answer_with_an_empty_object(stage: Stage, with_key: Make, prefix: str):
    key = await with_key("users_auth_session", "user")
    await stage.set(allow_kasm_stop=True)
    body = {"kasm_id": stage.session_id.replace("-", ""), "user_id": stage.ada_id}

    async def call(name: str) -> tuple[int, Any]:
        answer = await key.post(f"{prefix}/{name}", json=body)
        return answer.status_code, answer.json()

    status, refused = await call("pause_kasm")
    assert (status, list(refused)) == (200, ["error_message"])
    assert "allow_kasm_pause" in refused["error_message"]
    assert await call("stop_kasm") == (200, {})
    assert (await stage.row())["status"] == "stopping"
    assert await call("resume_kasm") == (200, {})
    assert (await stage.row())["status"] == "starting"


async def test_a_published_call_without_a_key_is_refused_in_the_published_shape(stage: Stage, anonymous: Client):
    for path in ("/api/stop_kasm", "/api/public/stop_kasm"):
        answer = await anonymous.post(path, json={"kasm_id": stage.session_id})
        assert (answer.status_code, list(answer.json())) == (401, ["error_message"])
