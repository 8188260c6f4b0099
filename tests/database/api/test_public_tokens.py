"""The published interface: session tokens of users, and the other viewers who may join a session."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADA, SAME_ORIGIN, USER, USERS_PASSWORD, Client, MakeClient
from tests.database.api.factors import FACTORS
from tests.database.api.staging import Session

from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.kit.secrets import secret_digest

ALLOWED = {"allow_kasm_sharing": True, "allow_shared_control": True}


async def token_of(client: Client, user_id: str) -> dict[str, Any]:
    return (await client.published("create_session_token", target_user={"user_id": user_id}))["session_token"]


async def verdict(session: Session, client: Client, token: str) -> dict[str, Any]:
    """The api's answer to the session's Agent."""
    await session.db.write("UPDATE agents SET credential_hash = %s", (secret_digest("credential"),))
    agent = {"Authorization": f"Bearer {session.stage.agent_id}.credential"}
    body = {"session_id": session.session_id, "token": token}
    return (await client.post("/api/internal/stream", json=body, headers=agent)).json()


async def test_a_session_token_is_made_found_prolonged_and_ended(anonymous: Client, ada: Client, db: Database):
    ada_id = await ada.own_id()
    made = await token_of(anonymous, ada_id.replace("-", ""))
    assert set(made) == {"session_token", "session_token_date", "expires_at", "session_jwt", "user_id"}
    target = {"session_token": made["session_token"]}
    assert (await anonymous.published("get_session_token", target_session_token=target))["session_token"] == made
    listed = (await anonymous.published("get_session_tokens", target_user={"user_id": ada_id}))["session_tokens"]
    assert listed == [made], "the log-in of the browser is not among them"
    await db.write("UPDATE login_sessions SET last_used = now() - interval '50 minutes'")
    (soon,) = (await anonymous.published("get_session_tokens", target_user={"user_id": ada_id}))["session_tokens"]
    later = (await anonymous.published("update_session_token", target_session_token=target))["session_token"]
    assert later["session_token"] == made["session_token"]
    assert later["expires_at"] > soon["expires_at"]
    assert await anonymous.published("delete_session_token", target_session_token=target) == {}
    assert "may have ended" in await anonymous.published_refusal("get_session_token", target_session_token=target)
    await token_of(anonymous, ada_id)
    assert await anonymous.published("delete_session_tokens", target_user={"user_id": ada_id}) == {}
    assert (await anonymous.published("get_session_tokens", target_user={"user_id": ada_id}))["session_tokens"] == []
    assert (await ada.read("/api/v1/me"))["user"]["username"] == ADA, "the browser stays logged in"


async def test_a_session_token_logs_in_at_the_console(anonymous: Client, connect: MakeClient, ada: Client):
    made = await token_of(anonymous, await ada.own_id())
    browser = await connect()
    browser.cookies.set(LOGIN_COOKIE, made["session_token"], domain="127.0.0.1")
    assert (await browser.read("/api/v1/me"))["user"]["username"] == ADA


async def test_a_session_token_opens_the_sessions_of_its_user_alone(session: Session, anonymous: Client, user: Client):
    mine = (await token_of(anonymous, session.ada_id))["session_token"]
    others = (await token_of(anonymous, await user.own_id()))["session_token"]
    assert (await verdict(session, anonymous, mine))["allow"] is True
    assert (await verdict(session, anonymous, others))["allow"] is False
    forged = mine.partition(".")[0] + "." + others.partition(".")[2]
    assert (await verdict(session, anonymous, forged))["allow"] is False
    await anonymous.published("delete_session_token", target_session_token={"session_token": mine})
    assert (await verdict(session, anonymous, mine))["allow"] is False


async def test_a_session_token_of_a_user_without_the_permission_opens_no_stream(session: Session, anonymous: Client):
    token = (await token_of(anonymous, session.ada_id))["session_token"]
    await session.admin.change(f"/api/v1/groups/{ALL_USERS}", permissions=[])
    refused = await verdict(session, anonymous, token)
    assert (refused["allow"], "permission `user`" in refused["reason"]) == (False, True)


async def test_no_token_reaches_above_its_maker(with_key: MakeClient, ada: Client, admin: Client, app: FastAPI):
    less = await with_key("users_auth_session")
    (root,) = [u for u in await admin.read("/api/v1/users") if u["username"].startswith("admin@")]
    refused = await less.post("/api/public/create_session_token", json={"target_user": {"user_id": root["user_id"]}})
    assert (refused.status_code, "users_modify_admin" in refused.json()["error_message"]) == (403, True)
    made = await token_of(admin, root["user_id"])
    for name in ("get_session_token", "update_session_token", "delete_session_token"):
        asked = {"target_session_token": {"session_token": made["session_token"]}}
        assert (await less.post(f"/api/public/{name}", json=asked)).status_code == 403, name
    ada_id = await ada.own_id()
    await admin.change(f"/api/v1/users/{ada_id}", disabled=True)
    assert "may not log in" in await admin.published_refusal("create_session_token", target_user={"user_id": ada_id})


@pytest.fixture
async def shared(session: Session) -> Session:
    """A running session of ada, who may share it and give control."""
    await session.stage.everybody(**ALLOWED)
    await session.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'painted')", (session.session_id,))
    return session


async def test_users_are_given_access_by_name(shared: Session, anonymous: Client, user: Client):
    user_id, asked = await user.own_id(), {"kasm_id": shared.session_id.replace("-", "")}
    wanted = asked | {"session_permissions": [{"user_id": user_id, "access": "r"}]}
    given = await anonymous.published("set_session_permissions", target_session_permissions=wanted)
    watching = {"user_id": user_id, "access": "r", "username": USER, "vnc_username": USER}
    assert given == {"session_permissions": [watching]}
    assert await anonymous.published("get_session_permissions", target_session_permissions=asked) == given
    control = asked | {"access": "rw"}
    changed = await anonymous.published("set_session_permissions", target_session_permissions=control)
    assert changed == {"session_permissions": [watching | {"access": "rw"}]}
    again = asked | {"access": "rw", "session_permissions": [{"user_id": user_id}]}
    assert await anonymous.published("set_session_permissions", target_session_permissions=again) == changed
    removed = asked | {"user_ids": [user_id]}
    assert await anonymous.published("delete_session_permissions", target_session_permissions=removed) == {
        "session_permissions": []
    }
    await anonymous.published("set_session_permissions", target_session_permissions=wanted)
    assert await anonymous.published("delete_all_session_permissions", target_session_permissions=asked) == {
        "session_permissions": []
    }


async def test_all_users_are_removed_with_the_permission_that_removes_one(shared: Session, with_key: MakeClient):
    asked = {"kasm_id": shared.session_id.replace("-", "")}
    key = await with_key("sessions_modify")
    assert await key.published("delete_all_session_permissions", target_session_permissions=asked) == {
        "session_permissions": []
    }


async def test_who_was_given_control_by_name_has_it_by_the_sessions_link(
    shared: Session, anonymous: Client, user: Client
):
    user_id = await user.own_id()
    link = (await shared.ada.make(f"{shared.path}/shares", access="view"))["share_id"]
    wanted = {"kasm_id": shared.session_id, "session_permissions": [{"user_id": user_id, "access": "rw"}]}
    await anonymous.published("set_session_permissions", target_session_permissions=wanted)
    joined = await anonymous.published("join_kasm", user_id=user_id, share_id=link)
    assert (await verdict(shared, anonymous, joined["session_token"]))["access"] == "control"


async def test_permissions_that_cannot_be_are_refused(shared: Session, anonymous: Client, user: Client):
    user_id, asked = await user.own_id(), {"kasm_id": shared.session_id}
    for wanted, words in (
        ({"session_permissions": [{"user_id": user_id, "access": "x"}]}, "does not exist"),
        ({"session_permissions": [{"user_id": user_id}]}, "does not exist"),
        ({"session_permissions": "all"}, "list"),
        ({"session_permissions": ["all"]}, "object"),
        ({"session_permissions": [{"user_id": shared.ada_id, "access": "r"}]}, "belongs to this user"),
    ):
        refused = await anonymous.published_refusal(
            "set_session_permissions", target_session_permissions=asked | wanted
        )
        assert words in refused, wanted
    await shared.stage.everybody(allow_shared_control=False)
    wanted = asked | {"session_permissions": [{"user_id": user_id, "access": "rw"}]}
    answer = await anonymous.published_refusal("set_session_permissions", target_session_permissions=wanted)
    assert "allow_shared_control" in answer


async def test_a_log_in_of_a_program_changes_no_credentials(
    admin: Client, user: Client, connect: MakeClient, anonymous: Client
):
    made = await token_of(admin, await user.own_id())
    by_token, by_link = await connect(), await connect()
    by_token.cookies.set(LOGIN_COOKIE, made["session_token"], domain="127.0.0.1")
    link = (await anonymous.published("get_login", target_user={"username": USER}))["url"]
    token = {"token": link.rpartition("/")[2]}
    assert (await by_link.post("/api/v1/login/link", json=token, headers=SAME_ORIGIN)).status_code == 200
    for browser in (by_token, by_link):
        browser.headers.update(SAME_ORIGIN)
        assert "confirmation-required" in await browser.refused(403, f"POST {FACTORS}/totp/start")
        assert "requested it" in await browser.refused(403, "POST /api/v1/me/identities", {"provider": "campus"})
        assert (await browser.post("/api/v1/me/confirmation", json={"password": USERS_PASSWORD})).status_code == 204
        assert (await browser.post(f"{FACTORS}/totp/start")).status_code == 200


async def test_programs_do_not_log_in_as_a_break_glass_account(
    admin: Client, user: Client, anonymous: Client, connect: MakeClient
):
    user_id = await user.own_id()
    by_token = await connect()
    made = await token_of(admin, user_id)
    by_token.cookies.set(LOGIN_COOKIE, made["session_token"], domain="127.0.0.1")
    assert (await by_token.get("/api/v1/me")).status_code == 200
    link = (await anonymous.published("get_login", target_user={"username": USER}))["url"]
    await admin.change(f"/api/v1/users/{user_id}", break_glass=True)
    assert (await by_token.get("/api/v1/me")).status_code == 401, "the log-in of the program ended"
    by_link = await connect()
    token = {"token": link.rpartition("/")[2]}
    assert (await by_link.post("/api/v1/login/link", json=token, headers=SAME_ORIGIN)).status_code == 401
    for call in ("get_login", "create_session_token"):
        refusal = await anonymous.published_refusal(call, target_user={"user_id": user_id})
        assert "break-glass account" in refusal, call
