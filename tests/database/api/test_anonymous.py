"""Users created for a launch without a user: marked, without a log-in, deleted some time after their last session."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import KEY, Client, MakeClient

from greenroom.api.access.accounts import delete_expired_anonymous_users
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter


async def request_kasm(admin: Client, **body: Any) -> dict[str, Any]:
    answer = await admin.post("/api/public/request_kasm", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def anonymous_id(admin: Client, agent: str) -> str:
    """The user of a session that was launched without one, on an Agent with capacity, without a named workspace."""
    await admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"default_image": "Desktop"})
    return (await request_kasm(admin))["user_id"]


async def left(db: Database, app: FastAPI, retention_s: float) -> int:
    """The number of anonymous users after housekeeping."""
    logs: LogWriter = app.state.logs
    await delete_expired_anonymous_users(db, retention_s, logs)
    await logs.flush()
    return len(await db.fetch("SELECT 1 FROM anonymous_users JOIN users USING (user_id)", {}))


async def test_an_anonymous_user_is_marked_in_all_users_and_cannot_log_in(
    admin: Client, anonymous_id: str, anonymous: Client
):
    shown = await admin.read(f"/api/v1/users/{anonymous_id}")
    assert (shown["anonymous"], shown["groups"]) == (True, [{"group_id": ALL_USERS, "name": "All Users"}])
    body = {"username": shown["username"], "password": ""}
    refused = await anonymous.post("/api/v1/login", json=body, headers={"Sec-Fetch-Site": "same-origin"})
    assert refused.status_code == 401
    link = await admin.post("/api/public/get_login", json={"target_user": {"user_id": anonymous_id}})
    assert "anonymous" in link.json()["error_message"]
    public = await admin.post("/api/public/get_user", json={"target_user": {"user_id": anonymous_id}})
    assert public.json()["user"]["is_anonymous"] is True


async def test_an_anonymous_user_is_deleted_some_time_after_the_last_session(
    admin: Client, anonymous_id: str, db: Database, app: FastAPI
):
    await db.write("UPDATE users SET created = now() - interval '1 day'")
    assert await left(db, app, 60) == 1, "the user has a session"
    await db.write("UPDATE sessions SET status = 'deleted', ended = now() - interval '50 s'")
    assert await left(db, app, 60) == 1, "it has just ended"
    await db.write("UPDATE sessions SET ended = now() - interval '61 s'")
    assert await left(db, app, 60) == 0
    assert (await admin.get(f"/api/v1/users/{anonymous_id}")).status_code == 404
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'user-deleted'", {})
    assert "was deleted after their last session" in row["message"]
    assert len(await admin.read("/api/v1/users")) == 1, "the administrator stays"


async def test_a_user_without_a_session_who_is_not_anonymous_stays(admin: Client, db: Database, app: FastAPI):
    await admin.post("/api/v1/users", json={"username": "anonymous-fan"})
    await db.write("UPDATE users SET created = now() - interval '1 day'")
    await left(db, app, 0)
    assert {u["username"] for u in await admin.read("/api/v1/users")} == {"admin@greenroom.local", "anonymous-fan"}


async def test_a_launch_without_any_workspace_leaves_no_user_behind(admin: Client, db: Database):
    refused = await request_kasm(admin)
    assert "no default workspace" in refused["error_message"]
    assert await db.fetch("SELECT 1 FROM anonymous_users", {}) == []


async def test_a_repeated_request_gives_the_same_user_and_session(
    admin: Client, anonymous_id: str, db: Database, with_key: MakeClient
):
    async def launch(client: Client) -> dict[str, Any]:
        answer = await client.post("/api/public/request_kasm", json={}, headers={"Idempotency-Key": "7"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    first, again = await launch(admin), await launch(admin)
    assert first == again
    assert first["user_id"] != anonymous_id
    others = await launch(await with_key("users_auth_session", "user"))
    assert others["user_id"] != first["user_id"], "an Idempotency-Key counts within one API key"
    assert len(await db.fetch("SELECT 1 FROM anonymous_users", {})) == 3


async def test_a_different_request_under_a_used_key_is_refused(admin: Client, anonymous_id: str, db: Database):
    headers = {"Idempotency-Key": "7"}
    first = (await admin.post("/api/public/request_kasm", json={}, headers=headers)).json()
    other = await admin.post("/api/public/request_kasm", json={"environment": {"A": "b"}}, headers=headers)
    assert "different request" in other.json()["error_message"]
    assert (await admin.get(f"/api/v1/users/{first['user_id']}")).status_code == 200


async def test_a_launch_refuses_a_user_who_was_created_under_its_name(
    admin: Client, anonymous_id: str, with_key: MakeClient
):
    name = f"anonymous-{hashlib.sha256(f'{KEY[0]}|order-7'.encode()).hexdigest()[:16]}"
    clerk = await with_key("users_create")
    body = {"username": name, "password": "known to the clerk"}
    assert (await clerk.post("/api/v1/users", json=body)).status_code == 201
    answer = await admin.post("/api/public/request_kasm", json={}, headers={"Idempotency-Key": "order-7"})
    assert "use another Idempotency-Key" in answer.json()["error_message"]
