"""Wrong SAML responses: each is refused with a code, its cause is logged, and nothing is stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from tests.database.api.client import Client, MakeClient
from tests.database.api.signing_on import begin, cause_of_refusal, offer, rows_of_users, send_saml
from tests.support.saml import ENTITY_ID
from tests.support.saml_forger import DS, ISSUER, Assertion, SamlForger, signature_in, signature_template

from greenroom.db.database import Database
from greenroom.identity.saml.signatures import new_service_key

SHA1 = "http://www.w3.org/2000/09/xmldsig#"
VICTIM = Assertion(subject="victim", assertion_id="_evil")


@pytest.fixture(scope="module")
def keyed() -> SamlForger:
    return SamlForger()


@pytest.fixture
async def forger(keyed: SamlForger, admin: Client) -> SamlForger:
    """An identity provider at which users can log in, and are created."""
    await offer(
        admin,
        ISSUER,
        protocol="saml",
        client_id=ENTITY_ID,
        client_secret=None,
        metadata_xml=keyed.metadata(),
        create_users=True,
        attributes={"username": "uid"},
    )
    return keyed


async def answer(forger: SamlForger, browser: Client, build: Callable[[SamlForger], str]) -> str:
    """Begin a log-in, and send a response to its request; returns the address to which Greenroom sends the browser."""
    forger.read_request(await begin(browser))
    return await send_saml(browser, forger.form(build(forger)))


def plain(values: Assertion) -> Callable[[SamlForger], str]:
    """Return a function that builds a response with a signed assertion."""
    return lambda forger: forger.response(forger.signed(values))


async def test_a_valid_response_logs_in(forger: SamlForger, anonymous: Client):
    assert await answer(forger, anonymous, plain(Assertion())) == "/"
    assert (await anonymous.read("/api/v1/me"))["user"]["username"] == "ada"


def wrapped_response(forger: SamlForger, *, in_signature: bool) -> str:
    """XSW 1 and 2: a signed response in a response with another assertion."""
    original = forger.response(forger.signed(), signed=True)
    signature = signature_in(original)
    bare = original.replace(signature, "", 1)
    evil = forger.response(forger.signed(VICTIM, key=new_service_key("evil")), response_id="_evil-response")
    moved = signature.replace("</ds:Signature>", f"{bare}</ds:Signature>") if in_signature else bare + signature
    return evil.replace("<samlp:Status>", f"{moved}<samlp:Status>", 1)


def wrapped_assertion(forger: SamlForger, variant: int) -> str:
    """XSW 3 to 8: a signed assertion beside or in another assertion."""
    original = forger.signed()
    signature, evil = signature_in(original), forger.assertion(VICTIM, signature=False)
    bare, issuer_end = original.replace(signature, "", 1), "</saml:Issuer>"
    inside = signature.replace("</ds:Signature>", f"{bare}</ds:Signature>")
    in_object = signature.replace("</ds:Signature>", f"<ds:Object>{bare}</ds:Object></ds:Signature>")
    match variant:
        case 3:
            return forger.response(evil + original)
        case 4:
            return forger.response(evil.replace("</saml:Assertion>", f"{original}</saml:Assertion>"))
        case 5:
            return forger.response(evil.replace(issuer_end, issuer_end + signature, 1) + bare)
        case 6:
            return forger.response(evil.replace(issuer_end, issuer_end + inside, 1))
        case 7:
            return forger.response(original, extensions=f"<samlp:Extensions>{evil}</samlp:Extensions>")
        case _:
            return forger.response(evil.replace(issuer_end, issuer_end + in_object, 1))


def same_id(forger: SamlForger) -> str:
    """A signed assertion in an extension of the response, and another assertion with its id."""
    evil = forger.assertion(Assertion(subject="victim"), signature=False)
    signed = forger.signed()
    signature = signature_in(signed)
    moved = evil.replace("</saml:Issuer>", f"</saml:Issuer>{signature}", 1)
    return forger.response(moved, extensions='<samlp:Extensions><x xmlns="" ID="_a1"/></samlp:Extensions>')


def changed(forger: SamlForger) -> str:
    return forger.response(forger.signed().replace(">s-1<", ">victim<", 1))


def twice_signed(forger: SamlForger) -> str:
    signed = forger.signed()
    return forger.response(signed.replace(signature_in(signed), 2 * signature_in(signed), 1))


def foreign_reference(forger: SamlForger) -> str:
    """A signature of the response in the assertion."""
    signature = signature_in(forger.response(forger.assertion(VICTIM, signature=False), signed=True))
    evil = forger.assertion(VICTIM, signature=False).replace("</saml:Issuer>", f"</saml:Issuer>{signature}", 1)
    return forger.response(evil)


def with_xpath(forger: SamlForger) -> str:
    """A signature with a transform that selects only a part of the assertion."""
    template = signature_template("_a1", Assertion().algorithm, Assertion().digest)
    selected = template.replace(
        "</ds:Transforms>",
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>false()</ds:XPath>'
        "</ds:Transform></ds:Transforms>",
    )
    unsigned = forger.assertion(Assertion(subject="victim"))
    return forger.response(forger.sign(unsigned.replace(template, selected), "Assertion", "_a1"))


def late_signature(forger: SamlForger) -> str:
    """A wrong signature of the response after the assertion, whose signature is valid."""
    signed = forger.response(forger.signed(), signed=True)
    signature = signature_in(signed)
    return signed.replace(signature, "", 1).replace("</samlp:Response>", f"{signature}</samlp:Response>")


ENTITIES = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
ATTACKS: dict[str, tuple[Callable[[SamlForger], str], str]] = {
    "unsigned response": (lambda f: f.response(f.assertion(VICTIM, signature=False)), "The assertion is not signed"),
    "unsigned assertion": (
        lambda f: f.response(f.assertion(VICTIM, signature=False), signed=True),
        "The assertion is not signed",
    ),
    "XSW 1": (lambda f: wrapped_response(f, in_signature=True), "assertions"),
    "XSW 2": (lambda f: wrapped_response(f, in_signature=False), "assertions"),
    **{f"XSW {n}": (lambda f, n=n: wrapped_assertion(f, n), "The response has 2 assertions") for n in range(3, 9)},
    "same id twice": (same_id, "Several elements have the id '_a1'"),
    "changed assertion": (changed, "matches no certificate"),
    "late signature": (late_signature, "The signature of the Response is not at its beginning"),
    "two signatures": (twice_signed, "has 2 signatures"),
    "two assertions": (lambda f: f.response(f.signed() + f.signed(VICTIM)), "The response has 2 assertions"),
    "no assertion": (lambda f: f.response(""), "The response has 0 assertions"),
    "other reference": (foreign_reference, "covers another element"),
    "transform": (with_xpath, "transforms that are not permitted"),
    "changed response": (
        lambda f: f.response(f.signed(), signed=True).replace("Version", "Consent='' Version", 1),
        "of the response matches no",
    ),
    "SHA-1 signature": (plain(Assertion(algorithm=f"{SHA1}rsa-sha1")), "rsa-sha1, which is not permitted"),
    "SHA-1 digest": (plain(Assertion(digest=f"{SHA1}sha1")), "sha1, which is not permitted"),
    "HMAC": (
        lambda f: f.response(f.signed().replace("xmldsig-more#rsa-sha256", "xmldsig-more#hmac-sha256")),
        "hmac-sha256, which is not permitted",
    ),
    "no algorithm": (lambda f: f.response(f.signed().replace(Assertion().algorithm, "")), "which is not permitted"),
    "other key": (lambda f: f.response(f.signed(key=new_service_key("other"))), "matches no certificate"),
    "wrong audience": (plain(Assertion(audience="https://other.example")), "The audience of the assertion is"),
    "no audience": (plain(Assertion(audience="")), "The assertion has no audience"),
    "wrong recipient": (plain(Assertion(recipient="https://other.example")), "The recipient of the assertion is"),
    "wrong issuer": (plain(Assertion(issuer="https://other.example")), "The issuer of the assertion is"),
    "wrong response issuer": (lambda f: f.response(f.signed(), issuer="https://x.example"), "issuer of the response"),
    "wrong destination": (
        lambda f: f.response(f.signed()).replace('Destination="https://', 'Destination="https://x.'),
        "The response is for",
    ),
    "expired": (plain(Assertion(not_after_s=-61)), "expired at"),
    "not yet valid": (plain(Assertion(not_before_s=90)), "is valid only from"),
    "issued long ago": (plain(Assertion(issued_s=-700)), "was issued 7"),
    "issued in the future": (plain(Assertion(issued_s=90)), "was issued in the future"),
    "log-in has ended": (plain(Assertion(session='SessionNotOnOrAfter="2020-01-01T00:00:00Z"')), "has ended already"),
    "unknown condition": (plain(Assertion(condition='<x xmlns="urn:x"/>')), "does not match the schema of SAML"),
    "no request": (plain(Assertion(in_response_to="")), "The assertion answers no request"),
    "other request": (plain(Assertion(in_response_to="_other")), "not the request of this browser"),
    "transient NameID": (plain(Assertion(format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient")), "not persist"),
    "NameID without a format": (plain(Assertion(format="")), "The NameID is not persistent (format: none)"),
    "entities": (lambda f: ENTITIES + f.response(f.signed(Assertion(subject="s"))), "a document type"),
    "external entity": (lambda f: EXTERNAL + f.response(f.signed()), "a document type"),
    "UTF-16": (lambda f: f'<?xml version="1.0" encoding="utf-16"?>{f.response(f.signed())}', "is not UTF-8"),
    "comment in NameID": (
        lambda f: f.response(f.signed(Assertion(subject="victim@uni.example.evil"))).replace(
            "victim@uni.example", "victim@uni.example<!-- -->"
        ),
        "a comment",
    ),
    "CDATA": (lambda f: f.response(f.signed()).replace(">s-1<", "><![CDATA[s-1]]><"), "CDATA"),
    "huge XML": (lambda f: f.response(f.signed()) + " " * 600_000, "more than 524288 bytes"),
    "deep XML": (lambda f: f.response(f.signed(), extensions=500 * "<x>" + 500 * "</x>"), "more than 40 levels"),
    "no XML": (lambda f: "no XML", "The document is not XML"),
    "remote key": (
        lambda f: f.response(f.signed()).replace(
            "<ds:SignatureValue>",
            f'<ds:KeyInfo xmlns:ds="{DS}"><ds:RetrievalMethod URI="file:///etc/passwd"/></ds:KeyInfo><ds:SignatureValue>',
        ),
        "RetrievalMethod, which is not permitted",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_wrong_response_is_refused(
    forger: SamlForger, anonymous: Client, app: FastAPI, db: Database, attack: str
):
    build, cause = ATTACKS[attack]
    before = await rows_of_users(db)
    assert await answer(forger, anonymous, build) == "/?sign-on=wrong-token"
    assert cause in await cause_of_refusal(app, db)
    assert await rows_of_users(db) == before


@pytest.mark.parametrize("skewed", [Assertion(not_after_s=-50), Assertion(not_before_s=50), Assertion(issued_s=50)])
async def test_the_clock_of_an_identity_provider_may_differ_by_50_s(
    forger: SamlForger, anonymous: Client, skewed: Assertion
):
    assert await answer(forger, anonymous, plain(skewed)) == "/"


async def test_an_assertion_is_used_only_once(forger: SamlForger, anonymous: Client, app: FastAPI, db: Database):
    forger.read_request(await begin(anonymous))
    form = forger.form(forger.response(forger.signed()))
    assert await send_saml(anonymous, form) == "/"
    assert await send_saml(anonymous, form) == "/?sign-on=wrong-token"
    assert "The assertion '_a1' was used before." in await cause_of_refusal(app, db)


async def test_another_browser_cannot_finish_a_saml_log_in(
    forger: SamlForger, anonymous: Client, connect: MakeClient, app: FastAPI, db: Database
):
    forger.read_request(await begin(anonymous))
    victim = await connect()
    await begin(victim)
    assert await send_saml(victim, forger.form(forger.response(forger.signed()))) == "/?sign-on=unknown-attempt"
    assert "The browser has not begun a log-in with this state." in await cause_of_refusal(app, db)
    assert "__Host-greenroom" not in victim.cookies


async def test_the_relay_state_leads_to_no_other_site(forger: SamlForger, anonymous: Client):
    forger.read_request(await begin(anonymous))
    forger.relay_state = "https://evil.example"
    assert await send_saml(anonymous, forger.form(forger.response(forger.signed()))) == "/?sign-on=unknown-attempt"


async def test_a_code_of_an_answer_is_used_only_once(forger: SamlForger, anonymous: Client, app: FastAPI, db: Database):
    forger.read_request(await begin(anonymous))
    form = forger.form(forger.response(forger.signed()))
    location = (await anonymous.post(form.path, data=form.fields)).headers["location"]
    path = location.removeprefix("https://127.0.0.1:8443")
    kept = dict(anonymous.cookies)
    assert (await anonymous.get(path)).headers["location"] == "/"
    anonymous.cookies.update(kept)
    assert (await anonymous.get(path)).headers["location"] == "/?sign-on=unknown-attempt"
    assert "was used, or has expired" in await cause_of_refusal(app, db)


@pytest.mark.usefixtures("frozen_limits")
async def test_too_many_wrong_responses_are_refused_without_a_check(forger: SamlForger, anonymous: Client):
    forger.read_request(await begin(anonymous))
    form = forger.form("no XML")
    for _ in range(50):
        assert await send_saml(anonymous, form) == "/?sign-on=wrong-token"
    assert (await anonymous.post(form.path, data=form.fields)).status_code == 429
