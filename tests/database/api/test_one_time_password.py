"""If the installation requires it, a one-time password only permits choosing another one."""

from __future__ import annotations

import pytest
from tests.database.api.client import KEY, PASSWORD, Client, MakeClient

from greenroom.db.database import Database
from greenroom.db.installation import stored_settings
from greenroom.up.installation import ensure_first_data


@pytest.fixture
async def strict(admin: Client) -> None:
    """Require the change of the password."""
    await admin.change("/api/v1/settings", require_password_change=True)


@pytest.mark.usefixtures("strict")
async def test_nothing_but_the_change_is_answered_before_it(logged_in: MakeClient):
    browser = await logged_in()
    assert (await browser.read("/api/v1/me"))["password_change_required"] is True
    for method, path in (
        ("GET", "/api/v1/users"),
        ("POST", "/api/v1/groups"),
        ("POST", "/api/v1/sessions"),
        ("GET", "/api/v1/me/images"),
        ("POST", "/api/v1/api-keys"),
        ("GET", "/api/v1/events"),
    ):
        refused = await browser.request(method, path, json={} if method == "POST" else None)
        assert (refused.status_code, refused.json()["code"]) == (403, "password-change-required"), path
    change = {"password": PASSWORD, "new_password": "correct horse battery"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 204
    assert (await browser.read("/api/v1/me"))["password_change_required"] is False
    assert (await browser.get("/api/v1/users")).status_code == 200


@pytest.mark.usefixtures("strict")
async def test_one_may_also_leave_and_keys_and_other_people_do_not_notice(
    logged_in: MakeClient, user: Client, admin: Client
):
    assert (await (await logged_in()).post("/api/v1/logout")).status_code == 204
    assert (await user.get("/api/v1/me/images")).status_code == 200
    assert (await admin.get("/api/v1/users")).status_code == 200


async def test_on_one_machine_alone_it_is_not_required(logged_in: MakeClient):
    browser = await logged_in()
    assert (await browser.read("/api/v1/me"))["password_change_required"] is False
    assert (await browser.get("/api/v1/users")).status_code == 200


async def test_what_other_machines_reach_is_made_with_it(db: Database):
    made = await ensure_first_data(
        db,
        image="greenroom/desktop:xfce",
        admin_password_hash="$argon2id$x",
        key_id=KEY[0],
        key_secret_hash=b"x" * 32,
        reachable=True,
    )
    assert made
    assert await stored_settings(db) == {"require_password_change": True}
