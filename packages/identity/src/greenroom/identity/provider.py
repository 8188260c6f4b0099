"""Requests to OpenID Connect providers: discovery, keys, tokens and claims.

A request ends after `TIMEOUT_S`. A provider that hangs delays only the users who log in through this provider. No
request holds a connection to the database. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2 import rfc7636
from authlib.oauth2.rfc6749 import parameters
from authlib.oidc.discovery import get_well_known_url

from greenroom.core.text import one_line
from greenroom.identity.statements import SignOnProvider
from greenroom.identity.tokens import Claims, ExpectedToken, Keys, TokenRefused
from greenroom.kit.concurrency import CachedReads

TIMEOUT_S: Final = 8.0
MAX_ANSWER_BYTES: Final = 2 << 20
"""Maximum size of an answer, which must not be compressed."""
MIN_CACHE_S: Final = 60.0
MAX_CACHE_S: Final = 600.0
"""The time for which the document of a provider and its keys are used without another request, and for which a key is
thus accepted after the provider has withdrawn it. `Cache-Control` of the answer can shorten it to `MIN_CACHE_S`."""
MAX_OPEN_REQUESTS: Final = 100
"""Maximum number of requests to one host that have no answer yet. The limit prevents that a provider that hangs uses
all connections of this process."""
PARSE_ERRORS: Final = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError)
"""The errors that Authlib raises for answers with values of unexpected types."""
SHARED_RESULT_S: Final = 5.0
"""The time for which all callers that need the same document or keys get the result or the failure of one request. A
provider that hangs, or tokens with unknown keys, therefore cause few requests."""

_open_requests = Counter[str]()
"""Host → number of requests without an answer."""


class ProviderFailed(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """A provider does not answer, or its answer cannot be used. The message is the cause, as a sentence."""


class GrantRefused(ProviderFailed):
    """The provider refuses a code or a refresh token. `error` is the OAuth 2.0 error code, such as `invalid_grant`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"The provider refused the request: {error}{f' ({description})' if description else ''}.")
        self.error = error


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The fields of a provider's discovery document that Greenroom uses."""

    authorization: str
    token: str
    jwks: str
    userinfo: str | None
    end_session: str | None
    requires_issuer: bool
    """True if the provider adds its issuer (`iss`) to the answer of an authorization request."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The answer of a token endpoint."""

    access_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)


def issuer_problem(issuer: str) -> str | None:
    """Return the reason why an address cannot be an issuer, as a sentence; None if the address is valid."""
    try:
        parts = urlsplit(issuer)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return f"{issuer} is not a web address."
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment or parts.username:
        return f"{issuer} cannot be an issuer; it must be an address such as https://login.example.org."
    if parts.scheme == "http" and not is_loopback(host):
        return f"{issuer} must begin with https://, because tokens and keys are sent over this connection."
    return None


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_endpoints(document: Mapping[str, Any], issuer: str) -> Endpoints:
    """Return the endpoints in a discovery document. Raises ProviderFailed: the document belongs to another issuer,
    lacks an endpoint, or contains an address that is not safe."""
    if document.get("issuer") != issuer:
        raise ProviderFailed(
            f"The document belongs to the issuer {document.get('issuer')!r} instead of {issuer!r}; enter the issuer"
            " exactly as the provider writes it."
        )
    supported: Any = document.get("code_challenge_methods_supported")
    if isinstance(supported, list) and "S256" not in supported:
        raise ProviderFailed("The provider does not support PKCE with S256.")
    return Endpoints(
        authorization=_endpoint(document, "authorization_endpoint", issuer),
        token=_endpoint(document, "token_endpoint", issuer),
        jwks=_endpoint(document, "jwks_uri", issuer),
        userinfo=_optional_endpoint(document, "userinfo_endpoint", issuer),
        end_session=_optional_endpoint(document, "end_session_endpoint", issuer),
        requires_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _optional_endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str | None:
    return _endpoint(document, name, issuer) if document.get(name) is not None else None


def _endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    address = document.get(name)
    if not isinstance(address, str):
        raise ProviderFailed(f"The document has no {name}.")
    scheme = "https" if issuer.startswith("https://") else urlsplit(address).scheme
    if issuer_problem(address.partition("?")[0]) or urlsplit(address).scheme != scheme:
        raise ProviderFailed(f"The {name} {address} is not an https address.")
    return address


@asynccontextmanager
async def provider_request(address: str) -> AsyncGenerator[None]:
    """Limit the time and the number of requests to a provider, and replace the errors of the HTTP client.

    Raises:
        ProviderFailed: the request fails, takes longer than `TIMEOUT_S`, or is not sent because `MAX_OPEN_REQUESTS`
            other requests have no answer.
        GrantRefused: the provider refused the code or the token.
    """
    host = urlsplit(address).netloc
    if _open_requests[host] >= MAX_OPEN_REQUESTS:
        raise ProviderFailed(f"{MAX_OPEN_REQUESTS} requests to {host} have no answer yet.")
    _open_requests[host] += 1
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise ProviderFailed(f"{host} did not answer within {TIMEOUT_S:g} s.") from error
    except OAuthError as error:
        raise GrantRefused(one_line(str(error.error)), one_line(str(error.description or ""))[:300]) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, *PARSE_ERRORS) as error:
        reason = one_line(str(error).partition("\n")[0]) or type(error).__name__  # more lines are links to documents
        raise ProviderFailed(f"The request to {host} failed: {reason}.") from error
    finally:
        _open_requests[host] -= 1


