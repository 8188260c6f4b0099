"""A SAML identity provider for tests: the real package samlp."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from defusedxml.ElementTree import fromstring
from tests.support.oidc import ORIGIN

from greenroom.identity.saml.signatures import ServiceKey, new_service_key

FOLDER = Path(__file__).parent.parent / "stand_ins/saml"
ENTITY_ID = "https://greenroom.example/saml"


@dataclass(frozen=True)
class SamlForm:
    """The form with which an identity provider sends a response to a service."""

    address: str
    fields: dict[str, str]

    @property
    def path(self) -> str:
        assert self.address.startswith(ORIGIN), self.address
        return self.address.removeprefix(ORIGIN)


@dataclass
class IdentityProvider:
    """A running identity provider. `address` is its address."""

    address: str

    @property
    def entity_id(self) -> str:
        return f"{self.address}/idp"

    @property
    def metadata_url(self) -> str:
        return f"{self.address}/metadata"

    def control(self, **change: Any) -> None:
        """Change the identity provider: accounts, service, rotate, encrypt, signResponse."""
        httpx2.post(f"{self.address}/control", json=change, timeout=10).raise_for_status()

    def register(self, service_metadata: str) -> None:
        """Register Greenroom with its metadata."""
        root = fromstring(service_metadata)
        certificate = "".join(next(root.iter("{http://www.w3.org/2000/09/xmldsig#}X509Certificate")).itertext())
        pem = f"-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n"
        public_key = ServiceKey("", pem).x509.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        service = {
            "entityId": root.attrib["entityID"],
            "certificate": pem,
            "publicKey": public_key.decode(),
            "callback": _location(root, "AssertionConsumerService"),
            "logOut": _location(root, "SingleLogoutService"),
        }
        self.control(service=service)

    async def log_in(self, url: str, login: str) -> SamlForm:
        """Log in at the address of a request; returns the form that the identity provider lets the browser send."""
        assert url.startswith(f"{self.address}/login?")
        async with httpx2.AsyncClient(timeout=20) as http:
            answer = await http.post(url, data={"login": login})
        assert answer.status_code == 200, answer.text
        return form_in(answer.text)

    async def follow(self, url: str) -> str:
        """Open an address of the identity provider; returns the address to which it sends the browser, or ""."""
        async with httpx2.AsyncClient(timeout=20) as http:
            answer = await http.get(url)
        assert answer.status_code < 400, answer.text
        return answer.headers.get("location", "")

    def forget_log_ins(self) -> None:
        """Forget all log-ins, so that a log-out ends only later ones."""
        self.control(forget=True)


def _location(root: Any, name: str) -> str:
    return next(root.iter(f"{{urn:oasis:names:tc:SAML:2.0:metadata}}{name}")).attrib["Location"]


def form_in(page: str) -> SamlForm:
    """Return the form of a page."""
    action = re.search(r'action="([^"]+)"', page)
    assert action, page
    fields = re.findall(r'name="([^"]+)"\s+value="([^"]*)"', page)
    return SamlForm(html.unescape(action[1]), {name: html.unescape(value) for name, value in fields})


@contextmanager
def saml_identity_provider(**config: Any) -> Generator[IdentityProvider]:
    """Run samlp until the end of the block. It has two keys; `rotate` changes to the other key."""
    pairs = [new_service_key(name) for name in ("first", "second")]
    keys = [{"key": pair.private_key, "certificate": pair.certificate} for pair in pairs]
    command = ["node", str(FOLDER / "provider.mjs"), json.dumps({"keys": keys, **config})]
    environment = os.environ | {"NODE_NO_WARNINGS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().decode().strip()
            assert urlsplit(address).scheme == "http", "run script/test, which installs tests/stand_ins/saml"
            yield IdentityProvider(address)
        finally:
            process.kill()
