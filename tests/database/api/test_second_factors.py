"""Log-ins with a password and a second factor, and attacks on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, LiteralString

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADA, SAME_ORIGIN, USER, USERS_PASSWORD, Client, MakeClient
from tests.database.api.factors import (
    BY_NAME,
    FACTORS,
    begin,
    code_of,
    complete,
    enroll_app,
    enroll_passkey,
    use_passkey,
)
from tests.support.authenticator import PRESENT, Authenticator

from greenroom.core.access.second_factors import MAX_WRONG_CODES
from greenroom.db.access import credentials
from greenroom.db.database import Database

PENDING = "__Host-greenroom-pending"


@pytest.fixture
async def app_key(user: Client) -> str:
    """The key of the authenticator app of the user."""
    return (await enroll_app(user))[0]


@pytest.fixture
async def passkey(user: Client) -> Authenticator:
    """A passkey of the user."""
    user.headers["Host"] = BY_NAME
    created = Authenticator()
    assert (await enroll_passkey(user, created)).status_code == 201
    return created


async def logged_rows(app: FastAPI, code: str) -> list[dict[str, Any]]:
    await app.state.logs.flush()
    return await app.state.db.fetch("SELECT level, message FROM logs WHERE code = %s ORDER BY log_id", (code,))


async def test_the_password_alone_does_not_log_in(connect: MakeClient, app_key: str):
    browser = await begin(connect)
    assert "__Host-greenroom" not in browser.cookies
    assert (await browser.get("/api/v1/me")).status_code == 401
    done = await complete(browser, code=code_of(app_key))
    assert (done.status_code, done.json()["user"]["username"]) == (200, USER)
    assert (await browser.get("/api/v1/me")).status_code == 200


async def test_the_answer_names_the_kinds_of_factors(connect: MakeClient, app_key: str, passkey: Authenticator):
    browser = await connect()
    body = {"username": USER, "password": USERS_PASSWORD}
    answer = await browser.post("/api/v1/login", json=body, headers=SAME_ORIGIN)
    assert answer.json() == {"methods": ["passkey", "totp"], "recovery_codes": 10}


async def test_a_code_is_used_once(connect: MakeClient, app_key: str):
    code = code_of(app_key)
    assert (await complete(await begin(connect), code=code)).status_code == 200
    assert (await complete(await begin(connect), code=code)).status_code == 401
    assert (await complete(await begin(connect), code=code_of(app_key, -1))).status_code == 401, "an earlier one"
    assert (await complete(await begin(connect), code=code_of(app_key, 1))).status_code == 200


async def test_the_first_code_of_an_enrollment_is_used(connect: MakeClient, user: Client):
    key = (await user.post(f"{FACTORS}/totp/start")).json()["totp_key"]
    code = code_of(key)
    await user.make(f"{FACTORS}/totp", code=code)
    assert (await complete(await begin(connect), code=code)).status_code == 401


async def test_a_recovery_code_replaces_a_factor_once(connect: MakeClient, user: Client, app: FastAPI):
    _, codes = await enroll_app(user)
    assert len(set(codes)) == 10
    typed = codes[3].replace("-", " ").upper()
    assert (await complete(await begin(connect), recovery_code=typed)).status_code == 200
    assert (await complete(await begin(connect), recovery_code=codes[3])).status_code == 401
    (row,) = await logged_rows(app, "recovery-code-used")
    assert (row["level"], row["message"]) == ("WARNING", f"{USER} used a recovery code; 9 remain")


async def test_secrets_of_factors_are_not_stored_as_text(user: Client, db: Database):
    key, codes = await enroll_app(user)
    stored = str(await db.fetch("SELECT f::text, c::text FROM second_factors f, recovery_codes c"))
    assert key not in stored
    assert codes[0] not in stored


async def test_a_passkey_logs_in(connect: MakeClient, passkey: Authenticator, user: Client):
    assert (await use_passkey(await begin(connect), passkey)).status_code == 200
    (factor,) = (await user.read(FACTORS))["factors"]
    assert (factor["kind"], factor["name"], factor["rp_id"]) == ("passkey", "Key", "localhost")
    assert factor["last_used"] is not None


@pytest.mark.parametrize(
    ("attack", "cause"),
    [
        ({"origin": "https://evil.example"}, "Unexpected client data origin"),
        ({"origin": "https://localhost:9443"}, "Unexpected client data origin"),
        ({"rp_id": "evil.example"}, "Unexpected RP ID hash"),
        ({"flags": PRESENT}, "User verification is required"),
        ({"credential_id": b"other"}, "the passkey does not belong to the user"),
        ({"key": Authenticator().key}, "Could not verify authentication signature"),
        ({"count": 0}, "was not greater than current count"),
    ],
)
async def test_a_forged_use_of_a_passkey_is_refused(
    connect: MakeClient, passkey: Authenticator, app: FastAPI, attack: dict[str, Any], cause: str
):
    assert (await use_passkey(await begin(connect), passkey)).status_code == 200
    assert (await use_passkey(await begin(connect), passkey)).status_code == 200
    refused = await use_passkey(await begin(connect), replace(passkey, **attack))
    assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
    assert "wrong or was used before" in refused.json()["detail"]
    (row,) = await logged_rows(app, "login-failed")
    assert cause in row["message"]


async def test_a_passkey_of_a_page_at_another_port_is_refused(connect: MakeClient, passkey: Authenticator):
    browser = await begin(connect)
    started = await browser.post("/api/v1/login/second-factor/passkey")
    browser.headers["Host"] = "localhost:8445"  # the port of the streams, with pages of sessions
    relayed = replace(passkey, origin="https://localhost:8445").use(started.json()["options"])
    refused = await complete(browser, passkey=relayed)
    assert (refused.status_code, "set-cookie" in refused.headers) == (409, False)
    assert "Open https://localhost:8443" in refused.json()["detail"]


async def test_a_challenge_is_used_once(connect: MakeClient, passkey: Authenticator):
    browser = await begin(connect)
    options = (await browser.post("/api/v1/login/second-factor/passkey")).json()["options"]
    wrong = replace(passkey, origin="https://evil.example").use(options)
    assert (await complete(browser, passkey=wrong)).status_code == 401
    assert (await complete(browser, passkey=passkey.use(options))).status_code == 401
    assert (await use_passkey(browser, passkey)).status_code == 200, "with another challenge"


async def test_an_expired_challenge_is_refused(connect: MakeClient, passkey: Authenticator, db: Database):
    browser = await begin(connect)
    options = (await browser.post("/api/v1/login/second-factor/passkey")).json()["options"]
    await db.write("UPDATE factor_challenges SET expires = now()")
    assert (await complete(browser, passkey=passkey.use(options))).status_code == 401


async def test_the_challenge_of_another_log_in_is_refused(connect: MakeClient, passkey: Authenticator):
    one, other = await begin(connect), await begin(connect)
    options = (await one.post("/api/v1/login/second-factor/passkey")).json()["options"]
    await other.post("/api/v1/login/second-factor/passkey")
    assert (await complete(other, passkey=passkey.use(options))).status_code == 401


async def test_the_passkey_of_another_user_is_refused(connect: MakeClient, ada: Client, passkey: Authenticator):
    ada.headers["Host"] = BY_NAME
    own = Authenticator()
    assert (await enroll_passkey(ada, own)).status_code == 201
    assert (await use_passkey(await begin(connect, ADA), passkey)).status_code == 401
    assert (await use_passkey(await begin(connect, ADA), own)).status_code == 200


@pytest.mark.parametrize(
    "credential",
    [{}, {"id": 5}, {"id": "eA"}, {"id": "eA", "rawId": "eA", "type": "public-key", "response": {}}],
)
async def test_a_malformed_answer_of_a_browser_is_refused(
    connect: MakeClient, passkey: Authenticator, credential: dict[str, Any]
):
    browser = await begin(connect)
    await browser.post("/api/v1/login/second-factor/passkey")
    assert (await complete(browser, passkey=credential)).status_code == 401


async def test_guessed_codes_are_throttled_with_the_right_password(connect: MakeClient, app_key: str):
    for _ in range(4):
        assert (await complete(await begin(connect), code="000000")).status_code == 401
    browser = await begin(connect)
    assert (await complete(browser, code="000000")).status_code == 401
    refused = await complete(browser, code=code_of(app_key))
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    body = {"username": USER, "password": USERS_PASSWORD}
    assert (await browser.post("/api/v1/login", json=body)).status_code == 429, "both count together"


async def test_too_many_wrong_codes_from_all_addresses_block_the_app(connect: MakeClient, user: Client, db: Database):
    key, recovery_codes = await enroll_app(user)
    await db.write("UPDATE second_factors SET wrong_codes = %s", (MAX_WRONG_CODES - 1,))
    browser = await begin(connect, address="203.0.113.1")
    assert "Try again" in (await complete(browser, code="000000")).json()["detail"]
    browser = await begin(connect, address="203.0.113.2")
    refused = await complete(browser, code=code_of(key))
    assert (refused.status_code, "is blocked" in refused.json()["detail"]) == (401, True)
    assert (await complete(browser, recovery_code=recovery_codes[0])).status_code == 200
    browser.headers.update(SAME_ORIGIN)
    new_key, _ = await enroll_app(browser)
    assert (await complete(await begin(connect), code=code_of(new_key))).status_code == 200


async def test_a_right_code_forgets_wrong_codes(connect: MakeClient, app_key: str, db: Database):
    browser = await begin(connect)
    assert (await complete(browser, code="000000")).status_code == 401
    assert await db.fetch("SELECT wrong_codes FROM second_factors") == [{"wrong_codes": 1}]
    assert (await complete(browser, code=code_of(app_key))).status_code == 200
    assert await db.fetch("SELECT wrong_codes FROM second_factors") == [{"wrong_codes": 0}]


async def test_a_complete_log_in_forgets_failed_codes(connect: MakeClient, app_key: str):
    for step in (0, 1):
        browser = await begin(connect)
        for _ in range(3):
            assert (await complete(browser, code="000000")).status_code == 401
        assert (await complete(browser, code=code_of(app_key, step))).status_code == 200


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ("UPDATE pending_logins SET expires = now()", 401),
        ("DELETE FROM pending_logins", 401),
        (f"UPDATE users SET disabled = true WHERE username = '{USER}'", 403),
        (f"UPDATE users SET locked = true WHERE username = '{USER}'", 403),
        (f"DELETE FROM users WHERE username = '{USER}'", 401),
    ],
)
async def test_a_pending_log_in_ends(
    connect: MakeClient, app_key: str, db: Database, ended: LiteralString, status: int
):
    browser = await begin(connect)
    await db.write(ended)
    refused = await complete(browser, code=code_of(app_key))
    assert (refused.status_code, "set-cookie" in refused.headers) == (status, False)


async def test_a_new_password_ends_a_pending_log_in(connect: MakeClient, app_key: str, user: Client, admin: Client):
    browser = await begin(connect)
    await admin.change(f"/api/v1/users/{await user.own_id()}", password="another one!")
    assert (await complete(browser, code=code_of(app_key))).status_code == 401


async def test_a_new_password_keeps_the_second_factors(app_key: str, user: Client, admin: Client, connect: MakeClient):
    await admin.change(f"/api/v1/users/{await user.own_id()}", password="another one!")
    browser = await connect()
    body = {"username": USER, "password": "another one!"}
    assert (await browser.post("/api/v1/login", json=body, headers=SAME_ORIGIN)).status_code == 202


async def test_a_log_in_under_way_needs_a_factor_that_is_added_meanwhile(
    user: Client, connect: MakeClient, monkeypatch: pytest.MonkeyPatch
):
    clear, browser = credentials.clear_attempts, await connect()

    async def meanwhile(*args: Any) -> None:
        await enroll_app(user)
        await clear(*args)

    monkeypatch.setattr(credentials, "clear_attempts", meanwhile)
    body = {"username": USER, "password": USERS_PASSWORD}
    answer = await browser.post("/api/v1/login", json=body, headers=SAME_ORIGIN)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "while you logged in" in answer.json()["detail"]


async def test_a_pending_log_in_is_completed_once(connect: MakeClient, app_key: str):
    browser = await begin(connect)
    token = browser.cookies[PENDING]
    assert (await complete(browser, code=code_of(app_key))).status_code == 200
    assert PENDING not in browser.cookies
    thief = await connect()
    thief.cookies.set(PENDING, token)
    assert (await thief.post("/api/v1/login/second-factor", json={"code": code_of(app_key, 1)})).status_code == 401


async def test_own_factors_do_not_complete_the_log_in_of_another(connect: MakeClient, app_key: str, ada: Client):
    own_key, codes = await enroll_app(ada)
    victim = await begin(connect)
    assert (await complete(victim, code=code_of(own_key))).status_code == 401
    assert (await complete(victim, recovery_code=codes[0])).status_code == 401
    assert (await complete(await begin(connect, ADA), recovery_code=codes[0])).status_code == 200, "it was not used"


async def test_a_log_in_begun_elsewhere_ends_nothing_here(connect: MakeClient, app_key: str, user: Client):
    before = user.cookies["__Host-greenroom"]
    await begin(connect)
    assert (await user.get("/api/v1/me")).status_code == 200
    assert user.cookies["__Host-greenroom"] == before


async def test_a_log_in_that_completes_gets_a_new_token(connect: MakeClient, app_key: str):
    browser = await begin(connect)
    browser.cookies.set("__Host-greenroom", "planted by an attacker")
    done = await complete(browser, code=code_of(app_key))
    assert "__Host-greenroom=" in done.headers["set-cookie"]
    thief = await connect()
    thief.cookies.set("__Host-greenroom", "planted by an attacker")
    assert (await thief.get("/api/v1/me")).status_code == 401


async def test_without_a_pending_log_in_no_factor_is_checked(anonymous: Client):
    for path, body in (("", {"code": "123456"}), ("/passkey", None)):
        answer = await anonymous.post(f"/api/v1/login/second-factor{path}", json=body)
        assert (answer.status_code, "enter the password again" in answer.json()["detail"]) == (401, True)


async def test_a_log_in_link_needs_no_second_factor(connect: MakeClient, admin: Client, app_key: str):
    link = (await admin.post("/api/public/get_login", json={"target_user": {"username": USER}})).json()["url"]
    body = {"token": link.rpartition("/")[2]}
    browser = await connect()
    assert (await browser.post("/api/v1/login/link", json=body, headers=SAME_ORIGIN)).status_code == 200