@dataclass(frozen=True, slots=True)
class ProviderContent:
    """The content at an address of a provider, and the time for which it can be cached."""

    content: bytes = field(repr=False)
    cache_s: float = MAX_CACHE_S

    def json(self, address: str) -> dict[str, Any]:
        """Return the JSON object in the content. Raises ProviderFailed: it is none."""
        try:
            document = json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise ProviderFailed(f"The answer of {address} is not JSON.") from error
        if not isinstance(document, dict):
            raise ProviderFailed(f"The answer of {address} is not a JSON object.")
        return cast("dict[str, Any]", document)


def cache_time_s(cache_control: str) -> float:
    """Return the time for which an answer with this header `Cache-Control` is cached, from `MIN_CACHE_S` to
    `MAX_CACHE_S`."""
    if re.search(r"\bno-(store|cache)\b", cache_control, re.IGNORECASE):
        return MIN_CACHE_S
    max_age = re.search(r"\bmax-age\s*=\s*\"?(\d{1,9})", cache_control, re.IGNORECASE | re.ASCII)
    return min(max(float(max_age[1]), MIN_CACHE_S), MAX_CACHE_S) if max_age else MAX_CACHE_S


async def get_content(address: str, accept: str, *, bearer: str | None = None) -> ProviderContent:
    """Return the content at an address. Raises ProviderFailed: the address does not answer with status 200."""
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    async with provider_request(address), httpx2.AsyncClient(**http_settings()) as http:
        response = await http.get(address, headers=headers)
    if response.status_code != 200:
        raise ProviderFailed(f"{address} answered with status {response.status_code} instead of 200.")
    return ProviderContent(response.content, cache_time_s(response.headers.get("cache-control", "")))


async def get_json(address: str, *, bearer: str | None = None) -> dict[str, Any]:
    """Return the JSON object at an address. Raises ProviderFailed: the address does not answer with a JSON object."""
    return (await get_content(address, "application/json", bearer=bearer)).json(address)


def http_settings() -> dict[str, Any]:
    """Return the settings of an HTTPX client for requests to providers. They limit the time of a request and the size
    of its answer, also of an answer from an HTTP proxy."""
    return {
        "verify": tls_context(),
        "timeout": TIMEOUT_S,
        "follow_redirects": False,
        "headers": {"Accept-Encoding": "identity"},
        "event_hooks": {"response": [_limit_answer]},
    }


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context of all requests to providers. It is created only once, because this takes 16 ms."""
    return httpx2.create_ssl_context()


async def _limit_answer(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.ReadError("the answer is compressed, although this was not requested")
    response.stream = _LimitedStream(cast("httpx2.AsyncByteStream", response.stream))


class _LimitedStream(httpx2.AsyncByteStream):
    """The content of an answer. Raises httpx2.ReadError: the content has more than `MAX_ANSWER_BYTES`."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for part in self._stream:
            received += len(part)
            if received > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def document_address(issuer: str) -> str:
    """Return the address of the discovery document of an issuer."""
    return str(cast("Any", get_well_known_url)(issuer, external=True))


async def _read_endpoints(issuer: str) -> Endpoints:
    return parse_endpoints(await get_json(document_address(issuer)), issuer)


async def _read_keys(address: str) -> tuple[Keys, float]:
    """Return the keys at an address, and the time for which they can be cached."""
    answer = await get_content(address, "application/json")
    return Keys.of(answer.json(address)), answer.cache_s


@dataclass(slots=True)
class _CachedProvider:
    """The times are monotonic."""

    revision: str
    endpoints: Endpoints
    endpoints_expire_s: float
    keys: Keys | None = None
    keys_expire_s: float = 0.0


