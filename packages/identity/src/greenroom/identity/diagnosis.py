"""The test of a provider: the steps of a log-in, one after the other, until one fails.

No user is logged in. The client secret is tested with a code that does not exist: the provider answers `invalid_grant`
if it accepts the client and its secret, and `invalid_client` otherwise.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from greenroom.core.text import one_line
from greenroom.identity.provider import (
    TIMEOUT_S,
    Endpoints,
    GrantRefused,
    OidcClient,
    ProviderFailed,
    document_address,
    get_json,
    http_settings,
    issuer_problem,
    parse_endpoints,
    provider_request,
    tls_context,
)
from greenroom.identity.statements import SignOnProvider
from greenroom.identity.tokens import Keys


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step. `detail` is a sentence: the finding, or the reason of the failure."""

    step: str
    passed: bool
    detail: str
    duration_ms: float


Steps = dict[str, Callable[[], Awaitable[str]]]
"""Name → step, in the order in which the steps run. A step returns its finding, as a sentence."""


class Diagnosis:
    """The steps of a test. `address` is the address of the provider to which Greenroom connects first."""

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def steps(self) -> Steps:
        return {"host": self._find_host, "connection": self._test_connection, "certificate": self._check_certificate}

    async def run(self) -> list[StepResult]:
        """Run the steps up to the first step that fails, and return their results."""
        results: list[StepResult] = []
        for name, step in self.steps.items():
            began_s = time.perf_counter()
            try:
                detail, passed = await step(), True
            except ProviderFailed as error:
                detail, passed = str(error), False
            results.append(StepResult(name, passed, detail, round(1000 * (time.perf_counter() - began_s), 1)))
            if not passed:
                break
        return results

    async def _find_host(self) -> str:
        if problem := issuer_problem(self._address.partition("?")[0]):
            raise ProviderFailed(problem)
        host, port = self._host_and_port()
        async with _time_limit(f"The name server did not answer for {host}"):
            try:
                entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise ProviderFailed(
                    f"The host {host} cannot be found; check the address and the name server."
                ) from error
        addresses = sorted({str(entry[4][0]) for entry in entries})
        return f"{host} has the address {', '.join(addresses[:4])}."

    async def _test_connection(self) -> str:
        host, port = self._host_and_port()
        async with _time_limit(f"{host} does not accept connections on port {port}"):
            await _connect(host, port, None)
        return f"{host} accepts connections on port {port}."

    async def _check_certificate(self) -> str:
        host, port = self._host_and_port()
        if urlsplit(self._address).scheme == "http":
            return "The provider is on this host and uses no TLS."
        async with _time_limit(f"{host} did not answer with a certificate"):
            await _connect(host, port, tls_context())
        return f"The certificate of {host} is valid."

    def _host_and_port(self) -> tuple[str, int]:
        parts = urlsplit(self._address)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class OidcDiagnosis(Diagnosis):
    """A test of an OpenID Connect provider. `redirect_uri` is the address to which the provider would send a user
    back."""

    def __init__(self, provider: SignOnProvider, secret: str | None, redirect_uri: str) -> None:
        super().__init__(provider.issuer)
        self._provider = provider
        self._secret = secret
        self._redirect_uri = redirect_uri
        self._document: dict[str, object] = {}
        self._endpoints: Endpoints | None = None

    @property
    def steps(self) -> Steps:
        return super().steps | {
            "document": self._read_document,
            "endpoints": self._check_endpoints,
            "keys": self._read_keys,
            "authorization": self._request_authorization,
            "client": self._test_client_secret,
        }

    async def _read_document(self) -> str:
        address = document_address(self._provider.issuer)
        self._document = dict(await get_json(address))
        return f"{address} is the document of a provider."

    async def _check_endpoints(self) -> str:
        self._endpoints = parse_endpoints(self._document, self._provider.issuer)
        return "The document belongs to the issuer and has all endpoints."

    async def _read_keys(self) -> str:
        keys = Keys.of(await get_json(self._oidc_client.endpoints.jwks))
        if not keys.keys:
            raise ProviderFailed("The provider publishes no public key that can verify a signature.")
        return f"Usable public keys of the provider: {len(keys.keys)}."

    async def _request_authorization(self) -> str:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = self._oidc_client.authorization_url(self._redirect_uri, state=state, nonce=nonce, verifier=verifier)
        async with provider_request(url), httpx2.AsyncClient(**http_settings()) as http:
            answer = await http.get(url)
        location = answer.headers.get("location", "")
        if answer.status_code >= 400 or location.startswith(f"{self._redirect_uri}?error="):
            problem = f"status {answer.status_code}" if answer.status_code >= 400 else one_line(location)[:200]
            raise ProviderFailed(
                f"The provider refuses the request to log in ({problem}). Check the client ID, the scopes, and that"
                f" {self._redirect_uri} is a redirect URI of the client."
            )
        return f"The provider offers a log-in to the client {self._provider.client_id}."

    async def _test_client_secret(self) -> str:
        try:
            await self._oidc_client.redeem("no-such-code", self._redirect_uri, secrets.token_urlsafe(32))
        except GrantRefused as error:
            if error.error != "invalid_grant":
                raise ProviderFailed(f"{error} Check the client ID and the client secret.") from error
        return "The provider accepts the client ID and the client secret."

    @property
    def _oidc_client(self) -> OidcClient:
        if self._endpoints is None:
            raise ProviderFailed("The document of the provider was not read.")
        return OidcClient(self._provider, self._secret, self._endpoints)


@asynccontextmanager
async def _time_limit(failure: str) -> AsyncGenerator[None]:
    """Limit the time of a step. `failure` is the beginning of the error message, such as "the host does not answer".

    Raises:
        ProviderFailed: the step takes too long, or its connection fails.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise ProviderFailed(f"{failure} within {TIMEOUT_S:g} s.") from error
    except ssl.SSLCertVerificationError as error:
        raise ProviderFailed(f"{failure}; its certificate is not valid: {error.verify_message}.") from error
    except OSError as error:
        raise ProviderFailed(f"{failure}: {error.strerror or error}.") from error


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> None:
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host if context else None)
    writer.close()
