"""Sign-on at the package oidc-provider: log in, create, link, groups, log out."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.database.api.client import ADMIN, PASSWORD, SAME_ORIGIN, USERS_PASSWORD, Client, MakeClient
from tests.database.api.signing_on import PROVIDERS, begin, come_back, log_in_at, offer, rows_of_users
from tests.support.oidc import SECRET, Provider, client_of, oidc_provider

from greenroom.db.database import Database

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider(client_of("campus"), client_of("partner", "greenroom-2")) as running:
        running.control(
            accounts={
                "ada": {"preferred_username": "ada@uni.example", "given_name": "Ada", "family_name": "Lovelace"}
                | {"groups": []},
                "boss": {"preferred_username": "boss", "groups": ["staff", "it-admins"]},
                "student": {"preferred_username": "student", "groups": ["students"]},
                "crowd": {"preferred_username": "crowd", "groups": [f"group-{n}" for n in range(1000)]},
                "thief": {"preferred_username": ADMIN, "email": ADMIN, "email_verified": True},
            }
        )
        yield running


async def test_a_first_log_in_creates_the_user_and_logs_in(provider: Provider, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer, create_users=True)
    assert await log_in_at(provider, anonymous, "ada", path="/account") == "/account"
    me = (await anonymous.read("/api/v1/me"))["user"]
    assert (me["username"], me["first_name"], me["last_name"]) == ("ada@uni.example", "Ada", "Lovelace")
    identity = await anonymous.only("/api/v1/me/identities")
    assert (identity["issuer"], identity["subject"]) == (provider.issuer, "ada")


async def test_a_second_log_in_is_the_same_user(provider: Provider, admin: Client, connect: MakeClient):
    await offer(admin, provider.issuer, create_users=True)
    ids: list[str] = []
    for _ in range(2):
        browser = await connect()
        await log_in_at(provider, browser, "ada")
        ids.append(await browser.own_id())
    assert ids[0] == ids[1]


async def test_two_clients_of_one_issuer_share_its_users(provider: Provider, admin: Client, connect: MakeClient):
    await offer(admin, provider.issuer, create_users=True)
    await offer(admin, provider.issuer, "partner", client_id="greenroom-2")
    first, second = await connect(), await connect()
    await log_in_at(provider, first, "ada")
    assert await log_in_at(provider, second, "ada", "partner") == "/"
    assert await first.own_id() == await second.own_id()


async def test_unknown_users_are_refused_by_default(provider: Provider, admin: Client, anonymous: Client, db: Database):
    await offer(admin, provider.issuer)
    before = await rows_of_users(db)
    assert await log_in_at(provider, anonymous, "ada") == "/?sign-on=no-user"
    assert await rows_of_users(db) == before
    assert (await anonymous.get("/api/v1/me")).status_code == 401


async def test_a_user_name_never_links_to_an_account(
    provider: Provider, admin: Client, anonymous: Client, db: Database
):
    await offer(admin, provider.issuer, create_users=True)
    before = await rows_of_users(db)
    assert await log_in_at(provider, anonymous, "thief") == "/?sign-on=username-taken"
    assert await rows_of_users(db) == before


async def test_a_logged_in_user_links_an_identity(
    provider: Provider, admin: Client, logged_in: MakeClient, connect: MakeClient
):
    await offer(admin, provider.issuer)
    browser = await logged_in()
    answer = await browser.post("/api/v1/me/identities", json={"provider": "campus"})
    assert answer.status_code == 201, answer.text
    back = await come_back(browser, await provider.log_in(answer.json()["url"], "thief"))
    assert back.headers["location"] == "/account"
    other = await connect()
    assert await log_in_at(provider, other, "thief") == "/"
    assert await other.own_id() == await browser.own_id()


async def test_a_link_needs_a_recent_log_in(provider: Provider, admin: Client, logged_in: MakeClient, db: Database):
    await offer(admin, provider.issuer)
    browser = await logged_in()
    await db.write("UPDATE login_sessions SET confirmed = now() - interval '16 minutes'")
    refusal = await browser.refused(403, "POST /api/v1/me/identities", {"provider": "campus"})
    assert "Your log-in is older than 15 minutes" in refusal


async def test_a_linked_identity_cannot_be_linked_again(
    provider: Provider, admin: Client, logged_in: MakeClient, user: Client
):
    await offer(admin, provider.issuer)
    identity = {"issuer": provider.issuer, "subject": "ada"}
    await admin.make(f"/api/v1/users/{await user.own_id()}/identities", **identity)
    browser = await logged_in()
    url = (await browser.post("/api/v1/me/identities", json={"provider": "campus"})).json()["url"]
    back = await come_back(browser, await provider.log_in(url, "ada"))
    assert back.headers["location"] == "/account?sign-on=linked-elsewhere"


async def test_a_link_needs_the_log_in_that_began_it(
    provider: Provider, admin: Client, logged_in: MakeClient, db: Database
):
    await offer(admin, provider.issuer)
    browser = await logged_in()
    url = (await browser.post("/api/v1/me/identities", json={"provider": "campus"})).json()["url"]
    location = await provider.log_in(url, "ada")
    answer = await browser.post("/api/v1/login", json={"username": ADMIN, "password": PASSWORD}, headers=SAME_ORIGIN)
    assert answer.status_code == 200
    assert (await come_back(browser, location)).headers["location"] == "/account?sign-on=link-ended"
    assert not await db.fetch("SELECT 1 FROM identities")


async def test_the_removal_of_an_identity_needs_a_recent_log_in(
    provider: Provider, admin: Client, user: Client, db: Database
):
    await offer(admin, provider.issuer)
    made = await admin.make(f"/api/v1/users/{await user.own_id()}/identities", issuer=provider.issuer, subject="ada")
    await db.write("UPDATE login_sessions SET confirmed = now() - interval '16 minutes'")
    removal = f"/api/v1/me/identities/{made['identity_id']}"
    assert "confirmation-required" in await user.refused(403, f"DELETE {removal}")
    assert (await user.post("/api/v1/me/confirmation", json={"password": USERS_PASSWORD})).status_code == 204
    assert (await user.delete(removal)).status_code == 204


async def test_rules_set_groups_at_each_log_in(provider: Provider, admin: Client, connect: MakeClient):
    staff = (await admin.make("/api/v1/groups", name="Staff"))["group_id"]
    other = (await admin.make("/api/v1/groups", name="Other"))["group_id"]
    rules = [{"claim": "groups", "value": "it-*", "group_id": staff}]
    made = await offer(admin, provider.issuer, create_users=True, rules=rules)
    browser = await connect()
    await log_in_at(provider, browser, "boss")
    user_id = await browser.own_id()
    assert names((await browser.read("/api/v1/me"))["user"]) == {"All Users", "Staff"}
    await admin.change(f"/api/v1/users/{user_id}", groups=[staff, other])
    await admin.change(f"{PROVIDERS}/{made['provider_id']}", rules=[rules[0] | {"value": "no-such-group"}])
    await log_in_at(provider, browser, "boss")
    assert names((await browser.read("/api/v1/me"))["user"]) == {"All Users", "Other"}


def names(user: dict[str, list[dict[str, str]]]) -> set[str]:
    return {group["name"] for group in user["groups"]}


async def test_only_users_who_match_a_rule_log_in_if_required(provider: Provider, admin: Client, anonymous: Client):
    staff = (await admin.make("/api/v1/groups", name="Staff"))["group_id"]
    rules = [{"claim": "groups", "value": "staff", "group_id": staff}]
    await offer(admin, provider.issuer, create_users=True, rule_required=True, rules=rules)
    assert await log_in_at(provider, anonymous, "student") == "/?sign-on=no-group"
    assert await log_in_at(provider, anonymous, "boss") == "/"


async def test_a_thousand_groups_in_a_claim(provider: Provider, admin: Client, anonymous: Client):
    last = (await admin.make("/api/v1/groups", name="Last"))["group_id"]
    rules = [{"claim": "groups", "value": "group-999", "group_id": last}]
    await offer(admin, provider.issuer, create_users=True, rules=rules)
    assert await log_in_at(provider, anonymous, "crowd") == "/"
    assert names((await anonymous.read("/api/v1/me"))["user"]) == {"All Users", "Last"}


async def test_the_last_administrator_keeps_the_group(
    provider: Provider, admin: Client, logged_in: MakeClient, connect: MakeClient
):
    administrators = next(g for g in await admin.read("/api/v1/groups") if g["name"] == "Administrators")
    rules = [{"claim": "groups", "value": "bosses", "group_id": administrators["group_id"]}]
    await offer(admin, provider.issuer, rules=rules)
    local = await logged_in()
    await admin.make(f"/api/v1/users/{await local.own_id()}/identities", issuer=provider.issuer, subject="ada")
    assert await log_in_at(provider, await connect(), "ada") == "/?sign-on=last-administrator"
    assert "Administrators" in names((await local.read("/api/v1/me"))["user"])


async def test_disabled_users_are_refused(provider: Provider, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "ada")
    await admin.change(f"/api/v1/users/{await anonymous.own_id()}", disabled=True)
    assert await log_in_at(provider, anonymous, "ada") == "/?sign-on=user-disabled"


async def test_a_user_who_refuses_reads_a_sentence(provider: Provider, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer)
    location = await provider.log_in(await begin(anonymous), "deny")
    assert (await come_back(anonymous, location)).headers["location"] == "/?sign-on=provider-refused"
    sentences = (await anonymous.read("/api/v1/sign-on"))["refusals"]
    assert sentences["provider-refused"].startswith("The provider did not confirm your log-in.")


async def test_a_log_in_replaces_the_token_of_the_browser(
    provider: Provider, admin: Client, logged_in: MakeClient, connect: MakeClient
):
    await offer(admin, provider.issuer, create_users=True)
    browser = await logged_in()
    old = browser.cookies["__Host-greenroom"]
    await log_in_at(provider, browser, "ada")
    assert browser.cookies["__Host-greenroom"] != old
    stolen = await connect()
    stolen.cookies.set("__Host-greenroom", old)
    assert (await stolen.get("/api/v1/me")).status_code == 401


async def test_the_keys_of_the_provider_change_between_two_log_ins(
    provider: Provider, admin: Client, anonymous: Client
):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "ada")
    provider.control(rotate=True)
    assert await log_in_at(provider, anonymous, "ada") == "/"


async def test_log_out_ends_the_log_in_at_the_provider_too(provider: Provider, admin: Client, anonymous: Client):
    await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "ada")
    url = (await anonymous.post("/api/v1/sign-on/logout", headers=SAME_ORIGIN)).json()["url"]
    assert url.startswith(f"{provider.issuer}/session/end?")
    query = parse_qs(urlsplit(url).query)
    assert query["post_logout_redirect_uri"] == ["https://127.0.0.1:8443/"]
    assert query["id_token_hint"][0].count(".") == 2
    assert (await anonymous.get("/api/v1/me")).status_code == 401


async def test_log_out_of_a_local_user_leads_to_no_provider(logged_in: MakeClient):
    browser = await logged_in()
    assert (await browser.post("/api/v1/sign-on/logout")).json() == {"url": None}
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_client_secrets_are_encrypted_and_never_returned(provider: Provider, admin: Client, db: Database):
    made = await offer(admin, provider.issuer)
    assert SECRET not in str(made)
    assert SECRET not in str(await admin.read(PROVIDERS))
    (row,) = await db.fetch("SELECT client_secret_encrypted FROM sign_on_providers")
    assert SECRET.encode() not in bytes(row["client_secret_encrypted"])
    refusal = await admin.refused(422, f"PATCH {PROVIDERS}/{made['provider_id']}", {"issuer": "https://evil.example"})
    assert "The stored client secret is not sent to another issuer." in refusal


async def test_disabling_a_provider_ends_its_log_ins(
    provider: Provider, admin: Client, anonymous: Client, connect: MakeClient
):
    made = await offer(admin, provider.issuer, create_users=True)
    await log_in_at(provider, anonymous, "ada")
    await admin.change(f"{PROVIDERS}/{made['provider_id']}", enabled=False)
    assert (await anonymous.get("/api/v1/me")).status_code == 401
    other = await connect()
    refusal = await other.refused(404, "POST /api/v1/sign-on/campus/start", {})
    assert refusal == "not-found: This provider is no longer offered. Choose another way to log in."
    assert (await other.read("/api/v1/sign-on"))["providers"] == []
