"""The text of the gateway's refusal for a viewer, in a page, a frame, a program and a websocket."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from tests.support.gateways import World
from tests.support.played import ANN, BOB, ROUTE
from tests.support.world_fixtures import shared_world, world
from websockets.exceptions import InvalidStatus

from greenroom.client import AsyncGreenroom, Unreachable

UNKNOWN = "0f6e8a52-0000-4000-8000-0000000000ff"

__all__ = ["shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_reason_of_a_refusal_is_in_the_reply(world: World):
    reply = await world.client().get(f"{world.stream}{world.path()}", headers={"Cookie": "greenroom_viewer=wrong"})
    assert reply.status_code == 401
    assert reply.json() == {"error_message": "The token does not open this session."}
    assert reply.headers["X-Greenroom-Reason"] == "The token does not open this session."


async def test_the_client_library_names_the_address_of_a_port_with_tls(world: World):
    address = world.main.removeprefix("https://")
    async with AsyncGreenroom(f"http://{address}", "key", "secret", trust_env=False) as greenroom:
        with pytest.raises(Unreachable, match=f"is served with TLS only. Use https://{re.escape(address)}."):
            await greenroom.request("GET", "/me")


READERS = [
    {"Sec-Fetch-Dest": "iframe", "Accept": "text/html"},
    {"Sec-Fetch-Dest": "document"},
    {"Accept": "text/html,application/xhtml+xml"},
]


@pytest.mark.parametrize("headers", READERS)
async def test_a_frame_shows_the_reason_of_a_refusal(world: World, headers: dict[str, str]):
    world.table.put(BOB, replace(world.spec, upstream_auth="wrong.invalid:9"), world.served["bob"].address, "user-bob")
    for path, status, words in (
        (f"{world.path()}?token=nonsense", 401, "The token does not open this session."),
        (world.path(), 401, "The request has no token"),
        (f"/desktop/{ROUTE}/{UNKNOWN}/?token=x", 403, "This Agent does not run this session."),
        (f"/desktop/99999999/{ANN}/", 404, "There is no session at this address."),
    ):
        reply = await world.client().get(f"{world.stream}{path}", headers=headers)
        assert reply.status_code == status
        assert reply.headers["Content-Type"].startswith("text/html")
        assert words in reply.text
        assert f"frame-ancestors {world.main}" in reply.headers["Content-Security-Policy"]
        assert reply.text.count("<script>") == 1, "the gateway's own, which notifies the console"


async def test_without_an_answer_the_page_is_503_and_loaded_again(world: World):
    world.table.put(BOB, replace(world.spec, upstream_auth="wrong.invalid:9"), world.served["bob"].address, "user-bob")
    for path, cookie in ((f"{world.path(BOB)}?token=token-bob", ""), (world.path(BOB), "greenroom_viewer=token-bob")):
        for accept in ("text/html", "application/json"):
            headers = {"Accept": accept, "Cookie": cookie}
            reply = await world.client().get(f"{world.stream}{path}", headers=headers)
            assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
            assert "The request to the Upstream Auth Address wrong.invalid:9 failed" in reply.text
            if accept == "text/html":
                assert '<meta http-equiv="refresh" content="5">' in reply.text
                assert "<script" not in reply.text


async def test_a_websocket_is_refused_with_a_status_and_no_page(world: World):
    for origin, status in (("same", 401), ("https://evil.example", 403)):
        with pytest.raises(InvalidStatus) as refused:
            await world.websocket(world.stream, token="nonsense", origin=origin, Accept="text/html")
        assert refused.value.response.status_code == status
        assert "json" in refused.value.response.headers["Content-Type"]


async def test_a_request_cannot_inject_markup_into_the_page_of_its_refusal(world: World):
    reply = await world.client().get(
        f"{world.stream}{world.path()}", headers={"Origin": "https://<script>alert(1)</script>", "Accept": "text/html"}
    )
    assert reply.status_code == 403
    assert reply.text.count("<script") == 1, "the gateway's own, which notifies the console"
    assert "(script)alert(1)(/script)" in reply.text


async def test_a_refusal_can_be_read_on_any_background_of_its_frame(world: World):
    reply = await world.client().get(f"{world.stream}{world.path()}", headers={"Accept": "text/html"})
    assert reply.status_code == 401
    assert "background:var(--s)" in reply.text, "a frame without one shows the dark stage behind it"


async def test_a_final_refusal_notifies_the_console_and_does_nothing_else(world: World):
    reply = await world.client().get(f"{world.stream}{world.path()}", headers={"Accept": "text/html"})
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src {hash_of('style', reply.text)}; frame-ancestors ")
    assert policy.endswith(f"; script-src {hash_of('script', reply.text)}; sandbox allow-scripts allow-same-origin")


def hash_of(element: str, page: str) -> str:
    """Return the hash of the only inline script or style of a page, as a policy has it."""
    (text,) = re.findall(f"<{element}>(.*)</{element}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("language", ["en", "de"])
async def test_the_style_of_each_page_of_the_gateway_has_its_hash(world: World, language: str):
    headers = {"Accept": "text/html", "Accept-Language": language}
    for address, more in (
        (f"{world.stream}{world.path()}", {}),
        (f"{world.main}/", {"Host": "desk.lan"}),
        (f"{world.main}/help/index.html", {}),
        (f"{world.main}/help/1.0/missing.html", {}),
    ):
        reply = await world.client().get(address, headers=headers | more)
        assert f"style-src {hash_of('style', reply.text)};" in reply.headers["Content-Security-Policy"], address
        assert "unsafe" not in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/no/such/thing", "/index.html", "/websockify", "/desktop/x"])
async def test_a_websocket_at_an_unknown_address_is_a_problem_and_not_the_console(world: World, path: str):
    for origin in (world.main, world.stream):
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        reply = await world.client().get(f"{origin}{path}", headers=headers)
        assert reply.status_code == 404, (origin, path)
        assert reply.headers["Content-Type"] == "application/problem+json", (origin, path)
