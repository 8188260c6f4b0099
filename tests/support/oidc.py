"""OpenID Connect providers for tests: the real package oidc-provider, and one that signs any token of a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jws
from joserfc.jwk import RSAKey

FOLDER = Path(__file__).parent.parent / "stand_ins/oidc"
ORIGIN = "https://127.0.0.1:8443"
SECRET = "the secret of the client"
UNKNOWN_CODE = "no-such-code"
"""The code that the test of a provider sends."""


def client_of(name: str, client_id: str = "greenroom", **more: Any) -> dict[str, Any]:
    """Return Greenroom as a client of oidc-provider, with the provider's name in Greenroom."""
    return {
        "client_id": client_id,
        "client_secret": SECRET,
        "redirect_uris": [f"{ORIGIN}/api/v1/sign-on/{name}/callback"],
        "post_logout_redirect_uris": [f"{ORIGIN}/"],
        "grant_types": ["authorization_code", "refresh_token"],
        **more,
    }


@dataclass
class Provider:
    """A running oidc-provider. `issuer` is its address."""

    issuer: str

    cookies: httpx2.Cookies = field(default_factory=httpx2.Cookies)
    """The cookies of the last log-in."""

    def control(self, **change: Any) -> dict[str, Any]:
        """Change the provider: accounts, tokenStatus, rotate, revoke. Returns the log-out tokens that it has sent."""
        return httpx2.post(f"{self.issuer}/control", json=change, timeout=10).raise_for_status().json()

    async def log_in(self, url: str, login: str) -> str:
        """Log in at the address of an authorization request; returns the address to which the provider sends back."""
        async with httpx2.AsyncClient(timeout=20) as http:
            answer = await http.get(url)
            while True:
                location = answer.headers.get("location", "")
                if location.startswith(ORIGIN):
                    self.cookies = http.cookies
                    return location
                if answer.is_redirect:
                    answer = await http.get(httpx2.URL(self.issuer).join(location))
                else:
                    assert answer.status_code == 200, answer.text
                    answer = await http.post(answer.url, data={"deny": "1"} if login == "deny" else {"login": login})

    async def log_out(self, url: str) -> str:
        """Confirm the log-out of the last log-in at this address; returns where the provider sends the browser."""
        async with httpx2.AsyncClient(timeout=20, cookies=self.cookies) as http:
            form = await http.get(url)
            xsrf = re.search(r'name="xsrf" value="([^"]+)"', form.text)
            assert xsrf, form.text
            data = {"xsrf": xsrf[1], "logout": "yes"}
            return (await http.post(f"{self.issuer}/session/end/confirm", data=data)).headers["location"]


@contextmanager
def oidc_provider(*clients: dict[str, Any], **config: Any) -> Generator[Provider]:
    """Run oidc-provider for these clients until the end of the block."""
    command = ["node", str(FOLDER / "provider.mjs"), json.dumps({"clients": clients, **config})]
    environment = os.environ | {"NODE_NO_WARNINGS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.stdout is not None
        try:
            issuer = process.stdout.readline().decode().strip()
            assert issuer.startswith("http://"), "run script/test, which installs the packages of tests/stand_ins/oidc"
            yield Provider(issuer)
        finally:
            process.kill()


@dataclass
class Forger:
    """A provider whose answers a test determines. `claims` and `header` change those of the next ID tokens."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}))
    published: list[dict[str, Any]] | None = None
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    header: dict[str, Any] = field(default_factory=dict[str, Any])
    sign: Callable[[dict[str, Any]], str] | None = None
    nonce: str = ""
    document: dict[str, Any] = field(default_factory=dict[str, Any])
    userinfo: dict[str, Any] | None = None
    token_requests: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """The requests of log-ins; the test of a provider sends an unknown code."""

    def id_claims(self) -> dict[str, Any]:
        now = int(time.time())
        standard = {"iss": self.issuer, "sub": "s-1", "aud": "greenroom", "iat": now, "exp": now + 300}
        claims = standard | {"nonce": self.nonce, "preferred_username": "ada"} | self.claims
        return {name: value for name, value in claims.items() if value is not None}

    def id_token(self) -> str:
        if self.sign:
            return self.sign(self.id_claims())
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        return jws.serialize_compact(header, json.dumps(self.id_claims()), self.key)

    def answer(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        keys = [self.key.as_dict(private=False)] if self.published is None else self.published
        endpoints = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks"}
        match path:
            case "/.well-known/openid-configuration":
                document = {name: f"{self.issuer}/{end}" for name, end in endpoints.items()}
                if self.userinfo is not None:
                    document["userinfo_endpoint"] = f"{self.issuer}/userinfo"
                return document | {"issuer": self.issuer} | self.document
            case "/jwks":
                return {"keys": keys}
            case "/token":
                if form.get("code") != UNKNOWN_CODE:
                    self.token_requests.append(form)
                answer = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.id_token()}
                return answer | {"refresh_token": f"refresh-{len(self.token_requests)}"}
            case _:
                return self.userinfo or {}


@contextmanager
def forging_provider() -> Generator[Forger]:
    """Run a provider on this host that signs any token of the test, until the end of the block."""
    forger = Forger()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", 0))
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            body = json.dumps(forger.answer(urlsplit(self.path).path, form)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        forger.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield forger
        finally:
            server.shutdown()
            thread.join()
