"""The OpenID Connect provider canaille for tests, at whose forms users log in with a name and a password."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
from tests.support.oidc import ORIGIN, client_of

FOLDER: Final = Path(__file__).parent.parent / "stand_ins/canaille"
PASSWORD: Final = "a long passphrase"
_MAX_FORMS: Final = 5


@dataclass
class Canaille:
    """A running canaille. `issuer` is its address."""

    issuer: str
    cookies: httpx2.Cookies = field(default_factory=httpx2.Cookies)
    """The cookies of the last log-in."""

    async def log_in(self, url: str, login: str) -> str:
        """Log in at the address of an authorization request; returns the address to which canaille sends back."""
        self.cookies = httpx2.Cookies()
        return await self.browse(url, {"login": login, "password": PASSWORD, "answer": "accept"})

    async def browse(self, url: str, fields: dict[str, str]) -> str:
        """Open an address and send each form with these fields; returns the first address at Greenroom."""
        async with httpx2.AsyncClient(timeout=20, cookies=self.cookies) as http:
            answer = await self._follow(http, await http.get(url))
            for _ in range(_MAX_FORMS):
                if answer.has_redirect_location:
                    self.cookies = http.cookies
                    return answer.headers["location"]
                answer = await self._follow(http, await http.post(answer.url, data=fields | _token_of(answer.text)))
        raise AssertionError(f"canaille does not send the browser back from {answer.url}: {answer.text}")

    async def asks_for_a_name(self, url: str) -> bool:
        """Open the address of an authorization request; returns whether the user is not logged in."""
        async with httpx2.AsyncClient(timeout=20, cookies=self.cookies) as http:
            answer = await self._follow(http, await http.get(url))
        return not answer.has_redirect_location and 'name="login"' in answer.text

    async def _follow(self, http: httpx2.AsyncClient, answer: httpx2.Response) -> httpx2.Response:
        """Follow redirects until a page, or until a redirect to Greenroom."""
        while answer.has_redirect_location and not answer.headers["location"].startswith(ORIGIN):
            answer = await http.get(httpx2.URL(self.issuer).join(answer.headers["location"]))
        assert answer.status_code < 400, answer.text
        return answer


def _token_of(page: str) -> dict[str, str]:
    """Return the token of the form, which protects it from requests of other sites."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page
    return {"csrf_token": html.unescape(found[1])}


@contextmanager
def canaille(*usernames: str) -> Generator[Canaille]:
    """Run canaille with these users, and Greenroom as the provider `campus`, until the end of the block."""
    client = client_of(
        "campus",
        client_name="Greenroom",
        client_uri=ORIGIN,
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
    )
    users = [
        {"user_name": name, "given_name": name.title(), "family_name": "Example", "emails": [f"{name}@uni.example"]}
        | {"formatted_name": name, "password": PASSWORD}
        for name in usernames
    ]
    config = json.dumps({"client": client, "users": users})
    command = [str(FOLDER / ".venv/bin/python"), str(FOLDER / "provider.py"), config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            issuer = process.stdout.readline().decode().strip()
            assert issuer.startswith("http://"), "run script/test, which installs tests/stand_ins/canaille"
            yield Canaille(issuer)
        finally:
            process.kill()
