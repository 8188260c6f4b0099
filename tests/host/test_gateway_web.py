"""The gateway's web side: hosts, console, api, Managers and their sentinels, and its reports."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs
from tests.support.gateways import World, raw
from tests.support.world_fixtures import own_world, shared_world, world

from greenroom.api.app import create_app
from greenroom.core.errors import TooLarge
from greenroom.core.recording.session_video import MAX_REQUEST_BYTES
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.processes import is_listening
from greenroom.kit.secrets import Secrets
from greenroom.kit.serving import serve_until_cancelled
from greenroom.wire.viewers import SESSION_VIDEO_PATH

__all__ = ["own_world", "shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def chunked() -> AsyncIterator[bytes]:
    """A body without a length."""
    for _ in range(11):
        yield bytes(1 << 20)


API = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from greenroom.kit.serving import serve

async def receive(request):
    text = (await request.body()).decode()
    with open("received", "a") as file:
        file.write(f"{text}\\n")
    return PlainTextResponse(text)

print(flush=True)
sys.stdin.readline()
app = Starlette(routes=[Route("/api/v1/received", receive, methods=["POST"])])
asyncio.run(serve(app, "127.0.0.1", int(sys.argv[1])))
"""
"""An api that writes the bodies of its requests to the file `received`."""
TOO_LARGE = (lambda: bytes(11 << 20), chunked)
DRAINING = {"ok": False, "status": "disabled", "enabled": False}


async def test_the_sentinel_decides_each_request_of_a_kept_connection(world: World):
    client = world.client()
    master = await world.master()
    for _ in range(3):
        reply = await client.get(f"{world.manager()}/health")
        assert reply.status_code == 200
        assert (await client.post(f"{world.manager()}/manager_api/v1/check-in")).json()["target"] == "/v1/check-in"
        world.sentinel().touch()
        for path in ("/health", "/manager_api/v1/check-in", "/manager_api/metrics", "/manager_api/anything"):
            reply = await client.post(f"{world.manager()}{path}")
            assert reply.status_code == 503
            assert reply.headers["Retry-After"] == "30"
            assert reply.headers["Content-Type"].startswith("application/json")
            assert reply.json() == DRAINING
        world.sentinel().unlink()
    assert await world.master() == master


async def test_each_manager_has_its_own_sentinel_and_the_main_port_the_first(world: World):
    client = world.client()
    world.sentinel(0).touch()
    status = {base: (await client.get(f"{base}/health")).status_code for base in (world.main, world.manager(1))}
    assert status == {world.main: 503, world.manager(1): 200}


async def test_an_unresponsive_manager_is_502_and_metrics_stay_inside(own_world: World):
    client = own_world.client()
    assert (await client.get(f"{own_world.manager()}/manager_api/metrics")).status_code == 404
    await own_world.served["manager0"].stop()
    reply = await client.get(f"{own_world.manager()}/health")
    assert reply.status_code == 502
    assert reply.json()["code"] == "unavailable"


