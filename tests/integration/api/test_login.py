"""Log in, stay logged in, log out; who is kept out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from greenroom.db.database import Database
from greenroom.kit.passwords import Passwords

Client = httpx.AsyncClient
Make = Callable[..., Awaitable[Client]]

ADMIN, PASSWORD = "admin@greenroom.local", "one-time secret"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


async def log_in(client: Client, username: str = ADMIN, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/login", json={"username": username, "password": password}, headers=SAME_ORIGIN)


async def test_the_cookie_is_out_of_reach_of_pages(anonymous: Client):
    answer = await log_in(anonymous)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-greenroom=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_me_says_who_and_what_and_why(logged_in: Make):
    browser = await logged_in()
    me = (await browser.get("/api/v1/me")).json()
    assert me["user"]["username"] == ADMIN
    assert me["user"]["password_once"]
    assert "global_admin" in me["permissions"]
    assert "zones_modify" in me["permissions"]
    assert me["settings"]["allow_kasm_audio"] is True
    assert me["setting_sources"]["allow_kasm_audio"] == "`allow_kasm_audio` = true from group All Users, priority 1000"
    assert "password_hash" not in me["user"]


async def test_wrong_name_and_wrong_password_look_the_same(anonymous: Client):
    first = await log_in(anonymous, password="wrong")
    second = await log_in(anonymous, username="nobody")
    assert first.status_code == second.status_code == 401
    assert first.json()["detail"] == second.json()["detail"]


async def test_an_unknown_name_costs_a_password_check_too(anonymous: Client, monkeypatch: pytest.MonkeyPatch):
    verified: list[str | None] = []
    verify = Passwords.verify

    async def counting(self: Passwords, stored: str | None, password: str) -> bool:
        verified.append(stored)
        return await verify(self, stored, password)

    monkeypatch.setattr(Passwords, "verify", counting)
    await log_in(anonymous, username="nobody")
    assert verified == [None]


async def test_five_failures_throttle_one_account_from_one_address(connect: Make):
    attacker, elsewhere = await connect(address="203.0.113.9"), await connect(address="192.0.2.7")
    for _ in range(5):
        assert (await log_in(attacker, password="wrong")).status_code == 401
    refused = await log_in(attacker)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert refused.json()["code"] == "too-many-requests"
    assert (await log_in(elsewhere)).status_code == 200, "the administrator is not locked out"


async def test_the_throttle_ends_with_its_window(anonymous: Client, db: Database):
    for _ in range(5):
        await log_in(anonymous, password="wrong")
    await db.write("UPDATE login_failures SET at = at - interval '301 s'")
    assert (await log_in(anonymous)).status_code == 200


async def test_a_success_forgets_the_failures_before(anonymous: Client):
    for _ in range(3):
        for _ in range(4):
            assert (await log_in(anonymous, password="wrong")).status_code == 401
        assert (await log_in(anonymous)).status_code == 200


async def test_logging_in_again_ends_the_log_in_before(logged_in: Make, connect: Make):
    browser = await logged_in()
    old = browser.cookies["__Host-greenroom"]
    await log_in(browser)
    stolen = await connect()
    stolen.cookies.set("__Host-greenroom", old)
    assert (await stolen.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize(
    "ended",
    [
        "UPDATE login_sessions SET expires = now()",
        "UPDATE login_sessions SET last_used = now() - interval '13 h'",
        "UPDATE users SET disabled = true",
        "UPDATE users SET locked = true",
    ],
)
async def test_a_log_in_ends(logged_in: Make, db: Database, ended: str):
    browser = await logged_in()
    assert (await browser.get("/api/v1/me")).status_code == 200
    await db.write(ended)  # pyright: ignore[reportArgumentType]
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_log_out_ends_the_log_in_and_raises_the_epoch(logged_in: Make, db: Database):
    browser = await logged_in()
    before = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (ADMIN,))
    assert (await browser.post("/api/v1/logout")).status_code == 204
    after = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (ADMIN,))
    assert before is not None
    assert after is not None
    assert after["auth_epoch"] == before["auth_epoch"] + 1
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_a_disabled_user_is_told_only_with_the_right_password(admin: Client, user: Client, anonymous: Client):
    me = (await user.get("/api/v1/me")).json()["user"]
    assert (await admin.patch(f"/api/v1/users/{me['user_id']}", json={"disabled": True})).status_code == 200
    assert (await user.get("/api/v1/me")).status_code == 401, "his log-ins ended"
    assert (await log_in(anonymous, me["username"], "quite ordinary")).status_code == 403
    assert (await log_in(anonymous, me["username"], "wrong")).status_code == 401


async def test_changing_the_own_password(logged_in: Make, anonymous: Client):
    browser, other = await logged_in(), await logged_in()
    change = {"password": "wrong", "new_password": "correct horse battery"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 403
    change = {"password": PASSWORD, "new_password": "short"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 422
    change = {"password": PASSWORD, "new_password": "correct horse battery"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 204
    assert (await other.get("/api/v1/me")).status_code == 401, "other log-ins ended"
    assert not (await browser.get("/api/v1/me")).json()["user"]["password_once"]
    assert (await log_in(anonymous)).status_code == 401
    assert (await log_in(anonymous, password="correct horse battery")).status_code == 200


async def test_no_password_reaches_log_or_answer(anonymous: Client, db: Database, app: object, user: Client):
    answer = await anonymous.post("/api/v1/login", json={"username": "x", "password": 12345678901})
    assert answer.status_code == 422
    assert "12345678901" not in answer.text