class ProviderCache:
    """Caches the endpoints and the keys of the providers, by issuer. Each process has one cache. An entry belongs to a
    revision of the provider's row, so that a change or `statements.forget_keys` reaches all processes."""

    def __init__(self) -> None:
        self._cached: dict[str, _CachedProvider] = {}
        self._endpoint_reads = CachedReads[Endpoints](SHARED_RESULT_S)
        self._key_reads = CachedReads[tuple[Keys, float]](SHARED_RESULT_S)

    async def endpoints(self, provider: SignOnProvider) -> Endpoints:
        """Return the endpoints of a provider. Raises ProviderFailed: the provider does not answer, or its document is
        not valid."""
        return (await self._cached_provider(provider)).endpoints

    async def read_token(self, provider: SignOnProvider, read: Callable[[Keys], Claims]) -> Claims:
        """Check a token with `read` and the keys of the provider, and return its claims. If the provider may have
        signed the token with a new key, the keys are requested again, and the check is repeated.

        Raises:
            TokenRefused: the token is not valid; the message is the cause.
            ProviderFailed: as for `endpoints`.
        """
        keys = await self.keys(provider)
        try:
            return read(keys or Keys(()))
        except TokenRefused as error:
            if not error.may_be_new_key or (new_keys := await self.keys(provider, again=True)) is None:
                raise
            return read(new_keys)

    async def keys(self, provider: SignOnProvider, *, again: bool = False) -> Keys | None:
        """Return the keys of a provider. With `again`, the keys are requested even if they are cached; None means that
        they were already requested again within the last `SHARED_RESULT_S`."""
        entry, now_s = await self._cached_provider(provider), time.monotonic()
        cached = entry.keys
        if cached is not None and not again and now_s < entry.keys_expire_s:
            return cached
        address = entry.endpoints.jwks
        # The revision is in the name, because a read before the revision may have the keys that must be forgotten.
        name = f"{'again ' if again else ''}{provider.revision} {address}"
        keys, cache_s = await self._key_reads.get(name, partial(_read_keys, address))
        if again and keys is cached:
            return None
        entry.keys, entry.keys_expire_s = keys, now_s + cache_s
        return keys

    def forget(self, issuer: str) -> None:
        """Remove an issuer from the cache, so that its document is requested again when it is next needed."""
        self._cached.pop(issuer, None)

    async def _cached_provider(self, provider: SignOnProvider) -> _CachedProvider:
        issuer, revision = provider.issuer, provider.revision
        entry = self._cached.get(issuer)
        if entry is None or entry.revision != revision or time.monotonic() >= entry.endpoints_expire_s:
            endpoints = await self._endpoint_reads.get(f"{revision} {issuer}", partial(_read_endpoints, issuer))
            entry = self._cached[issuer] = _CachedProvider(revision, endpoints, time.monotonic() + MAX_CACHE_S)
        return entry


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Sends requests to one provider, with the client ID and the client secret of Greenroom."""

    provider: SignOnProvider
    secret: str | None = field(repr=False)
    endpoints: Endpoints

    @property
    def expected_token(self) -> ExpectedToken:
        return ExpectedToken(self.provider.issuer, self.provider.client_id)

    def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
        """Return the address at which the user logs in. It contains the code challenge of `verifier` (PKCE, S256)."""
        url = cast("Any", parameters).prepare_grant_uri(
            self.endpoints.authorization,
            self.provider.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=self.provider.scopes,
            state=state,
            nonce=nonce,
            code_challenge=cast("Any", rfc7636).create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return str(url)

    async def redeem(self, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Return the tokens for a code. Raises ProviderFailed: the provider does not answer, or refuses the code."""
        async with provider_request(self.endpoints.token), self._oauth_client(redirect_uri) as oauth:
            answer = await oauth.fetch_token(
                self.endpoints.token, code=code, code_verifier=verifier, grant_type="authorization_code"
            )
        return _tokens(answer)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens. Raises ProviderFailed: the provider does not answer, or refuses the refresh token."""
        async with provider_request(self.endpoints.token), self._oauth_client(None) as oauth:
            answer = await oauth.refresh_token(self.endpoints.token, refresh_token=refresh_token)
        return _tokens(answer)

    def _oauth_client(self, redirect_uri: str | None) -> Any:
        return AsyncOAuth2Client(
            client_id=self.provider.client_id,
            client_secret=self.secret,
            token_endpoint_auth_method=self.provider.client_auth if self.secret else "none",
            scope=self.provider.scopes,
            redirect_uri=redirect_uri,
            **http_settings(),
        )


def _tokens(answer: Mapping[str, Any]) -> Tokens:
    def text(name: str) -> str | None:
        value = answer.get(name)
        return value if isinstance(value, str) and value else None

    return Tokens(text("access_token"), text("id_token"), text("refresh_token"))