async def test_the_request_after_one_that_failed_is_answered(own_world: World):
    """The api raises an error again after it was answered; nginx may then already have sent the next request on the
    same connection."""
    config = ApiConfig(database_url="host=nowhere", secret_key_file=Path("unused"))
    db = Database(config.database_url, application_name="test")
    api = create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))
    following, raised = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        raise ZeroDivisionError

    async def follows() -> str:
        following.set()
        await raised.wait()
        return "answered"

    async def raising_late(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api(scope, receive, send)
        except ZeroDivisionError:
            await following.wait()
            raised.set()
            raise

    api.add_api_route("/api/fails", fails)
    api.add_api_route("/api/follows", follows)
    replaced, client = own_world.served["api"], own_world.client()
    await replaced.stop()
    serving = asyncio.create_task(serve_until_cancelled(raising_late, "127.0.0.1", replaced.port))
    try:
        await own_world.until(lambda: is_listening(os.getpid(), "127.0.0.1", replaced.port))
        with capture_logs() as lines:
            got = [(await client.get(f"{own_world.main}/api/{path}")).status_code for path in ("fails", "follows")]
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    assert got == [500, 200]
    assert [(line["event"], line["path"]) for line in lines] == [("request failed", "/api/fails")]


async def test_what_nginx_answers_for_a_manager_is_reported_to_the_api(world: World):
    client = world.client()
    world.sentinel(1).touch()
    agent_id = "1a2b3c4d-0000-4000-8000-000000000000"
    headers = {"Authorization": f"Bearer {agent_id}.x"}
    await client.get(f"{world.manager(0)}/manager_api/v1/check-in", headers=headers)  # decided by the Manager
    await client.post(f"{world.manager(1)}/manager_api/v1/check-in", headers=headers)

    def of_this_agent() -> list[dict[str, Any]]:
        """The reports about this Agent, without late ones of earlier tests."""
        return [report for report in world.api.reports if report.get("agent_id") == agent_id]

    await world.until(of_this_agent)
    (report,) = of_this_agent()
    assert {k: report[k] for k in ("manager", "agent_id", "method", "path", "status")} == {
        "manager": "manager-1",
        "agent_id": agent_id,
        "method": "POST",
        "path": "/manager_api/v1/check-in",
        "status": 503,
    }
    assert world.api.reporter == "Bearer gateway-credential"


async def test_hosts_that_are_not_served_get_421_on_every_port(world: World):
    for host in ["evil.example", "127.0.0.1.evil.example", "x127.0.0.1", "127.0.0.2:8443"]:
        client = world.client()
        for base in (world.main, world.stream, world.manager()):
            reply = await client.get(f"{base}/", headers={"Host": host})
            assert reply.status_code == 421
            assert reply.json()["code"] == "misdirected-host"
        assert (await raw(world.main, f"GET https://{host}/ HTTP/1.1\nHost: 127.0.0.1\nConnection: close"))[0] == 421
        assert (await raw(world.main, "GET / HTTP/1.0"))[0] == 421


async def test_a_browser_gets_a_page_with_the_name_and_the_command_that_adds_it(world: World):
    for base in (world.main, world.stream, world.manager()):
        headers = {"Host": "desk.lan:8443", "Accept": "text/html,*/*"}
        reply = await world.client().get(f"{base}/session/x", headers=headers)
        assert reply.status_code == 421
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "does not serve the name <code>desk.lan</code>. It serves <code>127.0.0.1</code>," in reply.text
        assert "greenroom up --served-hosts &#39;desk.lan&#39;" in reply.text
        assert world.main in reply.text
        reply = await world.client().get(f"{base}/session/x", headers=headers | {"Accept-Language": "de-DE,en;q=0.5"})
        assert "bedient den Namen <code>desk.lan</code> nicht" in reply.text


async def test_the_page_of_a_name_that_is_not_served_repeats_no_markup(world: World):
    for host in ("a<b>.example", "a&b", 'a"b', "a'b", "$host"):
        status, answer = await raw(world.main, f"GET / HTTP/1.1\nHost: {host}\nAccept: text/html\nConnection: close")
        assert status in (400, 421)
        assert host.encode() not in answer


async def test_the_console_is_served_with_a_strict_policy(world: World):
    client = world.client()
    reply = await client.get(f"{world.main}/admin/staging")
    assert "<title>console</title>" in reply.text
    assert reply.headers["Cache-Control"] == "no-cache"
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";"))
    assert policy["script-src"] == "'self'"
    assert "unsafe-inline" not in reply.headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert world.stream in policy["frame-src"]
    assert reply.headers["Strict-Transport-Security"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "geolocation=()" in reply.headers["Permissions-Policy"]
    assert "camera" not in reply.headers["Permissions-Policy"], "desktops use it"
    script = await client.get(f"{world.main}/assets/main-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert "immutable" in script.headers["Cache-Control"]
    assert (await client.get(f"{world.main}/assets/missing.js")).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0.5,gzip", "br"),
        ("gzip;q=1.0, br;q=0.0", "gzip"),
        ("gzip, brotli", "gzip"),
        ("identity", None),
    ],
)
async def test_a_file_is_sent_in_the_best_encoding_that_the_build_made(
    world: World, accepted: str, encoding: str | None
):
    head = f"GET /assets/main-1a2b.js HTTP/1.1\nHost: 127.0.0.1\nAccept-Encoding: {accepted}\nConnection: close"
    _, answer = await raw(world.main, head)
    lines, _, body = answer.decode().partition("\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines.splitlines()[1:])
    assert headers.get("content-encoding") == encoding
    assert body == f"console.log(1){ {'br': '.br', 'gzip': '.gz', None: ''}[encoding] }"
    assert headers["content-type"].startswith("text/javascript")
    assert headers["vary"] == "accept-encoding"
    assert f"-{len(body):x}" in headers["etag"]
    assert "immutable" in headers["cache-control"]


async def test_style_sheets_of_the_console_have_the_nonce_of_their_page(world: World):
    client = world.client()
    nonces: set[str] = set()
    for _ in range(2):
        reply = await client.get(f"{world.main}/admin/staging")
        policy = dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";"))
        (nonce,) = re.findall(r'nonce="(\w+)"', reply.text)
        assert policy["style-src"].split() == ["'self'", f"'nonce-{nonce}'"]
        nonces.add(nonce)
    assert len(nonces) == 2, "each page has its own"


