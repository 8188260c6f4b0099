"""Log-ins through providers end: refused or failing checks, and log-out tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.signing_on import forged, log_in_at, offer
from tests.support.oidc import Forger, Provider, client_of, oidc_provider

from greenroom.db.database import Database
from greenroom.identity.checks import check_due_logins
from greenroom.identity.context import context_of
from greenroom.identity.tokens import LOGOUT_EVENT

BACK = "/api/v1/sign-on/campus/backchannel-logout"
FRONT = "/api/v1/sign-on/campus/frontchannel-logout"

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    logout = {"backchannel_logout_uri": "ISSUER/received", "backchannel_logout_session_required": True}
    with oidc_provider(client_of("campus", **logout)) as running:
        running.control(accounts={"ada": {"preferred_username": "ada"}})
        yield running


@pytest.fixture
async def browser(connect: MakeClient) -> Client:
    """A browser of a user; `anonymous` is the provider."""
    return await connect()


async def due(db: Database, unchecked_s: int = 60) -> None:
    """Make the checks of all log-ins due, after the time since their last check."""
    await db.write(
        "UPDATE provider_logins SET due = now(), checked = now() - make_interval(secs => %s)", (unchecked_s,)
    )


async def is_logged_in(browser: Client) -> bool:
    return (await browser.get("/api/v1/me")).status_code == 200


async def test_a_passed_check_keeps_the_log_in(
    provider: Provider, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await offer(admin, provider.issuer, create_users=True, check_s=60)
    await log_in_at(provider, anonymous, "ada")
    for _ in range(2):  # the second check uses the refresh token of the first
        await due(db)
        assert await check_due_logins(context_of(app.state)) == 1
    assert await is_logged_in(anonymous)
    (row,) = await db.fetch(
        "SELECT due > now() + interval '50 s' AS later, checked > now() - interval '50 s' AS checked"
        " FROM provider_logins"
    )
    assert row == {"later": True, "checked": True}


async def test_a_refused_refresh_token_ends_the_log_in(
    provider: Provider, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await offer(admin, provider.issuer, create_users=True, check_s=60)
    await log_in_at(provider, anonymous, "ada")
    provider.control(revoke=True)
    await due(db)
    await check_due_logins(context_of(app.state))
    assert not await is_logged_in(anonymous)
    await app.state.logs.flush()
    (row,) = await db.fetch("SELECT message FROM logs WHERE code = 'sign-on-ended'")
    assert "Campus no longer confirms it: The provider refused the request: invalid_grant" in row["message"]


async def test_a_provider_that_fails_ends_the_log_in_at_the_configured_time(
    provider: Provider, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await offer(admin, provider.issuer, create_users=True, check_s=60, check_grace_s=600)
    await log_in_at(provider, anonymous, "ada")
    provider.control(tokenStatus=503)
    try:
        await due(db, 600)
        await check_due_logins(context_of(app.state))
        assert await is_logged_in(anonymous)
        await due(db, 661)
        await check_due_logins(context_of(app.state))
        assert not await is_logged_in(anonymous)
    finally:
        provider.control(tokenStatus=0)


async def test_a_log_in_ends_if_its_refresh_token_cannot_be_decrypted(
    forger: Forger, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await offer(admin, forger.issuer, create_users=True, check_s=60, check_grace_s=600)
    await forged(forger, anonymous)
    await db.write("UPDATE provider_logins SET refresh_token_encrypted = 'written with another key'::bytea")
    await due(db, 600)
    await check_due_logins(context_of(app.state))
    assert await is_logged_in(anonymous)
    await due(db, 661)
    await check_due_logins(context_of(app.state))
    assert not await is_logged_in(anonymous)


async def test_without_checks_no_log_in_is_due(provider: Provider, admin: Client, anonymous: Client, app: FastAPI):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "ada")
    assert await check_due_logins(context_of(app.state)) == 0


async def test_a_log_out_at_the_provider_ends_the_log_in(
    provider: Provider, admin: Client, browser: Client, anonymous: Client
):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, browser, "ada")
    back = "post_logout_redirect_uri=https%3A%2F%2F127.0.0.1%3A8443%2F"
    await provider.log_out(f"{provider.issuer}/session/end?client_id=greenroom&{back}")
    (token,) = provider.control()["received"]
    assert await is_logged_in(browser)
    assert (await anonymous.post(BACK, data={"logout_token": token})).status_code == 200
    assert not await is_logged_in(browser)


async def test_a_user_who_logs_out_is_logged_out_at_the_provider(provider: Provider, admin: Client, browser: Client):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, browser, "ada")
    url = (await browser.post("/api/v1/sign-on/logout", headers=SAME_ORIGIN)).json()["url"]
    assert await provider.log_out(url) == "https://127.0.0.1:8443/"


def log_out_token(forger: Forger, key: RSAKey | None = None, **changes: Any) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": forger.issuer, "aud": "greenroom", "iat": now, "exp": now + 60, "jti": "j", "sub": "s-1"}
    claims |= {"events": {LOGOUT_EVENT: {}}} | changes
    return {"logout_token": jwt.encode({"alg": "RS256", "kid": forger.key.kid}, claims, key or forger.key)}


async def test_a_log_out_token_ends_the_log_ins_of_its_subject(
    forger: Forger, admin: Client, connect: MakeClient, anonymous: Client
):
    await offer(admin, forger.issuer, create_users=True)
    first, second = await connect(), await connect()
    await forged(forger, first)
    forger.claims = {"sub": "s-2", "preferred_username": "bob"}
    await forged(forger, second)
    answer = await anonymous.post(BACK, data=log_out_token(forger))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert not await is_logged_in(first)
    assert await is_logged_in(second)


async def test_a_log_out_token_with_a_session_ends_only_that_log_in(
    forger: Forger, admin: Client, connect: MakeClient, anonymous: Client
):
    await offer(admin, forger.issuer, create_users=True)
    browsers = [await connect(), await connect()]
    for browser, sid in zip(browsers, ("one", "two"), strict=True):
        forger.claims = {"sid": sid}
        await forged(forger, browser)
    assert (await anonymous.post(BACK, data=log_out_token(forger, sid="two"))).status_code == 200
    assert [await is_logged_in(browser) for browser in browsers] == [True, False]


async def test_a_log_out_token_does_not_end_later_log_ins(
    forger: Forger, admin: Client, browser: Client, anonymous: Client
):
    await offer(admin, forger.issuer, create_users=True)
    await forged(forger, browser)
    answer = await anonymous.post(BACK, data=log_out_token(forger, iat=int(time.time()) - 200))
    assert answer.status_code == 200
    assert await is_logged_in(browser)


async def test_a_repeated_log_out_token_does_not_end_the_next_log_in(
    forger: Forger, admin: Client, browser: Client, anonymous: Client
):
    await offer(admin, forger.issuer, create_users=True)
    await forged(forger, browser)
    token = log_out_token(forger)
    assert (await anonymous.post(BACK, data=token)).status_code == 200
    assert not await is_logged_in(browser)
    forger.claims = {"iat": int(time.time()) + 30}  # half a minute later, by the clock of the provider
    await forged(forger, browser)
    assert (await anonymous.post(BACK, data=token)).status_code == 200
    assert await is_logged_in(browser)


@pytest.mark.parametrize(
    "changes", [{"aud": "other"}, {"iss": "https://evil.example"}, {"events": {}}, {"nonce": "n"}, {"sid": "a\0"}]
)
async def test_a_wrong_log_out_token_ends_nothing(
    forger: Forger, admin: Client, browser: Client, anonymous: Client, changes: dict[str, Any]
):
    await offer(admin, forger.issuer, create_users=True)
    await forged(forger, browser)
    assert (await anonymous.post(BACK, data=log_out_token(forger, **changes))).status_code == 400
    assert await is_logged_in(browser)


async def test_a_forged_log_out_token_ends_nothing(forger: Forger, admin: Client, browser: Client, anonymous: Client):
    await offer(admin, forger.issuer, create_users=True)
    await forged(forger, browser)
    forged_token = log_out_token(forger, RSAKey.generate_key(2048, {"kid": str(forger.key.kid)}))
    assert (await anonymous.post(BACK, data=forged_token)).status_code == 400
    assert await is_logged_in(browser)


async def test_a_frame_of_the_provider_ends_the_log_in(forger: Forger, admin: Client, anonymous: Client):
    await offer(admin, forger.issuer, create_users=True)
    forger.claims = {"sid": "one"}
    await forged(forger, anonymous)
    assert (await anonymous.get(FRONT, params={"iss": forger.issuer, "sid": "other"})).status_code == 200
    assert (await anonymous.get(FRONT, params={"iss": "https://evil.example", "sid": "one"})).status_code == 400
    assert await is_logged_in(anonymous)
    (provider,) = await admin.read("/api/v1/sign-on-providers")
    own = f"/api/v1/sign-on-providers/{provider['provider_id']}"
    await admin.change(own, enabled=False)
    assert (await anonymous.get(FRONT, params={"iss": forger.issuer, "sid": "one"})).status_code == 400
    await admin.change(own, enabled=True)
    answer = await anonymous.get(FRONT, params={"iss": forger.issuer, "sid": "one"})
    assert f"frame-ancestors {forger.issuer}" in answer.headers["content-security-policy"]
    assert not await is_logged_in(anonymous)
