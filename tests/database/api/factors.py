"""Requests for second factors, for the tests of log-ins with them."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx2
from tests.database.api.client import SAME_ORIGIN, USER, USERS_PASSWORD, Client, MakeClient
from tests.support.authenticator import Authenticator

from greenroom.core.access.second_factors import STEP_S, totp_code

FACTORS = "/api/v1/me/second-factors"
BY_NAME = "localhost:8443"
"""The header Host of a console that is opened by its name; passkeys need one."""


def code_of(key: str, steps: int = 0) -> str:
    """The code of an app with this key, now or some steps later."""
    padded = key + "=" * (-len(key) % 8)
    return totp_code(base64.b32decode(padded), int(time.time()) // STEP_S + steps)


async def enroll_app(browser: Client) -> tuple[str, list[str]]:
    """Add an authenticator app whose next unused code is that of the present step; return its key and the recovery
    codes."""
    started = await browser.post(f"{FACTORS}/totp/start")
    assert started.status_code == 200, started.text
    key = started.json()["totp_key"]
    return key, (await add_app(browser, key))["recovery_codes"]


async def add_app(browser: Client, key: str) -> dict[str, Any]:
    """Add the app with its previous code; with the next code if that one expired during the request."""
    answer = await browser.post(f"{FACTORS}/totp", json={"code": code_of(key, -1)})
    if answer.status_code == 422:
        return await browser.make(f"{FACTORS}/totp", code=code_of(key, -1))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def enroll_passkey(browser: Client, passkey: Authenticator, name: str = "Key") -> httpx2.Response:
    started = await browser.post(f"{FACTORS}/passkey/start")
    assert started.status_code == 200, started.text
    body = {"name": name, "credential": passkey.create(started.json()["options"])}
    return await browser.post(f"{FACTORS}/passkey", json=body)


async def begin(connect: MakeClient, username: str = USER, **options: Any) -> Client:
    """A browser whose log-in waits for the second factor."""
    browser = await connect(**options)
    browser.headers.update({**SAME_ORIGIN, "Host": BY_NAME})
    answer = await browser.post("/api/v1/login", json={"username": username, "password": USERS_PASSWORD})
    assert answer.status_code == 202, answer.text
    return browser


async def complete(browser: Client, **factor: Any) -> httpx2.Response:
    return await browser.post("/api/v1/login/second-factor", json=factor)


async def use_passkey(browser: Client, passkey: Authenticator) -> httpx2.Response:
    options = await browser.post("/api/v1/login/second-factor/passkey")
    assert options.status_code == 200, options.text
    return await complete(browser, passkey=passkey.use(options.json()["options"]))
