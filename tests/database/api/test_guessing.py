"""Guessing passwords, links and keys: throttled by address and by account, without locking out users."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, KEY, PASSWORD, SAME_ORIGIN, Client, MakeClient

from greenroom.api.diagnostics.audit import REPEAT_WINDOW_S
from greenroom.api.events import MAX_SUBSCRIPTIONS
from greenroom.db.database import Database
from greenroom.kit.passwords import MAX_CONCURRENT_CHECKS, Passwords, PasswordVerdict

WRONG = "wrong"


async def guess(client: Client, username: str, password: str = WRONG) -> int:
    body = {"username": username, "password": password}
    return (await client.post("/api/v1/login", json=body, headers=SAME_ORIGIN)).status_code


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """Sixty log-ins at once wait for its eight connections, which takes time on a busy machine."""
    return {"acquire_timeout_s": 60}


@pytest.fixture
async def strict(admin: Client, frozen_limits: None) -> None:
    """Limit the failures of an address to ten."""
    await admin.change("/api/v1/settings", max_login_attempts_per_address=10)


async def rows_of(db: Database, app: FastAPI, code: str) -> list[dict[str, Any]]:
    await app.state.logs.flush()
    return await db.fetch("SELECT message, details FROM logs WHERE code = %s ORDER BY log_id", (code,))


@pytest.mark.usefixtures("strict")
async def test_one_password_at_many_accounts_is_throttled_by_address(connect: MakeClient):
    attacker, elsewhere = await connect(address="203.0.113.9"), await connect(address="192.0.2.7")
    answers = [await guess(attacker, f"user-{number}") for number in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert await guess(attacker, ADMIN, PASSWORD) == 429
    assert await guess(elsewhere, ADMIN, PASSWORD) == 200


@pytest.mark.usefixtures("strict")
async def test_waiting_guesses_count_before_they_are_checked(connect: MakeClient):
    attacker = await connect(address="203.0.113.9")
    answers = await asyncio.gather(*(guess(attacker, f"user-{number}") for number in range(40)))
    assert answers.count(401) <= 10 + MAX_CONCURRENT_CHECKS - 1


@pytest.mark.usefixtures("strict")
async def test_an_address_that_is_right_is_never_throttled(connect: MakeClient, admin: Client):
    hall = await connect(address="198.51.100.4")
    for number in range(12):
        body = {"username": f"user-{number}", "password": "quite ordinary"}
        assert (await admin.post("/api/v1/users", json=body)).status_code == 201
    answers = await asyncio.gather(*(guess(hall, f"user-{number}", "quite ordinary") for number in range(12)))
    assert answers == [200] * 12


@pytest.mark.usefixtures("strict")
async def test_all_addresses_of_one_customer_count_together(connect: MakeClient):
    clients = [await connect(address=f"2001:db8:1:2::{number:x}") for number in range(1, 12)]
    answers = [await guess(client, f"user-{number}") for number, client in enumerate(clients)]
    assert answers == [401] * 10 + [429]


async def test_all_addresses_of_one_customer_are_one_for_an_account_too(connect: MakeClient, db: Database):
    clients = [await connect(address=f"2001:db8:1:2::{number:x}") for number in range(1, 9)]
    assert await guess(clients[0], ADMIN, PASSWORD) == 200
    await db.write(
        "INSERT INTO login_failures (username_lower, client_ip)"
        " SELECT %s, '203.0.113.' || n FROM generate_series(1, 22) n",
        (ADMIN,),
    )
    assert await guess(clients[1], ADMIN, PASSWORD) == 200, "their user is logged in at one of them"
    assert [await guess(client, ADMIN) for client in clients[2:]] == [401] * 5 + [429]


@pytest.mark.usefixtures("strict")
async def test_links_and_keys_are_throttled_but_the_right_key_never(connect: MakeClient):
    attacker = await connect(address="203.0.113.9")
    for wanted in [401] * 10 + [429]:
        answer = await attacker.post("/api/v1/login/link", json={"token": "wrong"}, headers=SAME_ORIGIN)
        assert answer.status_code == wanted
    wrong = await connect((KEY[0], "wrong"), "203.0.113.9")
    answers = [(await wrong.get("/api/v1/zones")).status_code for _ in range(101)]
    assert answers == [401] * 100 + [429]
    assert (await wrong.post("/api/public/get_users", json={})).status_code == 429
    right = await connect(KEY, "203.0.113.9")
    assert (await right.get("/api/v1/zones")).status_code == 200


ID = "00000000-0000-4000-8000-000000000000"
BEARER = {"Authorization": "Bearer wrong"}


@pytest.mark.parametrize(
    ("path", "sent", "refusal"),
    [
        ("/api/v1/shares/0123abcd/return", {"json": {"session_token": "wrong"}}, 404),
        ("/api/v1/connect", {"json": {"user_id": ID, "session_id": ID, "session_token": "wrong"}}, 404),
        ("/api/v1/join/agent", {"json": {"token": "wrong"}}, 401),
        (f"/api/v1/leases/{ID}/actions", {"json": {}, "headers": BEARER}, 401),
        ("/mcp", {"json": {}, "headers": BEARER}, 401),
        ("/api/internal/manager-requests", {"json": {}, "headers": BEARER}, 401),
        ("/api/internal/viewers", {"json": {}, "headers": BEARER}, 401),
    ],
)
async def test_wrong_tokens_are_throttled_by_address(
    connect: MakeClient, admin: Client, path: str, sent: dict[str, Any], refusal: int
):
    await admin.change("/api/v1/settings", max_login_attempts_per_address=1)
    attacker, elsewhere = await connect(address="203.0.113.9"), await connect(address="192.0.2.7")
    answers = [(await attacker.post(path, **sent)).status_code for _ in range(11)]
    assert answers == [refusal] * 10 + [429]
    assert (await elsewhere.post(path, **sent)).status_code == refusal


async def test_twelve_addresses_that_guess_lock_no_user_out(connect: MakeClient, db: Database):
    known = await connect(address="192.0.2.50")
    assert await guess(known, ADMIN, PASSWORD) == 200
    await db.write("DELETE FROM login_sessions")
    await db.write(
        "INSERT INTO login_failures (username_lower, client_ip, at)"
        " SELECT %s, '203.0.113.' || n, now() - make_interval(secs => age)"
        " FROM generate_series(1, 12) n, unnest(ARRAY[1, 20, 40, 60, 80]) age",
        (ADMIN,),
    )
    on_a_new_device = await connect(address="192.0.2.51")
    assert await guess(on_a_new_device, ADMIN, PASSWORD) == 200
    await db.write("DELETE FROM login_sessions")
    moved = await connect(address="203.0.113.1")
    assert await guess(moved, ADMIN, PASSWORD) == 429
    moved.cookies.update(known.cookies)
    assert await guess(moved, ADMIN, PASSWORD) == 200, "the device is known, even at an address that guesses"


async def test_those_who_never_failed_take_turns_with_each_other(connect: MakeClient, db: Database):
    await db.write(
        "INSERT INTO login_failures (username_lower, client_ip)"
        " SELECT %s, '203.0.113.' || n FROM generate_series(1, 22) n",
        (ADMIN,),
    )
    stranger = await connect(address="192.0.2.51")
    body = {"username": ADMIN, "password": PASSWORD}
    refused = await stranger.post("/api/v1/login", json=body, headers=SAME_ORIGIN)
    assert (refused.status_code, 1 <= int(refused.headers["retry-after"]) <= 5) == (429, True)


async def test_a_known_device_has_few_attempts_until_the_password_changes(connect: MakeClient, user: Client):
    name, password = "user@greenroom.local", "quite ordinary"
    elsewhere = await connect(address="192.0.2.50")
    assert await guess(elsewhere, name, password) == 200
    assert [await guess(elsewhere, name) for _ in range(6)] == [401] * 5 + [429]
    strangers = await connect(address="192.0.2.50")
    assert await guess(strangers, name, password) == 200, "they were not counted for the address"
    new = "correct horse battery"
    change = {"password": password, "new_password": new}
    answer = await user.post("/api/v1/me/password", json=change)
    assert (answer.status_code, "__Host-greenroom-device=" in answer.headers["set-cookie"]) == (204, True)
    assert [await guess(strangers, name) for _ in range(6)] == [401] * 5 + [429]
    assert await guess(elsewhere, name, new) == 429, "its cookie is for the password before: it is a stranger there"
    assert await guess(user, name, new) == 200


async def test_sixty_guessing_strangers_do_not_starve_a_right_log_in(
    connect: MakeClient, monkeypatch: pytest.MonkeyPatch
):
    checked: list[str] = []
    begun = asyncio.Event()
    verify = Passwords.verify

    async def noting(self: Passwords, stored: str | None, password: str, **more: Any) -> PasswordVerdict:
        before_check = more.pop("before_check")

        def noted() -> None:
            checked.append(password)
            begun.set()
            before_check()

        return await verify(self, stored, password, before_check=noted, **more)

    monkeypatch.setattr(Passwords, "verify", noting)
    flood, person = await connect(address="203.0.113.9"), await connect(address="192.0.2.7")
    strangers = [asyncio.create_task(guess(flood, f"stranger-{number}")) for number in range(60)]
    await begun.wait()
    assert await guess(person, ADMIN, PASSWORD) == 200
    before = checked.index(PASSWORD)
    await asyncio.gather(*strangers)
    assert before < len(checked) - 20, "it did not have to wait for all of them"


async def test_a_flood_of_wrong_log_ins_is_two_rows_with_their_number(connect: MakeClient, db: Database, app: FastAPI):
    attacker = await connect(address="203.0.113.9")
    for number in range(5):
        await guess(attacker, f"user-{number}\n\u202e")
        await attacker.post("/api/v1/login/link", json={"token": "wrong"}, headers=SAME_ORIGIN)
    first = await rows_of(db, app, "login-failed")
    assert [row["message"] for row in first] == [
        "A log-in as user-0\\u000a\\u202e from 203.0.113.9 failed",
        "A log-in by link from 203.0.113.9 failed",
    ]
    app.state.refusals.write_due(time.monotonic() + REPEAT_WINDOW_S)
    _, _, passwords, links = await rows_of(db, app, "login-failed")
    assert passwords["details"]["count"] == links["details"]["count"] == 4
    assert passwords["details"]["names"] == [f"user-{number}\\u000a\\u202e" for number in range(1, 5)]
    app.state.refusals.write_due(time.monotonic() + 3 * REPEAT_WINDOW_S)
    assert len(await rows_of(db, app, "login-failed")) == 4, "nothing more happened"


async def test_one_user_follows_events_twenty_times_at_most(app: FastAPI, user: Client):
    me = await user.own_id()
    following = [app.state.hub.subscription(me) for _ in range(MAX_SUBSCRIPTIONS)]
    for one in following:
        one.__enter__()
    assert "Close other windows" in await user.refused(429, "GET /api/v1/events")
    for one in following:
        one.__exit__(None, None, None)
