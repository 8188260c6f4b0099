"""Steps of tests of sign-on: create a provider, begin a log-in, come back from the provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from fastapi import FastAPI
from tests.database.api.client import SAME_ORIGIN, Client
from tests.support.canaille import Canaille
from tests.support.oidc import ORIGIN, SECRET, Forger, Provider
from tests.support.saml import ENTITY_ID, IdentityProvider, SamlForm

from greenroom.db.database import Database

PROVIDERS = "/api/v1/sign-on-providers"


async def offer(admin: Client, issuer: str, name: str = "campus", **fields: Any) -> dict[str, Any]:
    """Create a provider."""
    values = {"name": name, "title": name.title(), "client_id": "greenroom", "client_secret": SECRET, "issuer": issuer}
    return await admin.make(PROVIDERS, **values | fields)


async def begin(browser: Client, name: str = "campus", path: str = "/") -> str:
    """Begin a log-in; returns the address at the provider."""
    answer = await browser.post(f"/api/v1/sign-on/{name}/start", json={"next": path}, headers=SAME_ORIGIN)
    assert answer.status_code == 200, answer.text
    return answer.json()["url"]


async def come_back(browser: Client, location: str) -> httpx2.Response:
    """Follow the redirect of the provider to Greenroom."""
    assert location.startswith(ORIGIN)
    return await browser.get(location.removeprefix(ORIGIN))


async def log_in_at(
    provider: Provider | Canaille, browser: Client, login: str, name: str = "campus", path: str = "/"
) -> str:
    """Log in through a provider; returns the address to which Greenroom sends the browser."""
    location = await provider.log_in(await begin(browser, name, path), login)
    answer = await come_back(browser, location)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def forged(forger: Forger, browser: Client, name: str = "campus", **parameters: str) -> str:
    """Come back from the forging provider; returns the address to which Greenroom sends the browser."""
    return await forged_answer(forger, browser, await begin(browser, name), name, **parameters)


async def forged_answer(forger: Forger, browser: Client, url: str, name: str = "campus", **parameters: str) -> str:
    """Answer a request at the forging provider; returns the address to which Greenroom sends the browser."""
    query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    forger.nonce = query["nonce"]
    sent = {"code": "c", "state": query["state"], **parameters}
    answer = await browser.get(f"/api/v1/sign-on/{name}/callback", params=sent)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def rows_of_users(db: Database) -> tuple[int, int, int]:
    """The numbers of users, identities and log-ins, to see that nothing was created."""
    (row,) = await db.fetch(
        "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM identities) AS identities,"
        " (SELECT count(*) FROM login_sessions) AS logins"
    )
    return row["users"], row["identities"], row["logins"]


async def offer_saml(admin: Client, idp: IdentityProvider, name: str = "campus", **fields: Any) -> dict[str, Any]:
    """Create a SAML provider, and register Greenroom at the identity provider."""
    values: dict[str, Any] = {
        "protocol": "saml",
        "client_id": ENTITY_ID,
        "client_secret": None,
        "attributes": {"username": "uid", "first_name": "givenName"},
    }
    if "metadata_xml" not in fields:
        values["metadata_url"] = idp.metadata_url
    made = await offer(admin, idp.entity_id, name, **values | fields)
    idp.register((await admin.get(made["service_metadata_uri"].removeprefix(ORIGIN))).text)
    return made


async def send_saml(browser: Client, form: SamlForm) -> str:
    """Send the form of an identity provider; returns the address to which Greenroom sends the browser in the end."""
    cookies = dict(browser.cookies)
    browser.cookies.clear()  # a browser sends no cookies in requests from another site
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://idp.example"}
    answer = await browser.post(form.path, data=form.fields, headers=headers)
    browser.cookies.update(cookies)
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    if not location.startswith(ORIGIN):
        return location
    back = await come_back(browser, location)
    assert back.status_code == 303, back.text
    return back.headers["location"]


async def saml_log_in_at(
    idp: IdentityProvider, browser: Client, login: str, name: str = "campus", path: str = "/"
) -> str:
    """Log in at an identity provider; returns the address to which Greenroom sends the browser."""
    return await send_saml(browser, await idp.log_in(await begin(browser, name, path), login))


async def cause_of_refusal(app: FastAPI, db: Database) -> str:
    """The message of the last refused sign-on in the log."""
    await app.state.logs.flush()
    rows = await db.fetch("SELECT message FROM logs WHERE code = 'sign-on-refused' ORDER BY log_id DESC LIMIT 1")
    return rows[0]["message"]