async def test_nothing_outside_the_console_folder_is_served(world: World):
    for path in ["/../plan.json", "/assets/../../plan.json", "/%2e%2e/plan.json", "/..%2fplan.json"]:
        _, answer = await raw(world.main, f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nConnection: close")
        assert b"tls_key" not in answer


SECURITY_HEADERS = (
    b"strict-transport-security:",
    b"x-content-type-options:",
    b"content-security-policy:",
    b"referrer-policy:",
)


async def test_what_nginx_answers_itself_has_the_headers_of_every_answer(world: World):
    host = "Host: 127.0.0.1\nConnection: close"
    for base, head, status in [
        (world.main, f"GET / HTTP/1.1\n{host}\nContent-Length: x", 400),
        (world.main, f"GET /assets/missing.js HTTP/1.1\n{host}", 404),
        (world.main, f"GET /_gr/page HTTP/1.1\n{host}", 404),
        (world.stream, f"GET /_gr/page HTTP/1.1\n{host}", 404),
        (world.stream, f"TRACE / HTTP/1.1\n{host}", 405),
        (world.stream, f"GET {world.path()}files/ HTTP/1.1\n{host}\nContent-Length: x", 400),
        (world.stream, f"TRACE {world.path()}files/ HTTP/1.1\n{host}", 405),
        (world.main, f"GET /gateway_status/ HTTP/1.1\n{host}\nContent-Length: x", 400),
        (world.main, f"GET /gateway_status HTTP/1.1\n{host}", 200),
        (world.manager(), f"GET / HTTP/1.1\n{host}\nX: {'x' * 20_000}", 400),
    ]:
        found, answer = await raw(base, head)
        assert (found, [answer.lower().count(name) for name in SECURITY_HEADERS]) == (status, [1, 1, 1, 1]), head


async def test_three_hundred_who_log_in_at_once_from_one_address_get_through(world: World):
    transport = httpx2.AsyncHTTPTransport(verify=world.tls(), local_address="127.0.0.5")
    hall = world.client(transport=transport, timeout=60)  # the last ones wait for a connection of the pool
    replies = await asyncio.gather(*(hall.post(f"{world.main}/api/v1/login", json={}) for _ in range(300)))
    assert {reply.status_code for reply in replies} == {200}


async def test_the_api_gets_the_callers_address_not_what_a_client_made_up(world: World):
    made_up = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Greenroom-User": "root",
        "X-Greenroom-Zone": "x",
    }
    for base, zone in ((world.main, "zone-0"), (world.manager(1), "zone-1")):
        echoed = (await world.client().get(f"{base}/api/v1/zones?a=%20b", headers=made_up)).json()
        headers = dict(echoed["headers"])
        assert echoed["target"] == "/api/v1/zones?a=%20b"
        assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "https"
        assert headers["host"] == base.removeprefix("https://")
        assert headers["x-greenroom-zone"] == zone
        assert "x-greenroom-user" not in headers


async def test_events_arrive_one_by_one(world: World):
    async with world.client().stream("GET", f"{world.main}/api/v1/events") as reply:
        chunks = reply.aiter_raw()
        assert await asyncio.wait_for(anext(chunks), 30) == b"data: first\n\n"
        world.api.more.set()
        assert await asyncio.wait_for(anext(chunks), 30) == b"data: second\n\n"


