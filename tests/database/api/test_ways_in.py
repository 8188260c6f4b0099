"""Bad input through each way in: OpenID Connect, SAML, LDAP and SCIM. Each attempt creates a whole user or nothing."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import count
from typing import Any, LiteralString, Protocol
from xml.sax.saxutils import escape

import pytest
from tests.database.api.client import Client, MakeClient
from tests.database.api.directing import add, log_in
from tests.database.api.provisioning import provisioner
from tests.database.api.signing_on import begin, forged, offer, rows_of_users, send_saml
from tests.support.directories import Slapd, slapd
from tests.support.oidc import Forger
from tests.support.saml import ENTITY_ID
from tests.support.saml_forger import ISSUER, Assertion, SamlForger

from greenroom.db.database import Database

pytestmark = pytest.mark.usefixtures("long_timeout")

COOKIE = "__Host-greenroom"


class Way(Protocol):
    """A way to log in as a new user."""

    async def offer(self, admin: Client, **fields: Any) -> None:
        """Create the provider or directory."""
        ...

    async def attempt(self, browser: Client, username: str) -> str:
        """Log in; returns the code or the sentence of the refusal, "" if the log-in succeeds."""
        ...


class OidcWay:
    def __init__(self, forger: Forger) -> None:
        self._forger = forger
        self._subjects = count()

    async def offer(self, admin: Client, **fields: Any) -> None:
        await offer(admin, self._forger.issuer, create_users=True, **fields)

    async def attempt(self, browser: Client, username: str) -> str:
        self._forger.claims = {"preferred_username": username, "sub": f"s-{next(self._subjects)}"}
        return _refusal_in(await forged(self._forger, browser))


class SamlWay:
    def __init__(self) -> None:
        self._forger = SamlForger()
        self._subjects = count()

    async def offer(self, admin: Client, **fields: Any) -> None:
        values = {"protocol": "saml", "client_id": ENTITY_ID, "client_secret": None, "create_users": True}
        metadata = {"metadata_xml": self._forger.metadata(), "attributes": {"username": "login"}}
        await offer(admin, ISSUER, **values | metadata | fields)

    async def attempt(self, browser: Client, username: str) -> str:
        self._forger.read_request(await begin(browser))
        number = next(self._subjects)
        value = f"<saml:AttributeValue>{escape(username)}</saml:AttributeValue>"
        attributes = f'<saml:Attribute Name="login">{value}</saml:Attribute>'
        values = Assertion(subject=f"s-{number}", assertion_id=f"_a{number}", attributes=attributes)
        try:
            form = self._forger.form(self._forger.response(self._forger.signed(values)))
        except subprocess.CalledProcessError:  # the program that signs refuses characters that XML cannot contain
            form = self._forger.form(self._forger.response(self._forger.assertion(values)))
        return _refusal_in(await send_saml(browser, form))


class LdapWay:
    def __init__(self, server: Slapd) -> None:
        self._server = server

    async def offer(self, admin: Client, **fields: Any) -> None:
        await add(admin, self._server, create_users=True, **fields)

    async def attempt(self, browser: Client, username: str) -> str:
        try:
            dn = self._server.add_person(username)
        except AssertionError as error:  # slapd refuses names that its schema does not permit
            return str(error)
        try:
            answer = await log_in(browser, username)
        finally:
            self._server.delete(dn)
        return "" if answer.status_code == 200 else answer.json()["detail"]


def _refusal_in(location: str) -> str:
    return location.partition("?sign-on=")[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as running:
        yield running


@pytest.fixture(params=["oidc", "saml", "ldap"])
async def way(request: pytest.FixtureRequest, forger: Forger, server: Slapd, admin: Client) -> Way:
    ways: dict[str, Way] = {"oidc": OidcWay(forger), "saml": SamlWay(), "ldap": LdapWay(server)}
    found = ways[request.param]
    await found.offer(admin)
    return found


async def test_names_of_every_unicode_category_log_in_or_are_refused(way: Way, connect: MakeClient, db: Database):
    samples: dict[str, str] = {}
    for code in range(sys.maxunicode + 1):
        samples.setdefault(unicodedata.category(chr(code)), chr(code))
    del samples["Cs"]  # no encoding of a character; test_sign_on_attacks.py sends it as an escape of JSON
    created = set[str]()
    for category, character in samples.items():
        name = f"{category} {character}b"
        browser, before = await connect(), await rows_of_users(db)
        if refusal := await way.attempt(browser, name):
            assert await rows_of_users(db) == before, (category, refusal)
        else:
            me = (await browser.read("/api/v1/me"))["user"]
            assert me["username"] == unicodedata.normalize("NFC", name), category
            created.add(category)
    assert set(samples) - created == {"Cc", "Cf", "Cn", "Co", "Zl", "Zp"}


async def test_a_failure_in_the_middle_of_a_log_in_creates_nothing(way: Way, connect: MakeClient, db: Database):
    await _fail_at(db, "identities")
    browser, before = await connect(), await rows_of_users(db)
    try:
        refusal = await way.attempt(browser, "ada")
    except AssertionError as error:
        refusal = str(error)
    assert "internal" in refusal
    assert await rows_of_users(db) == before
    assert COOKIE not in browser.cookies


async def test_a_failure_in_the_middle_of_provisioning_creates_nothing(
    admin: Client, connect: MakeClient, db: Database
):
    scim = await provisioner(admin, connect)
    await _fail_at(db, "scim_users")
    before = await rows_of_users(db)
    await scim.refused(500, "POST", "/Users", {"userName": "ada"})
    assert await rows_of_users(db) == before


async def _fail_at(db: Database, table: LiteralString) -> None:
    """Let each new row of a table fail."""
    await db.write("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'test'; END $$")
    await db.write(f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")


async def test_a_log_in_ignores_a_token_that_another_set(way: Way, logged_in: MakeClient, connect: MakeClient):
    attacker, victim = await logged_in(), await connect()
    victim.cookies.set(COOKIE, attacker.cookies[COOKIE], domain="127.0.0.1", path="/")
    assert await way.attempt(victim, "ada") == ""
    tokens = {cookie.value for cookie in victim.cookies.jar if cookie.name == COOKIE}
    assert tokens - {attacker.cookies[COOKIE]}
    me = await attacker.get("/api/v1/me")
    assert me.status_code == 401 or me.json()["user"]["username"] != "ada"
