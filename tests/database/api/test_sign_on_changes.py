"""A provider is changed, disabled or deleted while users log in through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc import jwt
from tests.database.api.client import Client, MakeClient
from tests.database.api.signing_on import PROVIDERS, forged, forged_answer, offer, rows_of_users
from tests.database.locks import ended, waiting
from tests.support.oidc import Forger, forging_provider

from greenroom.db.database import Database
from greenroom.identity import provider_routes

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture
def forger() -> Iterator[Forger]:
    with forging_provider() as running:
        yield running


def during_token_request(forger: Forger, act: Callable[[], Awaitable[object]]) -> None:
    """Call `act` while the next token request waits for its answer."""
    loop = asyncio.get_running_loop()

    async def acted() -> None:
        await act()

    def sign(claims: dict[str, Any]) -> str:
        asyncio.run_coroutine_threadsafe(acted(), loop).result(60)
        return jwt.encode({"alg": "RS256", "kid": forger.key.kid}, claims, forger.key)

    forger.sign = sign


async def is_logged_in(browser: Client) -> bool:
    return (await browser.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize("change", ["disable", "delete"])
async def test_a_provider_that_ends_during_a_log_in_logs_nobody_in(
    forger: Forger, admin: Client, anonymous: Client, db: Database, change: str
):
    path = f"{PROVIDERS}/{(await offer(admin, forger.issuer, create_users=True))['provider_id']}"
    before = await rows_of_users(db)
    acts = {"disable": lambda: admin.patch(path, json={"enabled": False}), "delete": lambda: admin.delete(path)}
    during_token_request(forger, acts[change])
    assert await forged(forger, anonymous) == "/?sign-on=provider-disabled"
    assert await rows_of_users(db) == before


async def test_a_provider_that_is_disabled_during_a_link_links_no_identity(
    forger: Forger, admin: Client, logged_in: MakeClient, db: Database
):
    path = f"{PROVIDERS}/{(await offer(admin, forger.issuer))['provider_id']}"
    browser = await logged_in()
    url = (await browser.post("/api/v1/me/identities", json={"provider": "campus"})).json()["url"]
    during_token_request(forger, lambda: admin.patch(path, json={"enabled": False}))
    assert await forged_answer(forger, browser, url) == "/account?sign-on=provider-disabled"
    assert not await db.fetch("SELECT 1 FROM identities")


async def test_a_log_in_that_commits_while_its_provider_is_disabled_ends(
    forger: Forger, admin: Client, anonymous: Client, db: Database
):
    """The log-in holds the provider and waits for the user; the change waits for the provider."""
    path = f"{PROVIDERS}/{(await offer(admin, forger.issuer, create_users=True))['provider_id']}"
    await forged(forger, anonymous)
    async with db.transaction() as holder:
        await holder.execute("SELECT 1 FROM users FOR UPDATE")
        logging_in = asyncio.create_task(forged(forger, anonymous))
        await waiting(db, 1)
        disabling = asyncio.create_task(admin.change(path, enabled=False))
        await waiting(db, 2)
    assert (await ended(logging_in, disabling))[0] == "/"
    assert not await is_logged_in(anonymous)


async def test_a_provider_that_is_changed_while_it_is_deleted_remains_disabled(
    forger: Forger, admin: Client, app: FastAPI, db: Database, monkeypatch: pytest.MonkeyPatch
):
    path = f"{PROVIDERS}/{(await offer(admin, forger.issuer))['provider_id']}"

    async def change_title(*_: object) -> None:
        await db.write("UPDATE sign_on_providers SET title = 'Renamed'")

    monkeypatch.setattr(provider_routes, "end_logins", change_title)
    assert "was changed at the same time" in await admin.refused(409, f"DELETE {path}")
    assert (await admin.read(path))["enabled"] is False
    await app.state.logs.flush()
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'sign-on-provider-changed'")
    assert row["message"].endswith("changed sign-on provider Campus: enabled true → false")
