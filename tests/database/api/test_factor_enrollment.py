"""Changes of second factors by their users and by administrators, and groups that require a second factor."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, PASSWORD, SAME_ORIGIN, USER, USERS_PASSWORD, Client, MakeClient
from tests.database.api.factors import BY_NAME, FACTORS, add_app, begin, code_of, complete, enroll_app, enroll_passkey
from tests.support.authenticator import PRESENT, Authenticator

from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database

OLD = "UPDATE login_sessions SET confirmed = now() - interval '11 min'"


@pytest.fixture
async def required(admin: Client) -> None:
    """All Users requires a second factor."""
    await admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"require_second_factor": True})


async def audit(app: FastAPI, db: Database, code: str) -> list[str]:
    await app.state.logs.flush()
    return [row["message"] for row in await db.fetch("SELECT message FROM logs WHERE code = %s", (code,))]


# Changes by users -------------------------------------------------------------------------------------------------


async def test_factors_are_listed_without_their_secrets(user: Client):
    user.headers["Host"] = BY_NAME
    key, _ = await enroll_app(user)
    assert (await enroll_passkey(user, Authenticator(), "Blue key")).status_code == 201
    assert (await enroll_passkey(user, Authenticator(), "Green key")).status_code == 201
    listed = await user.read(FACTORS)
    assert [factor["name"] for factor in listed["factors"]] == ["Authenticator app", "Blue key", "Green key"]
    assert (listed["recovery_codes"], listed["required"]) == (10, False)
    assert key not in str(listed)
    assert set(listed["factors"][0]) == {"factor_id", "kind", "name", "created", "last_used", "rp_id"}


async def test_a_wrong_first_code_adds_nothing(user: Client):
    started = (await user.post(f"{FACTORS}/totp/start")).json()
    assert (await user.post(f"{FACTORS}/totp", json={"code": "000000"})).status_code == 422
    assert (await user.read(FACTORS))["factors"] == []
    await user.make(f"{FACTORS}/totp", code=code_of(started["totp_key"]))


async def test_the_key_of_an_app_expires_and_is_used_once(user: Client, db: Database):
    key = (await user.post(f"{FACTORS}/totp/start")).json()["totp_key"]
    await user.make(f"{FACTORS}/totp", code=code_of(key))
    assert (await user.post(f"{FACTORS}/totp", json={"code": code_of(key, 1)})).status_code == 422
    key = (await user.post(f"{FACTORS}/totp/start")).json()["totp_key"]
    await db.write("UPDATE factor_challenges SET expires = now()")
    assert (await user.post(f"{FACTORS}/totp", json={"code": code_of(key)})).status_code == 422


async def test_a_new_app_replaces_the_present_one(user: Client, connect: MakeClient):
    old, _ = await enroll_app(user)
    started = (await user.post(f"{FACTORS}/totp/start")).json()
    added = await add_app(user, started["totp_key"])
    assert added["recovery_codes"] == [], "the codes from the first factor stay valid"
    assert len((await user.read(FACTORS))["factors"]) == 1
    browser = await begin(connect)
    assert (await complete(browser, code=code_of(old))).status_code == 401
    assert (await complete(browser, code=code_of(started["totp_key"]))).status_code == 200


@pytest.mark.parametrize(
    ("attack", "cause"),
    [
        ({"origin": "https://evil.example"}, "origin"),
        ({"rp_id": "evil.example"}, "RP ID"),
        ({"flags": PRESENT}, "verification"),
    ],
)
async def test_a_passkey_of_another_site_is_not_stored(user: Client, attack: dict[str, object], cause: str):
    user.headers["Host"] = BY_NAME
    refused = await enroll_passkey(user, replace(Authenticator(), **attack))  # pyright: ignore[reportArgumentType]
    assert (refused.status_code, cause in refused.json()["detail"]) == (422, True)


async def test_a_passkey_is_stored_once_in_the_installation(user: Client, ada: Client):
    passkey = Authenticator()
    for browser, status in ((user, 201), (ada, 409)):
        browser.headers["Host"] = BY_NAME
        assert (await enroll_passkey(browser, passkey)).status_code == status


async def test_an_address_without_a_name_has_no_passkeys(user: Client):
    assert "Open the console by its name" in await user.refused(409, f"POST {FACTORS}/passkey/start")


async def test_changes_need_a_new_log_in_or_the_password(user: Client, db: Database):
    await db.write(OLD)
    changes = [
        f"POST {FACTORS}/totp/start",
        f"POST {FACTORS}/passkey/start",
        "POST /api/v1/me/recovery-codes",
        f"DELETE {FACTORS}/{uuid.uuid4()}",
    ]
    for change in changes:
        assert "confirmation-required" in await user.refused(403, change), change
    assert (await user.post("/api/v1/me/confirmation", json={"password": "wrong"})).status_code == 403
    assert (await user.post(f"{FACTORS}/totp/start")).status_code == 403
    assert (await user.post("/api/v1/me/confirmation", json={"password": USERS_PASSWORD})).status_code == 204
    await enroll_app(user)


async def test_the_password_alone_confirms_no_user_with_a_factor(user: Client, connect: MakeClient, db: Database):
    key, _ = await enroll_app(user)
    (factor,) = (await user.read(FACTORS))["factors"]
    await db.write(OLD)
    removal = f"DELETE {FACTORS}/{factor['factor_id']}"
    confirmation = {"password": USERS_PASSWORD}
    assert "Log out and in again" in await user.refused(403, "POST /api/v1/me/confirmation", confirmation)
    assert "Log out and in again" in await user.refused(403, removal)
    browser = await begin(connect)
    assert (await complete(browser, code=code_of(key))).status_code == 200
    assert (await browser.delete(f"{FACTORS}/{factor['factor_id']}")).status_code == 204


async def test_a_new_password_confirms_no_user_with_a_factor(user: Client, db: Database):
    await enroll_app(user)
    (factor,) = (await user.read(FACTORS))["factors"]
    await db.write(OLD)
    change = {"password": USERS_PASSWORD, "new_password": "another ordinary one"}
    assert (await user.post("/api/v1/me/password", json=change)).status_code == 204
    assert "Log out and in again" in await user.refused(403, f"DELETE {FACTORS}/{factor['factor_id']}")


async def test_a_confirmation_ends_the_old_token_of_the_log_in(user: Client, connect: MakeClient):
    thief, key = await connect(), (await user.post(f"{FACTORS}/totp/start")).json()["totp_key"]
    thief.cookies.set(LOGIN_COOKIE, user.cookies[LOGIN_COOKIE], domain="127.0.0.1")
    assert (await thief.get("/api/v1/me")).status_code == 200
    confirmed = await user.post("/api/v1/me/confirmation", json={"password": USERS_PASSWORD})
    assert 43_000 < int(confirmed.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0]) <= 43_200
    assert [(await each.get("/api/v1/me")).status_code for each in (user, thief)] == [200, 401]
    await user.make(f"{FACTORS}/totp", code=code_of(key))


async def test_wrong_confirmations_count_as_failed_log_ins(user: Client):
    for _ in range(5):
        assert (await user.post("/api/v1/me/confirmation", json={"password": "wrong"})).status_code == 403
    assert (await user.post("/api/v1/me/confirmation", json={"password": USERS_PASSWORD})).status_code == 429


async def test_new_recovery_codes_replace_the_old_ones(user: Client, connect: MakeClient):
    _, old = await enroll_app(user)
    new = (await user.make("/api/v1/me/recovery-codes"))["recovery_codes"]
    browser = await begin(connect)
    assert (await complete(browser, recovery_code=old[0])).status_code == 401
    assert (await complete(browser, recovery_code=new[0])).status_code == 200


async def test_a_change_of_factors_ends_the_other_log_ins(user: Client, logged_in: MakeClient, db: Database):
    other = await logged_in(USER, USERS_PASSWORD)
    epoch = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (USER,))
    await enroll_app(user)
    assert [(await each.get("/api/v1/me")).status_code for each in (user, other)] == [200, 401]
    assert await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (USER,)) != epoch, "streams are cut"
    (factor,) = (await user.read(FACTORS))["factors"]
    link = (
        "INSERT INTO login_links (token_hash, user_id, expires) SELECT 'x', user_id, now() + interval '1 h' FROM users"
    )
    await db.write(f"{link} WHERE username = %s", (USER,))
    assert (await user.delete(f"{FACTORS}/{factor['factor_id']}")).status_code == 204
    assert await db.fetch("SELECT 1 FROM login_links") == []
    assert (await user.get("/api/v1/me")).status_code == 200


async def test_recovery_codes_need_a_factor_and_end_with_the_last(user: Client, db: Database):
    assert (await user.post("/api/v1/me/recovery-codes")).status_code == 409
    await enroll_app(user)
    (factor,) = (await user.read(FACTORS))["factors"]
    assert (await user.delete(f"{FACTORS}/{factor['factor_id']}")).status_code == 204
    assert await db.fetch("SELECT 1 FROM recovery_codes") == []
    assert (await user.delete(f"{FACTORS}/{factor['factor_id']}")).status_code == 404


async def test_the_factor_of_another_user_cannot_be_removed(user: Client, ada: Client):
    await enroll_app(user)
    (factor,) = (await user.read(FACTORS))["factors"]
    assert (await ada.delete(f"{FACTORS}/{factor['factor_id']}")).status_code == 404
    assert len((await user.read(FACTORS))["factors"]) == 1


async def test_an_api_key_has_no_factors(admin: Client):
    assert (await admin.get(FACTORS)).status_code == 403
    assert (await admin.post(f"{FACTORS}/totp/start")).status_code == 403


async def test_each_change_is_logged(user: Client, app: FastAPI, db: Database):
    await enroll_app(user)
    await user.make("/api/v1/me/recovery-codes")
    (factor,) = (await user.read(FACTORS))["factors"]
    await user.delete(f"{FACTORS}/{factor['factor_id']}")
    name = f"Authenticator app of {USER}"
    assert await audit(app, db, "second-factor-created") == [f"{USER} created second factor {name}"]
    assert await audit(app, db, "recovery-codes-created") == [f"{USER} created recovery codes of {USER}"]
    assert await audit(app, db, "second-factor-deleted") == [f"{USER} deleted second factor {name}"]


# Groups that require a second factor ------------------------------------------------------------------------------


@pytest.mark.usefixtures("required")
async def test_a_member_without_a_factor_can_only_enroll_one(user: Client, admin: Client):
    assert (await user.read("/api/v1/me"))["second_factor_required"] is True
    for method, path in (
        ("GET", "/api/v1/me/images"),
        ("POST", "/api/v1/sessions"),
        ("GET", "/api/v1/me/logins"),
        ("GET", "/api/v1/events"),
        ("POST", "/api/v1/me/recovery-codes"),
    ):
        assert "second-factor-required" in await user.refused(403, f"{method} {path}"), path
    await enroll_app(user)
    assert (await user.read("/api/v1/me"))["second_factor_required"] is False
    assert (await user.get("/api/v1/me/images")).status_code == 200
    assert (await admin.get("/api/v1/users")).status_code == 200, "API keys are not concerned"


@pytest.mark.usefixtures("required")
async def test_the_enrollment_of_a_user_completes_no_waiting_log_in(user: Client, logged_in: MakeClient):
    thief = await logged_in(USER, USERS_PASSWORD)
    await enroll_app(user)
    assert (await thief.get("/api/v1/me/images")).status_code == 401
    assert (await user.get("/api/v1/me/images")).status_code == 200


@pytest.mark.usefixtures("required")
async def test_the_last_factor_stays_while_the_group_requires_one(user: Client, admin: Client):
    user.headers["Host"] = BY_NAME
    await enroll_app(user)
    app_id = (await user.read(FACTORS))["factors"][0]["factor_id"]
    assert "requires a second factor" in await user.refused(409, f"DELETE {FACTORS}/{app_id}")
    assert (await enroll_passkey(user, Authenticator())).status_code == 201
    assert (await user.delete(f"{FACTORS}/{app_id}")).status_code == 204


async def test_the_group_with_the_smallest_number_decides(admin: Client, logged_in: MakeClient):
    await admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"require_second_factor": True})
    group = await admin.make("/api/v1/groups", name="Kiosk", priority=5, settings={"require_second_factor": False})
    await admin.make("/api/v1/users", username=USER, password=USERS_PASSWORD, groups=[group["group_id"]])
    browser = await logged_in(USER, USERS_PASSWORD)
    assert (await browser.read("/api/v1/me"))["second_factor_required"] is False


@pytest.mark.usefixtures("required")
async def test_a_member_may_change_the_password_and_log_out_before(user: Client):
    change = {"password": USERS_PASSWORD, "new_password": "correct horse battery"}
    assert (await user.post("/api/v1/me/password", json=change)).status_code == 204
    assert (await user.post("/api/v1/logout")).status_code == 204


@pytest.mark.usefixtures("required")
async def test_a_log_in_link_does_not_require_an_enrollment(user: Client, admin: Client, connect: MakeClient):
    link = (await admin.post("/api/public/get_login", json={"target_user": {"username": USER}})).json()["url"]
    browser = await connect()
    await browser.post("/api/v1/login/link", json={"token": link.rpartition("/")[2]}, headers=SAME_ORIGIN)
    assert (await browser.read("/api/v1/me"))["second_factor_required"] is False


# Administrators ---------------------------------------------------------------------------------------------------


async def test_a_reset_removes_factors_and_ends_log_ins(
    user: Client, admin: Client, connect: MakeClient, app: FastAPI, db: Database
):
    await enroll_app(user)
    pending = await begin(connect)
    path = f"/api/v1/users/{await user.own_id()}/second-factors"
    assert len((await admin.read(path))["factors"]) == 1
    epoch = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (USER,))
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.read(path))["factors"] == []
    assert (await user.get("/api/v1/me")).status_code == 401
    assert await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (USER,)) != epoch, "streams are cut"
    assert (await complete(pending, code="000000")).status_code == 401
    body = {"username": USER, "password": USERS_PASSWORD}
    assert (await pending.post("/api/v1/login", json=body)).status_code == 200
    assert await audit(app, db, "second-factor-deleted") == [
        f"API key abcdefghijkl deleted second factor all of {USER}"
    ]


async def test_a_reset_needs_the_right_to_change_the_user(with_key: MakeClient, user: Client, admin: Client):
    administrator = (await admin.read("/api/v1/users", q=ADMIN))[0]["user_id"]
    viewer, helper = await with_key("users_view"), await with_key("users_modify", "users_view")
    own = f"/api/v1/users/{await user.own_id()}/second-factors"
    assert (await viewer.read(own))["factors"] == []
    assert (await viewer.delete(own)).status_code == 403
    assert (await helper.delete(own)).status_code == 204
    assert (await helper.delete(f"/api/v1/users/{administrator}/second-factors")).status_code == 403


async def test_administrators_do_not_reset_their_own_factors(logged_in: MakeClient):
    browser = await logged_in(ADMIN, PASSWORD)
    refused = await browser.refused(409, f"DELETE /api/v1/users/{await browser.own_id()}/second-factors")
    assert "My account" in refused
