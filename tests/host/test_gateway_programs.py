"""Programs at the gateway: the token of a lease in the address or as a header, and the parts that are passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gateways import STARTED_S, World, answers, said
from tests.support.played import ANN, BOB
from tests.support.two_hosts import Hosts, two_hosts
from tests.support.world_fixtures import own_world, shared_world, world
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

__all__ = ["own_world", "shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = f"{ANN}.{'k' * 43}"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BY_HEADER, BY_PATH = ("", BEARER), (f"lease/{TOKEN}/", dict[str, str]())
WAYS = pytest.mark.parametrize("way", [BY_HEADER, BY_PATH], ids=["header", "path"])
Way = tuple[str, dict[str, str]]


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def leased(world: World) -> None:
    world.api.programs[ANN, TOKEN] = "user-ann"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[Hosts]:
    async with two_hosts() as hosts:
        hosts.name_agent()
        hosts.certify()
        hosts.start_edge()
        hosts.start_web()
        await hosts.world.until(hosts.is_passed_on, STARTED_S)
        hosts.world.reset()
        hosts.world.api.fleet = hosts.fleet()
        hosts.world.api.programs[ANN, TOKEN] = "user-ann"
        yield hosts


def devtools(world: World, way: Way, base: str, **options: Any) -> connect:
    address = f"wss{base.removeprefix('https')}{world.path()}{way[0]}cdp/devtools/browser/1"
    return connect(address, ssl=world.tls(), additional_headers=way[1], proxy=None, open_timeout=10, **options)


async def is_closed(websocket: ClientConnection) -> None:
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(websocket.recv(), 5)


@WAYS
async def test_a_program_reaches_the_page_without_its_token(world: World, way: Way):
    forged = {"X-Greenroom-Program": "2", "Cookie": "greenroom_viewer=wrong", **way[1]}
    for base in (world.stream, world.main):
        for method in ("GET", "POST", "PUT", "DELETE"):
            reply = await world.client().request(
                method, f"{base}{world.path()}{way[0]}cdp/a%2Fb?q=1&token=x", headers=forged
            )
            assert (reply.status_code, reply.json()["method"]) == (200, method)
            assert reply.json()["target"].startswith("/cdp/a%2Fb")
            headers = dict(reply.json()["headers"])
            assert headers["x-greenroom-program"] == "1"
            assert headers["authorization"] == "Basic a2FzbV91c2VyOnMzY3JldA=="
            assert "k" * 43 not in reply.text
    assert [one["token"] for one in world.api.questions] == [TOKEN]


@WAYS
async def test_addresses_in_an_answer_open_as_the_request_did(world: World, way: Way):
    reply = await world.client().get(f"{world.stream}{world.path()}{way[0]}cdp/json/version", headers=way[1])
    address = f"wss{world.stream.removeprefix('https')}{world.path()}{way[0]}cdp/devtools/browser/1"
    assert reply.json()["webSocketDebuggerUrl"] == address
    assert reply.json()["other"] == "wss://example.org/cdp/"
    assert "k" * 43 not in reply.json()["seen"]
    async with connect(address, ssl=world.tls(), additional_headers=way[1], proxy=None) as websocket:
        assert await said(websocket)
        assert await answers(websocket)


async def test_a_viewer_is_no_program(world: World):
    cookie = {"Cookie": "greenroom_viewer=token-ann", "X-Greenroom-Program": "1"}
    client = world.client(headers=cookie)
    assert "x-greenroom-program" not in dict((await client.get(f"{world.stream}{world.path()}")).json()["headers"])
    for folder in ("desk/screen", "cdp/json/version", "webdriver/status"):
        reply = await client.get(f"{world.stream}{world.path()}{folder}")
        assert reply.status_code == 403
        assert "programs" in reply.json()["error_message"]


async def test_a_foreign_token_and_that_of_another_lease_are_401(world: World):
    for path, token in ((world.path(), f"{BOB}.{'k' * 43}"), (world.path(BOB), TOKEN)):
        for way in (f"lease/{token}/", ""):
            headers = {} if way else {"Authorization": f"Bearer {token}"}
            reply = await world.client().get(f"{world.stream}{path}{way}cdp/json/version", headers=headers)
            assert (reply.status_code, reply.json()["error_message"]) == (401, "The token does not open this session.")


@WAYS
async def test_a_page_of_another_origin_is_refused(world: World, way: Way):
    url, foreign = f"{world.stream}{world.path()}{way[0]}cdp/json/version", {"Origin": "https://evil.example"}
    assert (await world.client().get(url, headers={**way[1], **foreign})).status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        await devtools(world, way, world.stream, origin=Origin("https://evil.example"))
    assert refused.value.response.status_code == 403


@WAYS
async def test_the_end_of_the_lease_closes_its_websocket(world: World, way: Way):
    opened = len(world.openings)
    async with devtools(world, way, world.stream) as websocket:
        await said(websocket)
        assert await answers(websocket)
        world.api.programs.clear()
        world.table.raise_epoch(ANN)
        await is_closed(websocket)
    assert len(world.openings) == opened, "it is no visit"
    reply = await world.client().get(f"{world.stream}{world.path()}{way[0]}cdp/json/version", headers=way[1])
    assert reply.status_code == 401


@WAYS
async def test_a_program_comes_through_the_gateway_of_another_host(hosts: Hosts, way: Way):
    world = hosts.world
    reply = await world.client().get(f"{world.stream}{world.path()}{way[0]}cdp/json/version", headers=way[1])
    address = f"wss{world.stream.removeprefix('https')}{world.path()}{way[0]}cdp/devtools/browser/1"
    assert (reply.status_code, reply.json()["webSocketDebuggerUrl"]) == (200, address)
    assert "'x-greenroom-program': '1'" in reply.json()["seen"]
    assert "k" * 43 not in reply.json()["seen"]
    async with devtools(world, way, world.main) as websocket:
        await said(websocket)
        assert await answers(websocket)
        world.api.programs.clear()
        world.table.raise_epoch(ANN)
        await is_closed(websocket)
    world.api.programs[ANN, TOKEN] = "user-ann"
    world.table.put(ANN, world.spec, world.served["ann"].address, "user-ann")


async def test_no_log_of_either_gateway_has_the_token(hosts: Hosts, monkeypatch: pytest.MonkeyPatch):
    """nginx logs whole requests when it cannot reach their upstream."""
    world = hosts.world
    world.table.put(ANN, world.spec, "127.0.0.1:1", "user-ann")
    for way in (BY_HEADER, BY_PATH):
        reply = await world.client().get(f"{world.stream}{world.path()}{way[0]}cdp/json/version", headers=way[1])
        assert reply.status_code == 502
    logs = "".join(file.read_text(errors="replace") for file in world.folder.rglob("*.log")) + world.log()
    assert "/cdp/json/version" in logs
    assert "k" * 43 not in logs
