"""Wrong answers of providers and browsers: each is refused with a code, its cause is logged, and nothing is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from joserfc.jwk import RSAKey
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.signing_on import (
    PROVIDERS,
    begin,
    cause_of_refusal,
    forged,
    forged_answer,
    offer,
    rows_of_users,
)
from tests.support.oidc import Forger

from greenroom.db.database import Database
from greenroom.identity import attempts
from greenroom.identity import provider as provider_module
from greenroom.identity.provider import ProviderCache
from greenroom.identity.statements import find_provider
from greenroom.identity.tokens import Keys


@pytest.fixture
async def hanging() -> AsyncIterator[str]:
    """The address of a server that accepts connections and never answers."""
    server = await asyncio.start_server(lambda _, writer: None, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def offered(forger: Forger, admin: Client) -> dict[str, Any]:
    return await offer(admin, forger.issuer, create_users=True)


@pytest.mark.usefixtures("offered")
async def test_a_valid_answer_logs_in(forger: Forger, anonymous: Client):
    assert await forged(forger, anonymous) == "/"
    assert (await anonymous.read("/api/v1/me"))["user"]["username"] == "ada"
    (request,) = forger.token_requests
    assert request["grant_type"] == "authorization_code"
    assert len(request["code_verifier"]) >= 43


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    "wrong",
    [
        ({"aud": "other"}, "azp"),
        ({"iss": "https://evil.example"}, "'https://evil.example' instead of"),
        ({"nonce": "another"}, "nonce"),
        ({"exp": timedelta(minutes=-10)}, "expired"),
        ({"iat": timedelta(minutes=10)}, "issued in the future"),
        ({"sub": ""}, "sub"),
        ({"sid": "a\0b"}, "its id of the log-in (sid) is not 1 to 255 printable characters"),
        ({"sid": "\ud800"}, "sid"),
        ({"sid": 7}, "sid"),
    ],
)
async def test_a_wrong_token_is_refused(
    forger: Forger, anonymous: Client, app: FastAPI, db: Database, wrong: tuple[dict[str, Any], str]
):
    claims, cause = wrong
    now = int(time.time())  # the parameters are made long before the test
    before = await rows_of_users(db)
    forger.claims = {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in claims.items()
    }
    assert await forged(forger, anonymous) == "/?sign-on=wrong-token"
    assert cause in await cause_of_refusal(app, db)
    assert await rows_of_users(db) == before


@pytest.mark.usefixtures("offered")
async def test_a_token_with_another_key_is_refused(forger: Forger, anonymous: Client, app: FastAPI, db: Database):
    before, forger.published = await rows_of_users(db), [forger.key.as_dict(private=False)]
    forger.key = RSAKey.generate_key(2048, {"kid": "unknown", "use": "sig"})
    assert await forged(forger, anonymous) == "/?sign-on=wrong-token"
    assert "signed with the key 'unknown', which the provider does not publish" in await cause_of_refusal(app, db)
    assert await rows_of_users(db) == before


@pytest.mark.usefixtures("offered")
async def test_new_keys_are_read_in_the_middle_of_a_log_in(forger: Forger, anonymous: Client):
    assert await forged(forger, anonymous) == "/"
    forger.key = RSAKey.generate_key(2048, {"kid": "next", "use": "sig"})
    assert await forged(forger, anonymous) == "/"


async def test_a_user_keeps_the_groups_of_a_claim_that_the_provider_does_not_send(
    forger: Forger, app: FastAPI, admin: Client, anonymous: Client, db: Database
):
    group = await admin.make("/api/v1/groups", name="Staff")
    rules = [{"claim": "groups", "value": "/staff", "group_id": group["group_id"]}]
    provider = await offer(admin, forger.issuer, create_users=True, rules=rules)

    async def groups_after(**claims: object) -> list[str]:
        forger.claims = claims
        assert await forged(forger, anonymous) == "/"
        return sorted(each["name"] for each in (await anonymous.read("/api/v1/me"))["user"]["groups"])

    async def causes() -> list[str]:
        await app.state.logs.flush()
        rows = await db.fetch("SELECT message FROM logs WHERE code = 'sign-on-claim-missing' ORDER BY log_id")
        return [row["message"] for row in rows]

    assert await groups_after(groups=["/staff"]) == ["All Users", "Staff"]
    assert await causes() == []
    assert await groups_after(_claim_names={"groups": "src1"}) == ["All Users", "Staff"]
    assert await groups_after() == ["All Users", "Staff"]
    first, second = await causes()
    assert "did not send in which groups ada is; the groups were kept. The claim groups is missing, because" in first
    assert "The claim groups is missing. Check the scopes" in second
    assert await groups_after(groups=[]) == ["All Users"]
    await admin.change(f"{PROVIDERS}/{provider['provider_id']}", rule_required=True)
    forger.claims = {}
    assert await forged(forger, anonymous) == "/?sign-on=no-claim"
    assert "The claim groups is missing." in await cause_of_refusal(app, db)


@pytest.mark.usefixtures("offered")
async def test_a_withdrawn_key_is_refused_by_all_processes_after_a_request(
    forger: Forger, app: FastAPI, admin: Client, anonymous: Client
):
    other_process = ProviderCache()
    assert await forged(forger, anonymous) == "/"
    first = await find_provider(app.state.db, "campus")
    assert first is not None
    assert len((await other_process.keys(first) or Keys(())).keys) == 1
    forger.published = []
    assert await forged(forger, anonymous) == "/", "the key is cached"
    (provider,) = await admin.read("/api/v1/sign-on-providers")
    answer = await admin.post(f"/api/v1/sign-on-providers/{provider['provider_id']}/forget-keys")
    assert answer.status_code == 204, answer.text
    assert await forged(forger, anonymous) == "/?sign-on=wrong-token"
    again = await find_provider(app.state.db, "campus")
    assert again is not None
    assert not (await other_process.keys(again) or Keys(())).keys


@pytest.mark.usefixtures("offered")
async def test_userinfo_about_another_user_is_refused(forger: Forger, anonymous: Client, app: FastAPI, db: Database):
    forger.userinfo = {"sub": "boss", "groups": ["admins"]}
    assert await forged(forger, anonymous) == "/?sign-on=wrong-token"
    assert "describes 'boss' instead of 's-1'" in await cause_of_refusal(app, db)


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("parameters", [{"state": "unknown"}, {"state": ""}])
async def test_an_unknown_state_is_refused(forger: Forger, anonymous: Client, parameters: dict[str, str]):
    assert await forged(forger, anonymous, **parameters) == "/?sign-on=unknown-attempt"
    assert forger.token_requests == []


@pytest.mark.usefixtures("offered")
async def test_another_browser_cannot_finish_a_log_in(forger: Forger, anonymous: Client, connect: MakeClient):
    url = await begin(anonymous)
    state = url.partition("state=")[2].partition("&")[0]
    victim = await connect()
    answer = await victim.get(f"/api/v1/sign-on/campus/callback?code=c&state={state}")
    assert answer.headers["location"] == "/?sign-on=unknown-attempt"
    assert "__Host-greenroom" not in victim.cookies


@pytest.mark.usefixtures("offered")
async def test_a_log_in_expires(forger: Forger, anonymous: Client, monkeypatch: pytest.MonkeyPatch):
    url = await begin(anonymous)
    monkeypatch.setattr(attempts, "VALID_S", -1)
    assert await forged_answer(forger, anonymous, url) == "/?sign-on=unknown-attempt"
    assert forger.token_requests == []


@pytest.mark.usefixtures("offered")
async def test_a_log_in_is_finished_only_once(forger: Forger, anonymous: Client):
    state = (await begin(anonymous)).partition("state=")[2].partition("&")[0]
    callback = f"/api/v1/sign-on/campus/callback?code=c&state={state}"
    await anonymous.get(callback)
    assert (await anonymous.get(callback)).headers["location"] == "/?sign-on=unknown-attempt"
    assert len(forger.token_requests) == 1


@pytest.mark.usefixtures("offered")
async def test_the_answer_of_another_provider_is_refused(forger: Forger, admin: Client, anonymous: Client):
    await offer(admin, forger.issuer, "other")
    assert await forged(forger, anonymous, iss="https://evil.example") == "/?sign-on=wrong-token"
    state = (await begin(anonymous)).partition("state=")[2].partition("&")[0]
    answer = await anonymous.get(f"/api/v1/sign-on/other/callback?code=c&state={state}")
    assert answer.headers["location"] == "/?sign-on=unknown-attempt"


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "/api/v1/me"])
async def test_a_log_in_leads_to_no_other_site(anonymous: Client, path: str):
    refusal = await anonymous.refused(422, "POST /api/v1/sign-on/campus/start", {"next": path})
    assert refusal == "invalid: `next` must be the path of a page of this console, such as /account."


@pytest.mark.usefixtures("offered")
async def test_a_provider_sends_users_only_to_the_port_of_the_console(anonymous: Client):
    answer = await anonymous.post(
        "/api/v1/sign-on/campus/start",
        json={"next": "/"},
        headers={"Host": "localhost:1", "Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 200, answer.text
    assert "redirect_uri=https%3A%2F%2Flocalhost%3A8443%2Fapi" in answer.json()["url"]


@pytest.mark.usefixtures("offered")
async def test_a_page_of_another_site_cannot_begin_a_log_in(anonymous: Client):
    answer = await anonymous.post(
        "/api/v1/sign-on/campus/start", json={"next": "/"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("username", "cause"),
    [
        ("../root", "must not contain slashes"),
        ("ada\u202eb", "remove U+202E"),
        ("ada\0", "remove U+0000"),
        ("ada\nb", "remove U+000A"),
        ("\u200bada", "remove U+200B"),
        ("ada\ud800", "remove U+D800"),
        ("\u3164", "remove U+3164"),
        ("", "contains no username"),
        ("x" * 256, "characters"),
    ],
)
async def test_a_user_name_that_cannot_be_used_creates_no_user(
    forger: Forger, anonymous: Client, app: FastAPI, db: Database, *, username: str, cause: str
):
    before, forger.claims = await rows_of_users(db), {"preferred_username": username}
    assert await forged(forger, anonymous) == "/?sign-on=username-unusable"
    assert cause in await cause_of_refusal(app, db)
    assert await rows_of_users(db) == before


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("name", ["Ada\u202e", "A\0", "A\nB", "\ud800", "x" * 256, 10**30])
async def test_a_name_that_cannot_be_stored_is_omitted(forger: Forger, anonymous: Client, name: str | int):
    forger.userinfo = {"sub": "s-1", "given_name": name if isinstance(name, str) else [name, {}], "family_name": "L"}
    assert await forged(forger, anonymous) == "/"
    user = (await anonymous.read("/api/v1/me"))["user"]
    assert (user["first_name"], user["last_name"]) == ("" if isinstance(name, str) else str(name), "L")


async def test_a_provider_that_hangs_delays_no_other_user(
    admin: Client, anonymous: Client, logged_in: MakeClient, monkeypatch: pytest.MonkeyPatch, hanging: str
):
    monkeypatch.setattr(provider_module, "TIMEOUT_S", 0.3)
    await offer(admin, hanging)
    assert [one["name"] for one in (await anonymous.read("/api/v1/sign-on"))["providers"]] == ["campus"]
    await logged_in()
    answer = await anonymous.post("/api/v1/sign-on/campus/start", json={}, headers=SAME_ORIGIN)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("The provider does not answer as it should.")


async def test_a_log_in_with_too_many_values_is_refused(
    forger: Forger, admin: Client, anonymous: Client, app: FastAPI, db: Database
):
    staff = (await admin.make("/api/v1/groups", name="Staff"))["group_id"]
    await offer(admin, forger.issuer, create_users=True, rules=[{"claim": "groups", "value": "a", "group_id": staff}])
    before, forger.claims = await rows_of_users(db), {"groups": ["a"] * 10_001}
    assert await forged(forger, anonymous) == "/?sign-on=wrong-token"
    assert "The claim groups has 10001 values; the maximum is 10000." in await cause_of_refusal(app, db)
    assert await rows_of_users(db) == before


async def test_an_issuer_fits_into_an_index(admin: Client):
    body = {"name": "long", "title": "Long", "protocol": "saml", "client_id": "x"}
    refusal = await admin.refused(422, f"POST {PROVIDERS}", body | {"issuer": "部" * 500})
    assert "issuer: must have at most 1000 bytes" in refusal


async def test_a_rule_has_at_most_three_stars(admin: Client, forger: Forger):
    staff = (await admin.make("/api/v1/groups", name="Staff"))["group_id"]
    made = await offer(admin, forger.issuer, rules=[{"claim": "g", "value": "*a*b*", "group_id": staff}])
    rules = [{"claim": "g", "value": "*a*b**", "group_id": staff}]
    for request in (f"PATCH {PROVIDERS}/{made['provider_id']}", f"POST {PROVIDERS}/preview"):
        body = {"rules": rules} | ({"sample": "{}"} if "preview" in request else {})
        assert "a value must not contain more than 3 *" in await admin.refused(422, request, body)


async def test_the_preview_needs_the_permission_to_change_settings(with_key: MakeClient):
    reader = await with_key("settings_view")
    assert "settings_modify" in await reader.refused(403, f"POST {PROVIDERS}/preview", {"sample": "{}"})


async def test_rules_need_the_permissions_to_change_their_groups(admin: Client, with_key: MakeClient, forger: Forger):
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")["group_id"]
    rules = [{"claim": "groups", "value": "*", "group_id": administrators}]
    body = {"name": "a", "title": "A", "issuer": forger.issuer, "client_id": "c", "rules": rules}
    weak = await with_key("settings_modify", "settings_view")
    assert "groups_modify" in await weak.refused(403, f"POST {PROVIDERS}", body)
    stronger = await with_key("settings_modify", "settings_view", "groups_modify")
    assert "groups_modify_system" in await stronger.refused(403, f"POST {PROVIDERS}", body)
    made = await admin.make(PROVIDERS, **body)
    await weak.refused(403, f"PATCH {PROVIDERS}/{made['provider_id']}", {"title": "B"})
    assert "groups_modify" in await weak.refused(403, f"DELETE {PROVIDERS}/{made['provider_id']}")
    assert "users_create" in await weak.refused(403, f"POST {PROVIDERS}", body | {"rules": [], "create_users": True})


async def test_a_rule_gives_no_permission_that_its_author_lacks(admin: Client, with_key: MakeClient, forger: Forger):
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")["group_id"]
    rules = [{"claim": "groups", "value": "admins", "group_id": administrators}]
    body = {"name": "a", "title": "A", "issuer": forger.issuer, "client_id": "c", "rules": rules}
    operator = await with_key("settings_modify", "groups_modify", "groups_modify_system", "users_create")
    assert "cannot grant" in await operator.refused(403, f"POST {PROVIDERS}", body)
    made = await admin.make(PROVIDERS, **body)
    path = f"{PROVIDERS}/{made['provider_id']}"
    assert (await operator.change(path, title="B"))["rules"] == rules, "a rule of an administrator remains"
    for change in ({"rules": [rules[0] | {"value": "*"}]}, {"issuer": "https://evil.example"}, {"client_id": "d"}):
        assert "cannot grant" in await operator.refused(403, f"PATCH {path}", change)


async def test_another_issuer_needs_the_right_over_linked_users(
    admin: Client, with_key: MakeClient, logged_in: MakeClient, forger: Forger
):
    made = await offer(admin, forger.issuer)
    boss = await logged_in()
    await admin.make(f"/api/v1/users/{await boss.own_id()}/identities", issuer=forger.issuer, subject="boss")
    weak = await with_key("settings_modify", "settings_view")
    trust = {"issuer": "https://evil.example", "client_secret": "x"}
    assert "users_modify_admin" in await weak.refused(403, f"PATCH {PROVIDERS}/{made['provider_id']}", trust)