async def test_only_the_stream_question_of_the_internal_interface_is_public(world: World):
    client = world.client()
    assert (await client.post(f"{world.main}/api/internal/manager-requests", json={})).status_code == 404
    question = {"session_id": "s", "token": "t"}
    reply = await client.post(f"{world.main}/api/internal/stream", json=question, headers={"Authorization": "Bearer x"})
    assert reply.json()["allow"] is False


async def test_the_largest_segment_of_a_session_video_reaches_the_api(world: World):
    for size, is_too_large in ((MAX_REQUEST_BYTES, False), (MAX_REQUEST_BYTES + 1, True)):
        reply = await world.client().post(f"{world.main}{SESSION_VIDEO_PATH}", content=bytes(size))
        assert (reply.status_code == 413) is is_too_large


async def test_an_api_that_is_away_is_a_problem_document(own_world: World):
    await own_world.served["api"].stop()
    client = own_world.client(timeout=60)
    for _ in range(2):  # the first one waits
        reply = await client.get(f"{own_world.main}/api/v1/zones")
        assert reply.status_code == 502
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.json()["error_message"]


async def test_no_request_fails_or_is_repeated_while_the_api_is_replaced(own_world: World):
    await own_world.served["api"].stop()
    client, sent = own_world.client(timeout=60, limits=httpx2.Limits(max_connections=8)), list[str]()

    async def post_until(ended: asyncio.Event) -> None:
        while not ended.is_set():
            text = str(len(sent))
            sent.append(text)
            reply = await client.post(f"{own_world.main}/api/v1/received", content=text)
            assert (reply.status_code, reply.text) == (200, text)

    ended, apis = asyncio.Event(), [await own_world.loaded_api(API) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(post_until(ended))
        for api in apis:
            assert api.stdin is not None
            api.stdin.write(b"\n")
            enough = len(sent) + 100
            await own_world.until(lambda: len(sent) > enough)  # noqa: B023 -- it is called in this round only
            if api is apis[-1]:
                ended.set()
            else:
                api.terminate()
                await api.wait()
    apis[-1].terminate()
    await apis[-1].wait()
    assert sorted((own_world.folder / "received").read_text().split()) == sorted(sent)


@pytest.mark.parametrize("path", ["/api/public/get_zones", "/api/admin/get_zones", "/api/get_kasm_status"])
async def test_a_body_that_is_too_large_is_refused_as_the_published_interface_refuses(world: World, path: str):
    for content in TOO_LARGE:
        reply = await world.client().post(f"{world.main}{path}", content=content())
        assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
        assert reply.json() == {"error_message": TooLarge().message}


@pytest.mark.parametrize("path", ["/api/v1/zones", "/api/v1/login", "/mcp", "/manager_api/v1/check-in"])
async def test_a_body_that_is_too_large_is_a_problem_document_elsewhere(world: World, path: str):
    for content in TOO_LARGE:
        reply = await world.client().post(f"{world.main}{path}", content=content())
        assert (reply.status_code, reply.headers["Content-Type"]) == (413, "application/problem+json")
        assert (reply.json()["code"], reply.json()["detail"]) == ("too-large", TooLarge().message)


async def test_old_tls_is_refused(world: World):
    for version in [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]:
        tls = world.tls()
        tls.set_ciphers("DEFAULT:@SECLEVEL=0")  # otherwise this client would not even try
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = tls.maximum_version = version
        host, _, port = world.main.removeprefix("https://").partition(":")
        with pytest.raises(ssl.SSLError, match="alert protocol version"):
            await asyncio.open_connection(host, int(port), ssl=tls)


async def test_http_2_is_spoken_where_people_are(world: World):
    tls = world.tls()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    for base in (world.main, world.stream):
        host, _, port = base.removeprefix("https://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


async def test_long_lists_are_compressed_and_answers_with_secrets_are_not(world: World):
    client = world.client()

    async def encoding_of(path: str) -> str:
        address = f"{world.main}/api/v1/{path}?q={'x' * 3000}"
        return (await client.get(address, headers={"Accept-Encoding": "gzip"})).headers.get("Content-Encoding", "none")

    lists = ("launches", "users", "stage-map", "today", "audit", "logs")
    others = ("users/1", "me", "sessions", "sessions/1/connection", "api-keys", "secrets", "service-accounts", "leases")
    assert {path: await encoding_of(path) for path in (*lists, *others)} == (
        dict.fromkeys(lists, "gzip") | dict.fromkeys(others, "none")
    )
