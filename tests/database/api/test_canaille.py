"""Log-ins at canaille, an OpenID Connect provider that shares no code with the provider of the other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from tests.database.api.client import SAME_ORIGIN, Client
from tests.database.api.signing_on import PROVIDERS, begin, log_in_at, offer
from tests.support.canaille import Canaille, canaille

from greenroom.db.database import Database
from greenroom.identity.checks import check_due_logins
from greenroom.identity.context import context_of

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def provider() -> Iterator[Canaille]:
    with canaille("ada", "bob") as running:
        yield running


async def test_a_user_of_canaille_logs_in(provider: Canaille, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer, create_users=True)
    assert await log_in_at(provider, anonymous, "ada") == "/"
    me = (await anonymous.read("/api/v1/me"))["user"]
    assert (me["username"], me["first_name"], me["last_name"]) == ("ada", "Ada", "Example")


async def test_canaille_confirms_each_check_of_a_log_in(
    provider: Canaille, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    await offer(admin, provider.issuer, create_users=True, check_s=60)
    await log_in_at(provider, anonymous, "ada")
    for _ in range(2):  # the second check uses the refresh token of the first
        await db.write("UPDATE provider_logins SET due = now(), checked = now() - interval '60 s'")
        assert await check_due_logins(context_of(app.state)) == 1
    assert (await db.fetch("SELECT checked > now() - interval '50 s' AS passed FROM provider_logins")) == [
        {"passed": True}
    ]


async def test_a_log_out_also_ends_the_log_in_at_canaille(provider: Canaille, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "bob")
    assert not await provider.asks_for_a_name(await begin(anonymous))
    url = (await anonymous.post("/api/v1/sign-on/logout", headers=SAME_ORIGIN)).json()["url"]
    assert await provider.browse(url, {"answer": "logout"}) == "https://127.0.0.1:8443/"
    assert await provider.asks_for_a_name(await begin(anonymous))


async def test_the_test_of_a_provider_passes_every_step_at_canaille(provider: Canaille, admin: Client):
    made = await offer(admin, provider.issuer)
    steps = (await admin.post(f"{PROVIDERS}/{made['provider_id']}/test")).json()["steps"]
    assert [step["step"] for step in steps if not step["passed"]] == [], steps
    assert steps[-1]["step"] == "client"
