"""SAML log-ins at the package samlp: log in, create, link, groups, keys, encryption."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.signing_on import begin, come_back, offer_saml, saml_log_in_at, send_saml
from tests.support.oidc import ORIGIN
from tests.support.saml import ENTITY_ID, IdentityProvider, saml_identity_provider

pytestmark = pytest.mark.usefixtures("long_timeout")
GROUPS = "http://schemas.xmlsoap.org/claims/Group"


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    accounts = {
        "ada": {"id": "p-1", "attributes": {"uid": "ada@uni.example", "givenName": "Ada", GROUPS: ["staff", "it"]}},
        "renamed": {"id": "p-1", "attributes": {"uid": "ada.lovelace@uni.example"}},
        "mail": {"format": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", "attributes": {"uid": "mail"}},
        "crowd": {"id": "p-2", "attributes": {"uid": "crowd", GROUPS: [f"group-{n}" for n in range(1000)]}},
    }
    with saml_identity_provider(accounts=accounts) as running:
        yield running


async def test_a_first_log_in_creates_the_user(idp: IdentityProvider, admin: Client, anonymous: Client):
    await offer_saml(admin, idp, create_users=True)
    assert await saml_log_in_at(idp, anonymous, "ada", path="/account") == "/account"
    me = (await anonymous.read("/api/v1/me"))["user"]
    assert (me["username"], me["first_name"]) == ("ada@uni.example", "Ada")
    identity = await anonymous.only("/api/v1/me/identities")
    assert (identity["issuer"], identity["subject"]) == (idp.entity_id, "p-1")


async def test_the_name_id_identifies_the_user_not_the_user_name(
    idp: IdentityProvider, admin: Client, connect: MakeClient
):
    await offer_saml(admin, idp, create_users=True)
    first, second = await connect(), await connect()
    await saml_log_in_at(idp, first, "ada")
    assert await saml_log_in_at(idp, second, "renamed") == "/"
    assert await first.own_id() == await second.own_id()


async def test_a_logged_in_user_links_an_identity(idp: IdentityProvider, admin: Client, user: Client):
    await offer_saml(admin, idp)
    url = (await user.post("/api/v1/me/identities", json={"provider": "campus"})).json()["url"]
    assert await send_saml(user, await idp.log_in(url, "ada")) == "/account"
    assert (await user.only("/api/v1/me/identities"))["subject"] == "p-1"


async def test_a_thousand_groups_are_mapped(idp: IdentityProvider, admin: Client, anonymous: Client):
    last = (await admin.make("/api/v1/groups", name="Last"))["group_id"]
    rules = [{"claim": GROUPS, "value": "group-999", "group_id": last}]
    await offer_saml(admin, idp, create_users=True, rules=rules)
    assert await saml_log_in_at(idp, anonymous, "crowd") == "/"
    assert {group["name"] for group in (await anonymous.read("/api/v1/me"))["user"]["groups"]} == {"All Users", "Last"}


async def test_an_email_address_is_no_subject_by_default(idp: IdentityProvider, admin: Client, anonymous: Client):
    await offer_saml(admin, idp, create_users=True)
    assert await saml_log_in_at(idp, anonymous, "mail") == "/?sign-on=wrong-token"


async def test_an_attribute_can_be_the_subject(idp: IdentityProvider, admin: Client, anonymous: Client):
    await offer_saml(admin, idp, create_users=True, subject_attribute="uid")
    assert await saml_log_in_at(idp, anonymous, "mail") == "/"
    assert (await anonymous.only("/api/v1/me/identities"))["subject"] == "mail"


async def test_the_key_changes_between_two_log_ins(idp: IdentityProvider, admin: Client, anonymous: Client):
    await offer_saml(admin, idp, create_users=True)
    await saml_log_in_at(idp, anonymous, "ada")
    idp.control(rotate=True)
    assert await saml_log_in_at(idp, anonymous, "ada") == "/"


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_signed_response_may_be_encrypted(
    idp: IdentityProvider, admin: Client, anonymous: Client, encrypt: bool
):
    await offer_saml(admin, idp, create_users=True)
    idp.control(encrypt=encrypt, signResponse=True)
    try:
        assert await saml_log_in_at(idp, anonymous, "ada") == "/"
    finally:
        idp.control(encrypt=False, signResponse=False)


async def test_a_user_who_refuses_reads_a_sentence(idp: IdentityProvider, admin: Client, anonymous: Client):
    await offer_saml(admin, idp)
    form = await idp.log_in(await begin(anonymous), "deny")
    assert await send_saml(anonymous, form) == "/?sign-on=provider-refused"


async def test_the_metadata_names_greenroom(idp: IdentityProvider, admin: Client, anonymous: Client):
    made = await offer_saml(admin, idp)
    assert made["service_metadata_uri"] == f"{ORIGIN}/api/v1/sign-on/campus/metadata"
    text = (await anonymous.get("/api/v1/sign-on/campus/metadata")).text
    assert f'entityID="{ENTITY_ID}"' in text
    assert f'Location="{made["redirect_uri"]}"' in text
    assert (await anonymous.get("/api/v1/sign-on/other/metadata")).status_code == 404


async def test_log_out_ends_the_log_in_at_the_identity_provider_too(
    idp: IdentityProvider, admin: Client, anonymous: Client
):
    await offer_saml(admin, idp, create_users=True)
    idp.forget_log_ins()
    await saml_log_in_at(idp, anonymous, "ada")
    url = (await anonymous.post("/api/v1/sign-on/logout", headers=SAME_ORIGIN)).json()["url"]
    back = await idp.follow(url)
    assert back.startswith(f"{ORIGIN}/api/v1/sign-on/campus/saml-logout?")
    assert "SAMLResponse=" in back
    assert (await come_back(anonymous, back)).headers["location"] == "/"


async def test_a_log_out_at_the_identity_provider_ends_the_log_in(
    idp: IdentityProvider, admin: Client, anonymous: Client, connect: MakeClient
):
    await offer_saml(admin, idp, create_users=True)
    idp.forget_log_ins()
    other = await connect()
    await saml_log_in_at(idp, other, "crowd")
    idp.forget_log_ins()
    await saml_log_in_at(idp, anonymous, "ada")
    request = await idp.follow(f"{idp.address}/logout")
    answer = await come_back(anonymous, request)
    assert answer.status_code == 303, answer.text
    assert (await anonymous.get("/api/v1/me")).status_code == 401
    assert (await other.get("/api/v1/me")).status_code == 200
    assert await idp.follow(answer.headers["location"]) == ""
    assert (await come_back(anonymous, request)).status_code == 422
