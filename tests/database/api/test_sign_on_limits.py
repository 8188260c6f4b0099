"""Floods of wrong answers, and providers that hang: other addresses and local accounts remain usable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from joserfc import jwt
from tests.database.api.client import ADMIN, PASSWORD, SAME_ORIGIN, Client, MakeClient
from tests.database.api.signing_on import forged, offer
from tests.database.api.test_sign_on_endings import BACK, FRONT, log_out_token
from tests.support.oidc import Forger

CALLBACK = "/api/v1/sign-on/campus/callback"

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture
async def offered(forger: Forger, admin: Client) -> None:
    await offer(admin, forger.issuer, create_users=True)


async def limit(admin: Client, failures: int) -> None:
    """Limit the failures of an address."""
    await admin.change("/api/v1/settings", max_login_attempts_per_address=failures)


async def log_in_locally(browser: Client) -> int:
    body = {"username": ADMIN, "password": PASSWORD}
    return (await browser.post("/api/v1/login", json=body, headers=SAME_ORIGIN)).status_code


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("path", [CALLBACK, f"{CALLBACK}?code=c&state=s", "/api/v1/sign-on/unknown/callback"])
async def test_refused_log_ins_are_throttled_by_address(forger: Forger, admin: Client, connect: MakeClient, path: str):
    await limit(admin, 3)
    attacker, elsewhere = await connect(address="203.0.113.9"), await connect(address="192.0.2.7")
    answers = [await attacker.get(path) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [303] * 3 + [429] * 2
    assert answers[-1].json()["detail"].startswith("Too many failed attempts; try again in ")
    assert int(answers[-1].headers["retry-after"]) > 0
    assert await log_in_locally(attacker) == 200
    assert await forged(forger, elsewhere) == "/"


@pytest.mark.usefixtures("offered")
async def test_answers_with_wrong_tokens_are_throttled(forger: Forger, admin: Client, connect: MakeClient):
    await limit(admin, 1)
    attacker, forger.claims = await connect(address="203.0.113.9"), {"aud": "other"}
    assert await forged(forger, attacker) == "/?sign-on=wrong-token"
    assert "Too many failed attempts" in await attacker.refused(429, f"GET {CALLBACK}")
    assert len(forger.token_requests) == 1


@pytest.mark.usefixtures("offered")
async def test_log_ins_that_succeed_are_not_counted(forger: Forger, admin: Client, connect: MakeClient):
    await limit(admin, 1)
    for _ in range(3):
        assert await forged(forger, await connect(address="198.51.100.4")) == "/"


@pytest.mark.usefixtures("offered")
async def test_wrong_passwords_do_not_block_log_ins_through_providers(
    forger: Forger, admin: Client, connect: MakeClient
):
    await limit(admin, 1)
    browser = await connect(address="203.0.113.9")
    for status in (401, 429):
        body = {"username": ADMIN, "password": "wrong"}
        assert (await browser.post("/api/v1/login", json=body, headers=SAME_ORIGIN)).status_code == status
    assert await forged(forger, browser) == "/"


@pytest.mark.usefixtures("offered")
async def test_wrong_log_outs_are_throttled_and_right_ones_are_not(forger: Forger, admin: Client, connect: MakeClient):
    await limit(admin, 1)
    browser, sender = await connect(), await connect(address="203.0.113.9")
    await forged(forger, browser)
    wrong = log_out_token(forger, aud="other")
    answers = [(await sender.post(BACK, data=wrong)).status_code for _ in range(11)]
    assert answers == [400] * 10 + [429]
    assert (await sender.get(FRONT, params={"iss": forger.issuer, "sid": "a\0"})).status_code == 429
    assert (await sender.post(BACK, data=log_out_token(forger))).status_code == 200
    assert (await browser.get("/api/v1/me")).status_code == 401


@pytest.mark.usefixtures("offered")
async def test_guessed_ids_of_log_ins_are_throttled(forger: Forger, admin: Client, connect: MakeClient):
    await limit(admin, 1)
    browser, attacker, forger.claims = await connect(), await connect(address="203.0.113.9"), {"sid": "one"}
    await forged(forger, browser)
    guesses = [{"iss": forger.issuer, "sid": f"guess-{number}"} for number in range(11)]
    answers = [(await attacker.get(FRONT, params=guess)).status_code for guess in guesses]
    assert answers == [200] * 10 + [429]
    assert (await browser.get("/api/v1/me")).status_code == 200


@pytest.mark.usefixtures("offered")
async def test_a_provider_that_hangs_during_a_log_in_delays_no_other_user(forger: Forger, connect: MakeClient):
    browser, elsewhere = await connect(), await connect()
    asked, answer = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hang() -> None:
        asked.set()
        await answer.wait()

    def sign(claims: dict[str, Any]) -> str:
        asyncio.run_coroutine_threadsafe(hang(), loop).result(60)
        return jwt.encode({"alg": "RS256", "kid": forger.key.kid}, claims, forger.key)

    forger.sign = sign
    logging_in = asyncio.create_task(forged(forger, browser))
    await asked.wait()
    assert (await elsewhere.read("/api/v1/sign-on"))["providers"] == [{"name": "campus", "title": "Campus"}]
    assert await log_in_locally(elsewhere) == 200
    assert not logging_in.done()
    answer.set()
    assert await logging_in == "/"
