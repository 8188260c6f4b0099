"""Log in, stay logged in, log out; and the refusals."""

from __future__ import annotations

import secrets
from typing import Any, LiteralString

import httpx2
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from tests.database.api.client import ADMIN, PASSWORD, SAME_ORIGIN, Client, MakeClient

from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.db.access import credentials
from greenroom.db.database import Database
from greenroom.kit.passwords import MEMORY_KIB, PASSES, Passwords, PasswordVerdict


async def log_in(client: Client, username: str = ADMIN, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/api/v1/login", json={"username": username, "password": password}, headers=SAME_ORIGIN)


def stored_form(password: str, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB) -> str:
    """Return the stored form of a password as it was typed."""
    hasher = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=passes, lanes=1, memory_cost=memory_kib)
    return hasher.derive_phc_encoded(password.encode())


async def test_the_cookie_is_out_of_reach_of_pages(anonymous: Client):
    answer = await log_in(anonymous)
    assert answer.status_code == 200
    log_in_cookie, device_cookie = answer.headers.get_list("set-cookie")
    for cookie, name, site in ((log_in_cookie, "", "lax"), (device_cookie, "-device", "strict")):
        assert cookie.startswith(f"__Host-greenroom{name}=")
        assert {"Secure", "HttpOnly", "Path=/", f"SameSite={site}"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


async def test_me_says_who_and_what_and_why(logged_in: MakeClient):
    browser = await logged_in()
    me = await browser.read("/api/v1/me")
    assert me["user"]["username"] == ADMIN
    assert me["user"]["password_once"]
    assert "global_admin" in me["permissions"]
    assert "zones_modify" in me["permissions"]
    assert me["settings"]["allow_kasm_audio"] is True
    assert me["setting_sources"]["allow_kasm_audio"] == "`allow_kasm_audio` = true from group All Users, priority 1000"
    assert "password_hash" not in me["user"]


async def test_wrong_name_and_wrong_password_look_the_same(anonymous: Client):
    first = await log_in(anonymous, password="wrong")
    second = await log_in(anonymous, username="unknown")
    assert first.status_code == second.status_code == 401
    assert first.json()["detail"] == second.json()["detail"]


@pytest.mark.parametrize("username", [f"{ADMIN} ", f" {ADMIN}", f"{ADMIN}\u00a0", f"\t{ADMIN.upper()}\n"])
async def test_spaces_at_the_ends_of_a_name_are_ignored(connect: MakeClient, admin: Client, username: str):
    client = await connect()
    for _ in range(5):
        wrong = await client.post("/api/v1/login", json={"username": username, "password": "wrong"})
        assert wrong.status_code == 401
    throttled = await client.post("/api/v1/login", json={"username": ADMIN, "password": "wrong"})
    assert throttled.status_code == 429, "both forms of the name are counted together"
    elsewhere = await connect(address="192.0.2.7")
    assert (await elsewhere.post("/api/v1/login", json={"username": username, "password": PASSWORD})).status_code == 200
    found = await admin.post("/api/public/get_user", json={"target_user": {"username": username}})
    assert found.json()["user"]["username"] == ADMIN


async def test_an_unknown_name_costs_a_password_check_too(anonymous: Client, monkeypatch: pytest.MonkeyPatch):
    verified: list[str | None] = []
    verify = Passwords.verify

    async def counting(self: Passwords, stored: str | None, *args: Any, **more: Any) -> PasswordVerdict:
        verified.append(stored)
        return await verify(self, stored, *args, **more)

    monkeypatch.setattr(Passwords, "verify", counting)
    await log_in(anonymous, username="unknown")
    assert verified == [None]


async def test_five_failures_throttle_one_account_from_one_address(connect: MakeClient):
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


async def test_logging_in_again_ends_the_log_in_before(logged_in: MakeClient, connect: MakeClient):
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
async def test_a_log_in_ends(logged_in: MakeClient, db: Database, ended: LiteralString):
    browser = await logged_in()
    assert (await browser.get("/api/v1/me")).status_code == 200
    await db.write(ended)
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_log_out_ends_the_log_in_and_raises_the_epoch(logged_in: MakeClient, db: Database):
    browser = await logged_in()
    before = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (ADMIN,))
    assert (await browser.post("/api/v1/logout")).status_code == 204
    after = await db.fetch_one("SELECT auth_epoch FROM users WHERE username = %s", (ADMIN,))
    assert before is not None
    assert after is not None
    assert after["auth_epoch"] == before["auth_epoch"] + 1
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_a_log_in_names_a_disabled_user_only_with_the_right_password(
    admin: Client, user: Client, anonymous: Client
):
    me = (await user.read("/api/v1/me"))["user"]
    await admin.change(f"/api/v1/users/{me['user_id']}", disabled=True)
    assert (await user.get("/api/v1/me")).status_code == 401, "the user's log-ins ended"
    assert (await log_in(anonymous, me["username"], "quite ordinary")).status_code == 403
    assert (await log_in(anonymous, me["username"], "wrong")).status_code == 401


