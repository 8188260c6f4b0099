"""Requests to providers whose answers are large, compressed or odd."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from greenroom.identity import provider as provider_module
from greenroom.identity.provider import (
    MAX_ANSWER_BYTES,
    Endpoints,
    OidcClient,
    ProviderCache,
    ProviderFailed,
    cache_time_s,
    get_json,
    provider_request,
)
from greenroom.identity.statements import SignOnProvider


class Server:
    """A server that gives the same answer to each request. `paths` are the paths of the requests."""

    def __init__(self) -> None:
        self.address = ""
        self.headers = ""
        self.body = b"{}"
        self.paths: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.paths.append(head.split()[1].decode())
        head = f"HTTP/1.1 200 OK\r\n{self.headers}content-length: {len(self.body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + self.body)
        writer.close()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(provider_module, "TIMEOUT_S", 60.0)  # a busy machine must not end a request
    server = Server()
    async with await asyncio.start_server(server.answer, "127.0.0.1", 0) as listening:
        server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


def client_of(server: Server) -> OidcClient:
    provider = SignOnProvider(
        provider_id="1",
        name="campus",
        title="Campus",
        issuer=server.address,
        client_id="greenroom",
        client_secret_encrypted=None,
        client_auth="client_secret_basic",
        scopes="openid profile",
        enabled=True,
        create_users=False,
        rule_required=False,
        attributes={},
        rules=[],
        check_s=0,
        check_grace_s=0,
        created=datetime.now(UTC),
        num_logins=0,
    )
    end = server.address
    endpoints = Endpoints(f"{end}/auth?tenant=1", f"{end}/token", f"{end}/jwks", None, None, requires_issuer=False)
    return OidcClient(provider, "a secret", endpoints)


async def ask_for_json(server: Server) -> None:
    await get_json(f"{server.address}/jwks")


async def ask_for_tokens(server: Server) -> None:
    await client_of(server).redeem("code", "https://greenroom.example/callback", "v" * 43)


async def refresh_tokens(server: Server) -> None:
    await client_of(server).refresh("a refresh token")


REQUESTS = pytest.mark.parametrize("request_to", [ask_for_json, ask_for_tokens, refresh_tokens])
Request = Callable[[Server], Awaitable[None]]


@REQUESTS
async def test_a_large_answer_is_refused(server: Server, request_to: Request):
    server.body = b'{"access_token": "' + b"a" * MAX_ANSWER_BYTES + b'"}'
    with pytest.raises(ProviderFailed, match=f"failed: the answer has more than {MAX_ANSWER_BYTES} bytes"):
        await request_to(server)


@REQUESTS
async def test_a_compressed_answer_is_refused(server: Server, request_to: Request):
    server.headers, server.body = "content-encoding: gzip\r\n", gzip.compress(b"{}")
    with pytest.raises(ProviderFailed, match="failed: the answer is compressed"):
        await request_to(server)


@pytest.mark.parametrize("request_to", [ask_for_tokens, refresh_tokens])
@pytest.mark.parametrize(
    "body",
    [
        b'{"expires_in": Infinity}',
        b'{"expires_in": "soon"}',
        b'{"expires_at": [1]}',
        b'{"expires_at": {}}',
        b'[{"access_token": "a"}]',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
async def test_an_odd_answer_is_a_failure_of_the_provider(server: Server, request_to: Request, body: bytes):
    server.body = body
    with pytest.raises(ProviderFailed, match=r"^The request to 127\.0\.0\.1:\d+ failed: .+\.$"):
        await request_to(server)


async def test_the_answer_of_a_proxy_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", server.address)
    server.body = b" " * (MAX_ANSWER_BYTES + 1)
    with pytest.raises(ProviderFailed, match="the answer has more than"):
        await get_json("http://login.example/jwks")
    assert server.paths == ["http://login.example/jwks"]


def test_the_address_of_a_log_in():
    with patch("httpx2.AsyncClient.__init__", side_effect=AssertionError("a client is created")):
        url = client_of(Server()).authorization_url(
            "https://g.example/callback", state="s", nonce="n", verifier="v" * 43
        )
    assert url == (
        "/auth?tenant=1&response_type=code&client_id=greenroom&redirect_uri=https%3A%2F%2Fg.example%2Fcallback"
        "&scope=openid+profile&state=s&nonce=n"
        "&code_challenge=7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM&code_challenge_method=S256"
    )


@pytest.fixture
async def documents(server: Server) -> ProviderCache:
    """The documents of a process that has read the document of the server."""
    endpoints = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks"}
    document = {name: f"{server.address}/{end}" for name, end in endpoints.items()}
    server.body = json.dumps(document | {"issuer": server.address, "keys": []}).encode()
    documents = ProviderCache()
    await documents.endpoints(client_of(server).provider)
    server.paths.clear()
    return documents


@pytest.mark.parametrize("again", [False, True])
async def test_concurrent_log_ins_share_a_request_for_keys(server: Server, documents: ProviderCache, again: bool):
    keys = await asyncio.gather(*(documents.keys(client_of(server).provider, again=again) for _ in range(20)))
    assert keys[0] is not None
    assert all(one is keys[0] for one in keys)
    assert server.paths == ["/jwks"]


async def test_unknown_keys_are_requested_again_at_most_once(server: Server, documents: ProviderCache):
    await documents.keys(client_of(server).provider)
    assert await documents.keys(client_of(server).provider, again=True) is not None
    assert await documents.keys(client_of(server).provider, again=True) is None
    assert server.paths == ["/jwks", "/jwks"]


@pytest.mark.usefixtures("documents")
async def test_keys_are_read_again_after_ten_minutes_and_for_another_revision(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(provider_module, "SHARED_RESULT_S", 0.0)
    document, cache = "/.well-known/openid-configuration", ProviderCache()
    provider, now_s = client_of(server).provider, 1000.0
    monkeypatch.setattr(provider_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    await cache.keys(provider)
    now_s += 599
    await cache.keys(provider)
    assert server.paths == [document, "/jwks"]
    now_s += 2
    await cache.keys(provider)
    assert server.paths == [document, "/jwks"] * 2
    await cache.keys(replace(provider, revision="2"))
    assert server.paths == [document, "/jwks"] * 3


@pytest.mark.parametrize(
    ("cache_control", "time_s"),
    [
        *(("", 600), ("max-age=300", 300), ("public, Max-Age = 86400", 600), ("max-age=0", 60), ("no-store", 60)),
        *(("private, no-cache", 60), ("max-age=x", 600), ("s-maxage=90", 600), ('max-age="120"', 120)),
    ],
)
def test_the_provider_can_shorten_the_time_in_the_cache(cache_control: str, time_s: float):
    assert cache_time_s(cache_control) == time_s


async def test_a_failed_request_for_keys_is_not_repeated_immediately(server: Server, documents: ProviderCache):
    server.body = b"no JSON"
    for _ in range(5):
        with pytest.raises(ProviderFailed, match="is not JSON"):
            await documents.keys(client_of(server).provider)
    assert server.paths == ["/jwks"]


async def test_a_host_has_a_maximum_number_of_open_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provider_module, "MAX_OPEN_REQUESTS", 1)
    with pytest.raises(ProviderFailed, match=r"1 requests to a\.example have no answer yet\."):
        async with provider_request("https://a.example/token"), provider_request("https://a.example/keys"):
            pass
    async with provider_request("https://a.example/token"), provider_request("https://b.example/token"):
        pass
