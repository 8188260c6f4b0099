"""Break-glass accounts: no sign-on provider changes them, and an administrator of the host can get access again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import USER, USERS_PASSWORD, Client, MakeClient
from tests.database.api.factors import begin, complete, enroll_app
from tests.database.api.provisioning import patch, provisioner
from tests.database.api.signing_on import forged, offer
from tests.support.oidc import Forger

from greenroom.core.errors import NotFound, Refused
from greenroom.db.database import Database
from greenroom.up.installation import reset_factors, set_break_glass

pytestmark = pytest.mark.usefixtures("long_timeout")


async def logged(app: FastAPI, db: Database, code: str) -> list[tuple[str, str]]:
    await app.state.logs.flush()
    rows = await db.fetch("SELECT level, message FROM logs WHERE code = %s ORDER BY log_id", (code,))
    return [(row["level"], row["message"]) for row in rows]


async def linked(admin: Client, forger: Forger, browser: Client, user_id: str, **provider: Any) -> None:
    """A provider, and a log-in of the user through it."""
    await offer(admin, forger.issuer, **provider)
    forger.claims = {"sub": "s", "groups": ["staff"]}
    await admin.make(f"/api/v1/users/{user_id}/identities", issuer=forger.issuer, subject="s")
    assert await forged(forger, browser) == "/"


async def test_each_log_in_of_the_account_is_a_warning(
    admin: Client, user: Client, logged_in: MakeClient, app: FastAPI
):
    await admin.change(f"/api/v1/users/{await user.own_id()}", break_glass=True)
    await logged_in(USER, USERS_PASSWORD)
    (event,) = await app.state.db.fetch(
        "SELECT actor_kind, actor_name FROM audit_events WHERE code = 'break-glass-login'"
    )
    assert event == {"actor_kind": "user", "actor_name": USER}
    expected = f"{USER}, a break-glass account, logged in from 192.0.2.1"
    assert await logged(app, app.state.db, "break-glass-login") == [("WARNING", expected)]


async def test_the_account_does_not_log_in_through_a_provider(
    admin: Client, user: Client, anonymous: Client, forger: Forger
):
    user_id = await user.own_id()
    group = await admin.make("/api/v1/groups", name="Staff")
    rules = [{"claim": "groups", "value": "staff", "group_id": group["group_id"]}]
    await linked(admin, forger, anonymous, user_id, rules=rules)
    await admin.change(f"/api/v1/users/{user_id}", groups=[])
    await admin.change(f"/api/v1/users/{user_id}", break_glass=True)
    assert (await anonymous.get("/api/v1/me")).status_code == 401, "its log-ins through providers ended"
    assert (await user.get("/api/v1/me")).status_code == 200
    assert await forged(forger, anonymous) == "/?sign-on=break-glass"
    groups = (await admin.read(f"/api/v1/users/{user_id}"))["groups"]
    assert [found["name"] for found in groups] == ["All Users"], "the rules of the provider changed nothing"
    assert (await user.get("/api/v1/me")).status_code == 200


async def test_provisioning_no_longer_changes_the_account(admin: Client, connect: MakeClient):
    scim = await provisioner(admin, connect)
    user_id = (await scim.user("grace"))["id"]
    await admin.change(f"/api/v1/users/{user_id}", password=USERS_PASSWORD)
    await admin.change(f"/api/v1/users/{user_id}", break_glass=True)
    await scim.refused(404, "PATCH", f"/Users/{user_id}", patch({"op": "replace", "path": "active", "value": False}))
    await scim.refused(404, "DELETE", f"/Users/{user_id}")
    assert (await admin.read(f"/api/v1/users/{user_id}"))["disabled"] is False


async def test_only_administrators_mark_accounts(with_key: MakeClient, user: Client):
    helper = await with_key("users_modify", "users_modify_admin", "users_view")
    path = f"PATCH /api/v1/users/{await user.own_id()}"
    assert "global_admin" in await helper.refused(403, path, {"break_glass": True})


async def test_an_account_without_a_password_is_not_marked(admin: Client):
    created = await admin.make("/api/v1/users", username="bot")
    assert "needs a password" in await admin.refused(
        409, f"PATCH /api/v1/users/{created['user_id']}", {"break_glass": True}
    )


@pytest.mark.parametrize("change", [{"break_glass": False}, {"disabled": True}, {"locked": True}])
async def test_the_last_account_stays(admin: Client, user: Client, ada: Client, change: dict[str, bool]):
    path = f"/api/v1/users/{await user.own_id()}"
    await admin.change(path, break_glass=True)
    assert "last break-glass account" in await admin.refused(409, f"PATCH {path}", change)
    assert "last break-glass account" in await admin.refused(409, f"DELETE {path}")
    await admin.change(f"/api/v1/users/{await ada.own_id()}", break_glass=True)
    await admin.change(path, **change)


async def test_two_accounts_are_not_unmarked_at_the_same_time(admin: Client, user: Client, ada: Client):
    paths = [f"/api/v1/users/{await browser.own_id()}" for browser in (user, ada)]
    for path in paths:
        await admin.change(path, break_glass=True)
    answers = await asyncio.gather(*(admin.patch(path, json={"break_glass": False}) for path in paths))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_the_host_marks_and_unmarks_accounts(admin: Client, user: Client, app: FastAPI, db: Database):
    path = f"/api/v1/users/{await user.own_id()}"
    for enabled in (True, False):
        await set_break_glass(db, USER, enabled=enabled)
        assert (await admin.read(path))["break_glass"] is enabled
    level, message = (await logged(app, db, "user-changed"))[-1]
    assert level == "WARNING"
    assert message == f"The command line of the host changed user {USER}: break_glass true → false"


async def test_the_host_resets_factors(user: Client, connect: MakeClient, app: FastAPI, db: Database):
    await enroll_app(user)
    pending = await begin(connect)
    assert await reset_factors(db, USER) == 1
    assert (await user.get("/api/v1/me")).status_code == 401
    assert (await complete(pending, code="000000")).status_code == 401
    (row,) = await logged(app, db, "second-factor-deleted")
    assert row == ("WARNING", f"The command line of the host removed all 1 second factors of {USER}")


async def test_the_host_refuses_unknown_users_and_users_without_a_password(admin: Client, db: Database):
    await admin.make("/api/v1/users", username="bot")
    with pytest.raises(NotFound):
        await reset_factors(db, "unknown")
    with pytest.raises(Refused, match="reset-password bot"):
        await set_break_glass(db, "bot", enabled=True)