async def test_changing_the_own_password(logged_in: MakeClient, anonymous: Client, connect: MakeClient):
    browser, other, thief = await logged_in(), await logged_in(), await connect()
    thief.cookies.set(LOGIN_COOKIE, browser.cookies[LOGIN_COOKIE], domain="127.0.0.1")
    change = {"password": "wrong", "new_password": "correct horse battery"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 403
    change = {"password": PASSWORD, "new_password": "short"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 422
    change = {"password": PASSWORD, "new_password": "correct horse battery"}
    assert (await browser.post("/api/v1/me/password", json=change)).status_code == 204
    assert (await other.get("/api/v1/me")).status_code == 401, "other log-ins ended"
    assert (await thief.get("/api/v1/me")).status_code == 401, "this log-in has a new token"
    assert not (await browser.read("/api/v1/me"))["user"]["password_once"]
    assert (await log_in(anonymous)).status_code == 401
    assert (await log_in(anonymous, password="correct horse battery")).status_code == 200


async def test_half_a_character_is_no_secret_and_no_defect(anonymous: Client, user: Client):
    headers = {"Content-Type": "application/json", **SAME_ORIGIN}
    for client, method, path, body in (
        (anonymous, "POST", "/api/v1/login", rb'{"username": "x", "password": "\ud800"}'),
        (anonymous, "POST", "/api/v1/login/link", rb'{"token": "\ud800"}'),
        (user, "POST", "/api/v1/me/password", rb'{"password": "\ud800", "new_password": "\ud800"}'),
        (user, "PATCH", "/api/v1/me/attributes", rb'{"ssh_private_key": "\ud800"}'),
    ):
        answer = await client.request(method, path, content=body, headers=headers)
        assert (answer.status_code, "unpaired surrogate" in answer.json()["detail"]) == (422, True), path


async def test_rehashing_a_password_at_a_log_in_does_not_revive_an_old_one(
    anonymous: Client, db: Database, monkeypatch: pytest.MonkeyPatch
):
    await db.write("UPDATE users SET password_hash = %s", (stored_form(PASSWORD, passes=1, memory_kib=64),))
    hashed = Passwords.hash

    async def meanwhile(self: Passwords, password: str, **more: Any) -> str:
        form = stored_form("another, given by an administrator", passes=1, memory_kib=64)
        await db.write("UPDATE users SET password_hash = %s", (form,))
        return await hashed(self, password, **more)

    monkeypatch.setattr(Passwords, "hash", meanwhile)
    await log_in(anonymous)
    monkeypatch.undo()
    assert (await log_in(anonymous)).status_code == 401
    assert (await log_in(anonymous, password="another, given by an administrator")).status_code == 200
    (stored,) = await db.fetch("SELECT password_hash FROM users")
    verdict = await Passwords().verify(stored["password_hash"], "another, given by an administrator")
    assert verdict == PasswordVerdict(is_correct=True, outdated=False)


COMPOSED, DECOMPOSED = "gr\u00fcn wie B\u00e4ume \ufb01x", "gru\u0308n wie Ba\u0308ume fix"


async def test_a_password_is_right_in_each_form_that_a_keyboard_sends(admin: Client, anonymous: Client):
    await admin.make("/api/v1/users", username="ann", password=COMPOSED)
    for typed in (COMPOSED, DECOMPOSED):
        assert (await log_in(anonymous, "ann", typed)).status_code == 200


@pytest.mark.parametrize("change", [{"password": "another one!"}, {"disabled": True}, {"locked": True}])
async def test_no_log_in_under_way_outlives_a_change_of_its_account(
    admin: Client, user: Client, anonymous: Client, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
):
    me = await user.own_id()
    clear = credentials.clear_attempts

    async def meanwhile(*args: Any) -> None:
        await admin.change(f"/api/v1/users/{me}", **change)
        await clear(*args)

    monkeypatch.setattr(credentials, "clear_attempts", meanwhile)
    answer = await log_in(anonymous, "user@greenroom.local", "quite ordinary")
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "while you logged in" in answer.json()["detail"]
    assert (await anonymous.get("/api/v1/me")).status_code == 401


async def test_changing_ones_password_does_not_overwrite_a_concurrent_reset(
    admin: Client, user: Client, anonymous: Client, monkeypatch: pytest.MonkeyPatch
):
    me = await user.own_id()
    clear = credentials.clear_attempts

    async def meanwhile(*args: Any) -> None:
        await admin.change(f"/api/v1/users/{me}", password="given by another")
        await clear(*args)

    monkeypatch.setattr(credentials, "clear_attempts", meanwhile)
    change = {"password": "quite ordinary", "new_password": "correct horse battery"}
    assert (await user.post("/api/v1/me/password", json=change)).status_code == 403
    monkeypatch.undo()
    assert (await log_in(anonymous, "user@greenroom.local", "given by another")).status_code == 200


async def test_administrators_change_their_own_password_only_with_the_present_one(logged_in: MakeClient):
    browser = await logged_in()
    path = f"PATCH /api/v1/users/{await browser.own_id()}"
    assert "the present password" in await browser.refused(409, path, {"password": "correct horse battery"})
    await logged_in()


async def test_log_ins_work_with_the_longest_times_that_can_be_set(admin: Client, logged_in: MakeClient):
    changes = {"session_lifetime_s": 3_153_600_000, "session_idle_s": 3_153_600_000, "login_window_s": 3_153_600_000}
    await admin.change("/api/v1/settings", **changes)
    browser = await logged_in()
    assert len(await browser.read("/api/v1/me/logins")) == 1


async def test_no_password_reaches_log_or_answer(anonymous: Client, db: Database, app: object, user: Client):
    answer = await anonymous.post("/api/v1/login", json={"username": "x", "password": 12345678901})
    assert answer.status_code == 422
    assert "12345678901" not in answer.text


async def test_wrong_present_passwords_are_throttled_like_log_ins(logged_in: MakeClient):
    browser = await logged_in()
    wrong = {"password": "wrong", "new_password": "correct horse battery"}
    for _ in range(5):
        assert (await browser.post("/api/v1/me/password", json=wrong)).status_code == 403
    right = {"password": PASSWORD, "new_password": "correct horse battery"}
    refused = await browser.post("/api/v1/me/password", json=right)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
    assert (await log_in(browser)).status_code == 429, "both count together"


# Log-ins of a user ------------------------------------------------------------------------------------------------


async def test_log_ins_are_listed_and_ended_one_by_one(logged_in: MakeClient, db: Database):
    here, there = await logged_in(), await logged_in()
    listed = await here.read("/api/v1/me/logins")
    assert sorted(login["current"] for login in listed) == [False, True]
    assert {login["client_ip"] for login in listed} == {"192.0.2.1"}
    assert "token" not in str(listed)
    other = next(login["login_id"] for login in listed if not login["current"])
    epoch = await db.fetch_one("SELECT auth_epoch FROM users")
    assert (await here.delete(f"/api/v1/me/logins/{other}")).status_code == 204
    assert (await there.get("/api/v1/me")).status_code == 401
    assert (await here.get("/api/v1/me")).status_code == 200
    assert await db.fetch_one("SELECT auth_epoch FROM users") != epoch, "streams opened from there are cut"
    assert (await here.delete(f"/api/v1/me/logins/{other}")).status_code == 404


async def test_an_administrator_sees_and_ends_log_ins_of_others(admin: Client, user: Client, logged_in: MakeClient):
    me = await user.own_id()
    address = f"/api/v1/users/{me}/logins"
    (login,) = await admin.read(address)
    assert login["current"] is False
    boss = await logged_in()
    own = (await boss.read("/api/v1/me/logins"))[0]["login_id"]
    assert (await admin.delete(f"{address}/{own}")).status_code == 404, "another user's"
    assert (await admin.delete(f"{address}/{login['login_id']}")).status_code == 204
    assert (await user.get("/api/v1/me")).status_code == 401
    again = await logged_in("user@greenroom.local", "quite ordinary")
    assert (await admin.delete(address)).status_code == 204
    assert (await again.get("/api/v1/me")).status_code == 401
    assert (await boss.get("/api/v1/me")).status_code == 200


async def test_log_ins_of_others_are_shown_only_with_the_permission(user: Client, logged_in: MakeClient):
    boss = (await (await logged_in()).get("/api/v1/me")).json()["user"]["user_id"]
    assert (await user.get(f"/api/v1/users/{boss}/logins")).status_code == 403


# Links that log in once -------------------------------------------------------------------------------------------


async def link_for(admin: Client, username: str) -> httpx2.Response:
    return await admin.post("/api/public/get_login", json={"target_user": {"username": username}})


async def use(client: Client, url: str) -> httpx2.Response:
    token = url.rpartition("/")[2]
    return await client.post("/api/v1/login/link", json={"token": token}, headers=SAME_ORIGIN)


async def test_a_link_logs_in_once(admin: Client, user: Client, anonymous: Client, connect: MakeClient, db: Database):
    url = (await link_for(admin, "user@greenroom.local")).json()["url"]
    assert url.startswith("https://")
    assert "/#/connect/login/" in url
    assert url.rpartition("/")[2] not in str(await db.fetch("SELECT token_hash::text FROM login_links", {}))
    answer = await use(anonymous, url)
    assert (answer.status_code, answer.json()["user"]["username"]) == (200, "user@greenroom.local")
    assert (await anonymous.get("/api/v1/me")).status_code == 200
    assert (await use(await connect(), url)).status_code == 401


@pytest.mark.parametrize(
    "ended",
    [
        "UPDATE login_links SET expires = now()",
        "UPDATE users SET disabled = true WHERE username = 'user@greenroom.local'",
        "UPDATE users SET locked = true WHERE username = 'user@greenroom.local'",
        "DELETE FROM users WHERE username = 'user@greenroom.local'",
    ],
)
async def test_a_link_does_not_outlive_its_user(
    admin: Client, user: Client, anonymous: Client, db: Database, ended: LiteralString
):
    url = (await link_for(admin, "user@greenroom.local")).json()["url"]
    await db.write(ended)
    answer = await use(anonymous, url)
    assert answer.status_code in (401, 403)
    assert "set-cookie" not in answer.headers


async def test_a_new_password_ends_links_that_wait(admin: Client, user: Client, anonymous: Client):
    url = (await link_for(admin, "user@greenroom.local")).json()["url"]
    me = await user.own_id()
    await admin.change(f"/api/v1/users/{me}", password="another one!")
    assert (await use(anonymous, url)).status_code == 401


async def test_a_link_in_use_does_not_outlive_a_new_password(
    admin: Client, user: Client, anonymous: Client, monkeypatch: pytest.MonkeyPatch
):
    url = (await link_for(admin, "user@greenroom.local")).json()["url"]
    me = await user.own_id()
    redeem = credentials.use_login_link

    async def meanwhile(*args: Any) -> Any:
        used = await redeem(*args)
        await admin.change(f"/api/v1/users/{me}", password="another one!")
        return used

    monkeypatch.setattr(credentials, "use_login_link", meanwhile)
    answer = await use(anonymous, url)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


async def test_a_program_gets_no_link_that_logs_in_a_user_above_it(with_key: MakeClient, user: Client):
    key = await with_key("users_auth_session", "user")
    assert (await link_for(key, "user@greenroom.local")).status_code == 200
    refused = await link_for(key, ADMIN)
    assert (refused.status_code, set(refused.json())) == (403, {"error_message"})
