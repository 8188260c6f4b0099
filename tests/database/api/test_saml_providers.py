"""SAML providers: valid and invalid settings, rights, the test of a provider, and log-outs by an identity provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from fastapi import FastAPI
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.signing_on import PROVIDERS, begin, cause_of_refusal, send_saml
from tests.support.saml import ENTITY_ID, IdentityProvider, saml_identity_provider
from tests.support.saml_forger import ISSUER, Assertion, SamlForger

from greenroom.db.database import Database
from greenroom.identity.saml.documents import SAML, SAMLP
from greenroom.identity.saml.metadata import format_time
from greenroom.identity.saml.signatures import ServiceKey, new_service_key, redirect_url

LOG_OUT = "https://127.0.0.1:8443/api/v1/sign-on/campus/saml-logout"


@pytest.fixture(scope="module")
def forger() -> SamlForger:
    return SamlForger()


@pytest.fixture
async def content() -> AsyncIterator[dict[str, Any]]:
    """An HTTP server: its `address`, and its `answer`, after which nothing is sent."""
    state: dict[str, Any] = {"answer": b"", "requests": 0}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(10_000)
        state["requests"] += bool(request)
        body = state["answer"]
        if body:
            status = b"404 Not Found" if body == b"missing" else b"200 OK"
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
            )
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        state["address"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metadata"
        yield state


def saml(**fields: Any) -> dict[str, Any]:
    """Return the body of a request that creates a SAML provider."""
    values = {"name": "campus", "title": "Campus", "protocol": "saml", "issuer": ISSUER, "client_id": ENTITY_ID}
    return values | {"attributes": {"username": "uid"}} | fields


def expired(key: ServiceKey) -> str:
    """Return a certificate of the key that was valid until yesterday, as PEM."""
    private, name, now = load_pem_private_key(key.private_key.encode(), None), key.x509.subject, datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1)  # pyright: ignore[reportArgumentType]
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
    signed = builder.sign(private, hashes.SHA256())  # pyright: ignore[reportArgumentType]
    return signed.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "needs either `metadata_url` or `metadata_xml`"),
        ({"metadata_url": "http://idp.example/m"}, "`metadata_url` must be an https address"),
        ({"metadata_url": "https://idp.example/m", "client_secret": "s"}, "has no client secret"),
        ({"metadata_url": "https://idp.example/m", "check_s": 60}, "SAML has no checks of log-ins"),
        ({"metadata_xml": "<x/>"}, "it has no EntityDescriptor"),
        ({"metadata_xml": "no XML"}, "is not XML"),
        ({"metadata_xml": "<!DOCTYPE x><x/>"}, "has a document type"),
        ({"protocol": "oidc", "metadata_url": "https://idp.example/m"}, "Only SAML providers have metadata"),
    ],
)
async def test_invalid_settings_are_refused(admin: Client, fields: dict[str, Any], problem: str):
    assert problem in await admin.refused(422, f"POST {PROVIDERS}", saml(**fields))


async def test_metadata_of_another_identity_provider_is_refused(admin: Client, forger: SamlForger):
    body = saml(metadata_xml=forger.metadata(issuer="https://other.example"))
    refusal = await admin.refused(422, f"POST {PROVIDERS}", body)
    assert f"belongs to https://other.example instead of {ISSUER}" in refusal


async def test_the_key_of_greenroom_is_encrypted_and_never_returned(admin: Client, forger: SamlForger, db: Database):
    made = await admin.make(PROVIDERS, **saml(metadata_xml=forger.metadata()))
    assert "PRIVATE KEY" not in str(made)
    (row,) = await db.fetch("SELECT service_key_encrypted FROM sign_on_providers")
    assert b"PRIVATE KEY" not in bytes(row["service_key_encrypted"])


async def test_metadata_needs_rights_over_the_users_of_its_issuer(
    admin: Client, with_key: MakeClient, logged_in: MakeClient, forger: SamlForger
):
    made = await admin.make(PROVIDERS, **saml(metadata_xml=forger.metadata()))
    boss = await logged_in()
    await admin.make(f"/api/v1/users/{await boss.own_id()}/identities", issuer=ISSUER, subject="boss")
    weak = await with_key("settings_modify", "settings_view")
    other_key = forger.metadata(new_service_key("evil").certificate)
    path = f"PATCH {PROVIDERS}/{made['provider_id']}"
    assert "users_modify_admin" in await weak.refused(403, path, {"metadata_xml": other_key})
    assert "users_modify_admin" in await weak.refused(403, path, {"subject_attribute": "displayName"})
    assert "users_modify_admin" in await weak.refused(403, f"POST {PROVIDERS}", saml(name="b", metadata_xml=other_key))
    assert (await weak.patch(f"{PROVIDERS}/{made['provider_id']}", json={"title": "B"})).status_code == 200


async def last_step_of(admin: Client, **fields: Any) -> tuple[str, str]:
    """Test a new provider; returns the last step and its detail."""
    made = await admin.make(PROVIDERS, **saml(**fields))
    result = (await admin.post(f"{PROVIDERS}/{made['provider_id']}/test")).json()
    last = result["steps"][-1]
    assert last["passed"] is result["passed"]
    return last["step"], last["detail"]


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    with saml_identity_provider() as running:
        yield running


@pytest.mark.usefixtures("long_timeout")
async def test_an_identity_provider_passes_every_step(admin: Client, idp: IdentityProvider):
    step, detail = await last_step_of(admin, issuer=idp.entity_id, metadata_url=idp.metadata_url)
    assert (step, detail) == ("authorization", f"The identity provider offers a log-in to {ENTITY_ID}.")


@pytest.mark.usefixtures("long_timeout")
@pytest.mark.parametrize(
    ("answer", "step", "detail"),
    [
        (lambda f: "missing", "document", "answered with status 404"),
        (lambda f: "<html", "metadata", "The document is not XML"),
        (lambda f: "<!DOCTYPE html><html/>", "metadata", "has a document type"),
        (lambda f: "<html/>", "provider", "it has no EntityDescriptor"),
        (lambda f: f.metadata(issuer="https://x.example"), "provider", "belongs to https://x.example"),
        (lambda f: f.metadata().replace('use="signing"', 'use="encryption"'), "provider", "no certificate for sign"),
        (lambda f: f.metadata(expired(f.key)), "provider", "No certificate for signatures is valid now"),
        (lambda f: f.metadata().replace("HTTP-Redirect", "HTTP-POST"), "provider", "with the binding HTTP-Redirect"),
        (
            lambda f: f.metadata().replace("https://idp.example/login", "http://idp.example/login"),
            "provider",
            "is not an https address",
        ),
        (lambda f: f.metadata(attributes=' validUntil="2020-01-01T00:00:00Z"'), "provider", "was valid until 2020"),
        (lambda f: f.metadata().replace("IDPSSO", "SPSSO"), "provider", "describes no identity provider"),
    ],
)
async def test_the_step_that_fails_is_named(
    admin: Client, forger: SamlForger, content: dict[str, Any], *, answer: Any, step: str, detail: str
):
    content["answer"] = answer(forger).encode()
    found = await last_step_of(admin, metadata_url=content["address"])
    assert (found[0], detail in found[1]) == (step, True), found


async def test_a_missing_program_is_named(admin: Client, forger: SamlForger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    step, detail = await last_step_of(admin, metadata_xml=forger.metadata())
    assert (step, detail.endswith("Install the Debian package xmlsec1.")) == ("program", True)


async def test_metadata_that_is_never_sent_delays_no_other_user(
    admin: Client, anonymous: Client, logged_in: MakeClient, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
):
    monkeypatch.setattr("greenroom.identity.provider.TIMEOUT_S", 0.3)
    await admin.make(PROVIDERS, **saml(metadata_url=content["address"]))
    assert [one["name"] for one in (await anonymous.read("/api/v1/sign-on"))["providers"]] == ["campus"]
    await logged_in()
    answer = await anonymous.post("/api/v1/sign-on/campus/start", json={}, headers=SAME_ORIGIN)
    assert answer.status_code == 503


async def test_new_metadata_is_read_once_for_a_new_key(admin: Client, anonymous: Client, content: dict[str, Any]):
    old, new = SamlForger(), SamlForger()
    content["answer"] = old.metadata().encode()
    await admin.make(PROVIDERS, **saml(metadata_url=content["address"], create_users=True))
    new.read_request(await begin(anonymous))
    before = content["requests"]
    content["answer"] = new.metadata().encode()
    assert await send_saml(anonymous, new.form(new.response(new.signed()))) == "/"
    assert content["requests"] == before + 1
    old.read_request(await begin(anonymous))
    assert await send_saml(anonymous, old.form(old.response(old.signed()))) == "/?sign-on=wrong-token"


async def test_both_certificates_are_accepted_during_a_change(admin: Client, anonymous: Client, forger: SamlForger):
    other = SamlForger()
    both = forger.metadata(other.key.certificate, forger.key.certificate)
    await admin.make(PROVIDERS, **saml(metadata_xml=both, create_users=True))
    for one, assertion_id in ((forger, "_a1"), (other, "_a2")):
        one.read_request(await begin(anonymous))
        response = one.response(one.signed(Assertion(assertion_id=assertion_id)))
        assert await send_saml(anonymous, one.form(response)) == "/"


def log_out_request(forger: SamlForger, **changes: str) -> str:
    """Return the address of a log-out request for the session index `session-1`."""
    values = {"destination": LOG_OUT, "issuer": ISSUER, "name_id": "s-1", "issued": format_time(datetime.now(UTC))}
    values |= changes
    text = (
        f'<p:LogoutRequest xmlns:p="{SAMLP}" xmlns="{SAML}" ID="_l1" Version="2.0" IssueInstant="{values["issued"]}"'
        f' Destination="{values["destination"]}"><Issuer>{values["issuer"]}</Issuer>'
        f"<NameID>{values['name_id']}</NameID><p:SessionIndex>session-1</p:SessionIndex></p:LogoutRequest>"
    )
    return redirect_url(LOG_OUT, "SAMLRequest", text.encode(), None, forger.key).removeprefix("https://127.0.0.1:8443")


def unsigned(forger: SamlForger) -> str:
    return log_out_request(forger).partition("&SigAlg")[0]


WRONG_LOG_OUTS: dict[str, tuple[Any, str]] = {
    "unsigned": (unsigned, "is not signed"),
    "other key": (lambda f: log_out_request(SamlForger()), "signed with no certificate"),
    "changed": (lambda f: log_out_request(f).replace("SAMLRequest=", "SAMLRequest=AAAA"), "signed with no certificate"),
    "SHA-1": (lambda f: log_out_request(f).replace("rsa-sha256", "rsa-sha1"), "which is not permitted"),
    "twice": (lambda f: log_out_request(f) + "&SigAlg=x", "has a parameter twice"),
    "other address": (lambda f: log_out_request(f, destination="https://x.example"), "The log-out request is for"),
    "other issuer": (lambda f: log_out_request(f, issuer="https://x.example"), "The issuer of the log-out request"),
    "old": (lambda f: log_out_request(f, issued="2020-01-01T00:00:00Z"), "is not from now"),
}


@pytest.mark.parametrize("wrong", WRONG_LOG_OUTS)
async def test_a_wrong_log_out_request_ends_nothing(
    admin: Client, anonymous: Client, forger: SamlForger, app: FastAPI, db: Database, *, wrong: str
):
    build, cause = WRONG_LOG_OUTS[wrong]
    await admin.make(PROVIDERS, **saml(metadata_xml=forger.metadata(), create_users=True))
    forger.read_request(await begin(anonymous))
    await send_saml(anonymous, forger.form(forger.response(forger.signed())))
    assert (await anonymous.get(build(forger))).status_code == 422
    assert cause in await cause_of_refusal(app, db)
    assert (await anonymous.get("/api/v1/me")).status_code == 200


async def test_a_log_out_request_for_another_user_ends_nothing(admin: Client, anonymous: Client, forger: SamlForger):
    await admin.make(PROVIDERS, **saml(metadata_xml=forger.metadata(), create_users=True))
    forger.read_request(await begin(anonymous))
    await send_saml(anonymous, forger.form(forger.response(forger.signed())))
    assert (await anonymous.get(log_out_request(forger, name_id="s-2"))).status_code == 200
    assert (await anonymous.get("/api/v1/me")).status_code == 200
    assert "SAMLRequest" not in str((await anonymous.post("/api/v1/sign-on/logout", headers=SAME_ORIGIN)).json()["url"])


async def test_log_outs_of_openid_connect_end_no_saml_log_in(admin: Client, connect: MakeClient, forger: SamlForger):
    await admin.make(PROVIDERS, **saml(metadata_xml=forger.metadata(), create_users=True))
    browser, outsider = await connect(), await connect()
    forger.read_request(await begin(browser))
    await send_saml(browser, forger.form(forger.response(forger.signed())))
    path = LOG_OUT.removeprefix("https://127.0.0.1:8443").removesuffix("saml-logout")
    front = {"iss": ISSUER, "sid": "session-1"}
    assert (await outsider.get(f"{path}frontchannel-logout", params=front)).status_code == 400
    assert (await outsider.post(f"{path}backchannel-logout", content="logout_token=x")).status_code == 400
    assert (await browser.get("/api/v1/me")).status_code == 200


async def test_a_saml_provider_shares_its_issuer_with_no_other(admin: Client, forger: SamlForger):
    oidc = {"name": "oidc", "title": "O", "client_id": "c", "issuer": ISSUER}
    made = await admin.make(PROVIDERS, **oidc)
    body = saml(metadata_xml=forger.metadata())
    assert "Another provider has the issuer" in await admin.refused(422, f"POST {PROVIDERS}", body)
    assert (await admin.delete(f"{PROVIDERS}/{made['provider_id']}")).status_code == 204
    await admin.make(PROVIDERS, **body)
    for other in (oidc, body | {"name": "b"}):
        assert "Another provider has the issuer" in await admin.refused(422, f"POST {PROVIDERS}", other)
    directory = saml(name="d", issuer="directory:1", metadata_url="https://idp.example/m")
    assert "`directory:`" in await admin.refused(422, f"POST {PROVIDERS}", directory)
