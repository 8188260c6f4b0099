"""The test of a provider names the step that fails; the preview shows the result of rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.database.api.client import Client
from tests.database.api.signing_on import PROVIDERS, log_in_at, offer
from tests.support.oidc import Forger, Provider, client_of, oidc_provider
from tests.support.processes import free_port

from greenroom.identity import diagnosis

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider(client_of("campus")) as running:
        yield running


async def last_step_of(admin: Client, issuer: str, **fields: Any) -> tuple[str, str]:
    """Test a new provider; returns the last step and its detail."""
    made = await offer(admin, issuer, **fields)
    answer = await admin.post(f"{PROVIDERS}/{made['provider_id']}/test")
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert [step["passed"] for step in result["steps"][:-1]] == [True] * (len(result["steps"]) - 1)
    last = result["steps"][-1]
    assert last["passed"] is result["passed"]
    return last["step"], last["detail"]


async def test_a_registered_client_passes_every_step(provider: Provider, admin: Client):
    step, detail = await last_step_of(admin, provider.issuer)
    assert (step, detail) == ("client", "The provider accepts the client ID and the client secret.")


async def test_saving_a_provider_that_does_not_work_has_a_warning(provider: Provider, admin: Client):
    assert (await offer(admin, provider.issuer))["warnings"] == []
    dead = await offer(admin, "https://login.invalid", "dead")
    (warning,) = dead["warnings"]
    assert warning.startswith("No user can log in through Dead: The host login.invalid cannot be found")
    own = f"{PROVIDERS}/{dead['provider_id']}"
    assert await _sign_on_entries(admin) == [warning], "Today lists it"
    assert (await admin.patch(own, json={"enabled": False})).json()["warnings"] == [], "users do not see it"
    assert await _sign_on_entries(admin) == []
    assert (await admin.patch(own, json={"enabled": True})).json()["warnings"] == [warning]
    assert await _sign_on_entries(admin) == [warning]
    assert (await admin.delete(own)).status_code == 204
    assert await _sign_on_entries(admin) == []


async def test_today_lists_a_provider_that_fails_until_a_user_logs_in(
    provider: Provider, admin: Client, anonymous: Client
):
    await offer(admin, provider.issuer, create_users=True, attributes={"username": "sub"})
    assert await _sign_on_entries(admin) == []
    provider.control(tokenStatus=503)
    assert await log_in_at(provider, anonymous, "ada") == "/?sign-on=provider-down"
    (sentence,) = await _sign_on_entries(admin)
    assert sentence.startswith("No user can log in through Campus: ")
    provider.control(tokenStatus=0)
    assert await log_in_at(provider, anonymous, "ada") == "/"
    assert await _sign_on_entries(admin) == []


async def _sign_on_entries(admin: Client) -> list[str]:
    """Return the sentences of Today about providers."""
    today = (await admin.get("/api/v1/today")).json()
    return [entry["sentence"] for entry in today["attention"] if entry["help"]["object"]["kind"] == "sign_on_provider"]


async def test_a_wrong_client_secret_is_named(provider: Provider, admin: Client):
    step, detail = await last_step_of(admin, provider.issuer, client_secret="wrong")
    assert step == "client"
    assert "invalid_client" in detail
    assert detail.endswith("Check the client ID and the client secret.")


@pytest.mark.parametrize("fields", [{"client_id": "unknown"}, {"name": "not-registered"}])
async def test_a_client_that_is_not_registered_is_named(provider: Provider, admin: Client, fields: dict[str, str]):
    step, detail = await last_step_of(admin, provider.issuer, **fields)
    assert step == "authorization"
    assert "The provider refuses the request to log in" in detail


async def test_a_host_that_does_not_exist_is_named(admin: Client):
    step, detail = await last_step_of(admin, "https://login.invalid")
    assert (step, detail[:37]) == ("host", "The host login.invalid cannot be foun")


async def test_a_closed_port_is_named(admin: Client):
    port = free_port()
    step, detail = await last_step_of(admin, f"http://127.0.0.1:{port}")
    assert (step, detail[:50]) == ("connection", f"127.0.0.1 does not accept connections on port {port}"[:50])


async def test_a_server_without_tls_is_named(admin: Client, forger: Forger):
    step, _ = await last_step_of(admin, forger.issuer.replace("http:", "https:"))
    assert step == "certificate"


async def test_a_page_that_is_no_document_is_named(admin: Client, forger: Forger):
    step, detail = await last_step_of(admin, f"{forger.issuer}/realms/other")
    assert step == "endpoints"
    assert "belongs to the issuer None" in detail


async def test_another_issuer_is_named(admin: Client, forger: Forger):
    forger.document = {"issuer": f"{forger.issuer}/"}
    step, detail = await last_step_of(admin, forger.issuer)
    assert step == "endpoints"
    assert "enter the issuer exactly as the provider writes it" in detail


async def test_a_provider_without_keys_is_named(admin: Client, forger: Forger):
    forger.published = []
    step, detail = await last_step_of(admin, forger.issuer)
    assert (step, detail) == ("keys", "The provider publishes no public key that can verify a signature.")


async def test_a_server_that_never_answers_is_named(admin: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("greenroom.identity.provider.TIMEOUT_S", 0.3)
    monkeypatch.setattr(diagnosis, "TIMEOUT_S", 0.3)
    async with await asyncio.start_server(lambda _, writer: None, "127.0.0.1", 0) as server:
        step, detail = await last_step_of(admin, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert step == "document"
    assert "did not answer within" in detail


async def test_the_preview_shows_groups_and_fields(admin: Client):
    staff = (await admin.make("/api/v1/groups", name="Staff"))["group_id"]
    rules = [
        {"claim": "groups", "value": "other", "group_id": staff},
        {"claim": "realm_access.roles", "value": "it-*", "group_id": staff},
    ]
    sample = '{"upn": "ada", "given_name": "Ada", "realm_access": {"roles": ["it-admins"]}}'
    body = {"attributes": {"username": "upn"}, "rules": rules, "sample": sample}
    answer = (await admin.post(f"{PROVIDERS}/preview", json=body)).json()
    assert (answer["username"], answer["problem"], answer["fields"]) == ("ada", None, {"first_name": "Ada"})
    assert answer["matching_rules"] == [1]
    assert answer["groups"] == [{"group_id": staff, "name": "Staff"}]
    refusal = await admin.refused(422, f"POST {PROVIDERS}/preview", body | {"sample": "no token"})
    assert "The sample is neither a JSON object nor a token" in refusal
