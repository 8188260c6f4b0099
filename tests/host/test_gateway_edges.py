"""Streams of another host: through the web gateway to the edge gateway of the Agent, or directly to the edge gateway.

Both gateways run alone and maintain their plans; the edge is at 127.0.0.2, as on another machine.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.support.gateways import STARTED_S, answers, raw, said
from tests.support.played import ANN, ROUTE, serve
from tests.support.two_hosts import EDGE_HOST, Hosts, two_hosts
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from greenroom.core.fleet.addresses import edge_name
from greenroom.kit.certificates import key_to_pem, new_authority, new_key
from greenroom.wire.fleet import DirectZone, EdgeGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_hosts() -> AsyncIterator[Hosts]:
    async with two_hosts() as hosts:
        hosts.name_agent()
        hosts.certify()
        hosts.start_edge()
        hosts.start_web()
        await hosts.world.until(hosts.is_passed_on, STARTED_S)
        yield hosts


@pytest_asyncio.fixture(loop_scope="module")
async def hosts(shared_hosts: Hosts) -> Hosts:
    await shared_hosts.world.cuts_are_over()
    shared_hosts.world.reset()
    shared_hosts.world.api.fleet = shared_hosts.fleet()
    return shared_hosts


@pytest_asyncio.fixture(loop_scope="module")
async def own_hosts() -> AsyncIterator[Hosts]:
    async with two_hosts() as hosts:
        yield hosts


async def test_a_page_of_another_host_is_opened_through_the_web_gateway(hosts: Hosts):
    world = hosts.world
    client = world.client()
    first = await client.get(f"{world.stream}{world.path()}?token=token-ann&x=1")
    assert (first.status_code, first.headers["Location"]) == (303, f"{world.path()}?x=1")
    assert first.headers["Set-Cookie"].startswith(f"greenroom_viewer=token-ann; Path={world.path()}; HttpOnly; Secure")
    page = await client.get(f"{world.stream}{first.headers['Location']}")
    headers = dict(page.json()["headers"])
    assert page.json()["target"] == "/?x=1"
    assert headers["host"] == world.plan["stream_listen"], "the address the browser has"
    assert "cookie" not in headers
    assert page.headers.get_list("Content-Security-Policy") == [page.headers["Content-Security-Policy"]]
    assert world.main in page.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in page.headers


async def test_a_websocket_goes_through_both_gateways(hosts: Hosts):
    world = hosts.world
    for base in (world.stream, world.main):
        async with world.websocket(base, token="token-ann") as websocket:
            assert dict((await said(websocket))["headers"])["authorization"] == "Basic a2FzbV91c2VyOnMzY3JldA=="
            assert await answers(websocket)
    assert f"The stream of session {ANN} was opened from 127.0.0.1 (reported by 127.0.0.1)" in world.openings


async def test_a_viewer_is_refused_by_the_agent_of_that_host(hosts: Hosts):
    world = hosts.world
    refused = await world.client().get(f"{world.stream}{world.path()}", headers={"Cookie": "greenroom_viewer=wrong"})
    assert (refused.status_code, refused.json()["error_message"]) == (401, "The token does not open this session.")
    with pytest.raises(InvalidStatus) as found:
        await world.websocket(world.stream, token="token-ann", origin="https://evil.example")
    assert found.value.response.status_code == 403


async def test_an_upload_over_the_limit_is_refused_by_the_agent_of_that_host(hosts: Hosts):
    world = hosts.world
    world.table.limit_uploads(ANN, 1)
    client, address = world.client(cookies={"greenroom_viewer": "token-ann"}), f"{world.stream}{world.path()}taken"
    below, over = [await client.put(address, content=bytes(size)) for size in (1_000_000, 1_000_001)]
    assert (below.status_code, over.status_code) == (200, 413)
    assert "up to 1 MB may be uploaded" in over.json()["error_message"]


async def test_a_host_that_was_taken_over_gets_no_api_key_and_sets_no_cookie(hosts: Hosts):
    """Its edge presents the right certificate, and answers arbitrarily."""
    world, folder, route = hosts.world, hosts.folder("hostile"), "99999999"
    path = f"/desktop/{route}/{ANN}/"
    cookies = [
        "__Host-greenroom=stolen; Path=/; Secure",
        "greenroom_viewer=mine; Path=/; HttpOnly; Secure; SameSite=Strict",
        f"greenroom_viewer=mine; Path={path}; Domain=example; HttpOnly; Secure; SameSite=Strict",
        f"greenroom_viewer=mine; Path={path}; HttpOnly; Secure; SameSite=Strict",
    ]

    async def answer(request: Request) -> Response:
        # The request names its cookie, because the gateway sends requests of its own.
        cookie = cookies[int(request.query_params.get("cookie", 0))]
        headers = {"Set-Cookie": cookie, "X-Accel-Redirect": "/_gr/enter"}
        return JSONResponse(dict(request.headers), headers=headers)

    folder.mkdir()
    key = new_key()
    signed = hosts.authority.sign(key.public_key(), [edge_name(route)], 1, datetime.now(UTC))
    (folder / "cert.pem").write_text(signed)
    (folder / "key.pem").write_text(key_to_pem(key))
    served = await serve(Starlette(routes=[Route("/{rest:path}", answer)]), tls=folder)
    try:
        edge = EdgeGateway(route=route, url=f"https://{served.address}")
        world.api.fleet = hosts.fleet(edges=(*hosts.fleet().edges, edge))
        client, url = world.client(), f"{world.main}{path}"

        async def is_known() -> bool:
            reply = await world.client().post(url)  # nginx may close a persistent connection when it reloads
            return reply.status_code == 405  # by the hostile one, which answers only GET

        await world.until(is_known)
        headers = {"Authorization": "Basic a2V5OnNlY3JldA==", "Cookie": "__Host-greenroom=x"}
        shown = [await client.get(url, params={"cookie": number}, headers=headers) for number in range(len(cookies))]
    finally:
        await served.stop()
    assert "authorization" not in shown[0].json()
    assert "__Host-greenroom" not in shown[0].json().get("cookie", "")
    given = [one.headers.get("Set-Cookie", "") for one in shown]
    assert given == ["", "", "", f"greenroom_viewer=mine; Path={path}; HttpOnly; Secure; SameSite=Strict"]


async def test_an_agent_that_moves_or_goes_is_followed_and_streams_go_on(hosts: Hosts):
    world = hosts.world
    async with world.websocket(world.stream, token="token-ann") as websocket:
        await said(websocket)
        world.api.fleet = hosts.fleet(edges=())

        async def is_unknown() -> bool:
            return await hosts.status() == 404

        await world.until(is_unknown)
        assert await answers(websocket)
        world.api.fleet = hosts.fleet()
        await world.until(hosts.is_passed_on)
        assert await answers(websocket)


async def test_without_proxy_connections_the_edge_is_opened_itself(hosts: Hosts):
    """Cookies, origins and the frame work there as well."""
    world, client = hosts.world, hosts.direct()
    edge = EdgeGateway(route=ROUTE, url=hosts.edge_url, direct=True)
    longest = EdgeGateway(route="99999999", url=f"https://{'.'.join(['a' * 62] * 4)}:8443", direct=True)
    world.api.fleet = hosts.fleet(edges=(edge, longest), direct=(DirectZone(hostname="desks.example", port=443),))
    first = await client.get(f"{hosts.edge_url}{world.path()}?token=token-ann")
    assert first.status_code == 303
    assert f"Path={world.path()}; HttpOnly; Secure; SameSite=Strict" in first.headers["Set-Cookie"]
    page = await client.get(f"{hosts.edge_url}{world.path()}")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == f"frame-ancestors {world.main}", "the console frames it"

    def websocket() -> connect:
        return connect(
            f"{hosts.edge_url.replace('https', 'wss')}{world.path()}websockify",
            ssl=hosts.direct_tls(),
            origin=Origin(hosts.edge_url),
            additional_headers={"Cookie": "greenroom_viewer=token-ann"},
            proxy=None,
        )

    with pytest.raises(InvalidStatus) as refused:
        await websocket()
    assert refused.value.response.status_code == 403, "not in the Allow Origin Domain"
    world.table.put(
        ANN, replace(world.spec, allow_origin=("127.0.0.1", EDGE_HOST)), world.served["ann"].address, "user-ann"
    )
    async with websocket() as opened:
        await said(opened)
        assert await answers(opened)

    async def is_framed() -> bool:
        console = await world.client().get(world.main)
        frames = console.headers["Content-Security-Policy"].split("frame-src ")[1].split(";")[0].split()
        return {hosts.edge_url, longest.url, "https://desks.example"} <= set(frames)

    await world.until(is_framed)


async def test_an_edge_serves_only_its_own_agent_under_its_own_names(hosts: Hosts):
    client = hosts.direct()
    assert (await client.get(f"{hosts.edge_url}/api/v1/sessions")).status_code == 404
    assert (await client.get(f"{hosts.edge_url}/desktop/99999999/{ANN}/")).status_code == 404
    status, _ = await raw(hosts.edge_url, f"GET {hosts.world.path()} HTTP/1.1\nHost: evil.example\nConnection: close")
    assert status == 421


async def test_the_last_word_of_the_api_counts_while_it_is_away(own_hosts: Hosts):
    hosts = own_hosts
    hosts.name_agent()
    hosts.certify()
    hosts.start_edge()
    hosts.start_web()
    await hosts.world.until(hosts.is_passed_on, STARTED_S)
    await hosts.end(hosts.web)
    await hosts.world.served["api"].stop()
    hosts.start_web()
    await hosts.world.until(hosts.is_passed_on, STARTED_S)  # Ann is known to the Agent


async def test_only_the_agents_own_certificate_is_trusted(own_hosts: Hosts):
    hosts = own_hosts
    world = hosts.world
    hosts.name_agent()
    hosts.certify(edge_name("99999999"))  # that of another Agent
    hosts.start_edge()
    hosts.start_web()

    async def is_refused() -> bool:
        return await hosts.status() == 502

    await world.until(hosts.edge_answers, STARTED_S)
    await world.until(is_refused, STARTED_S)
    stranger = new_authority("stranger", datetime.now(UTC))
    hosts.certify(authority=stranger)

    def is_shown() -> bool:
        shown = ssl.get_server_certificate((EDGE_HOST, hosts.edge_port))
        return shown.strip() == (hosts.edge_dir / "edge.pem").read_text()[: len(shown.strip())]

    await world.until(is_shown)
    assert await hosts.status() == 502
    assert world.api.questions == [], "no request came to the Agent"
    hosts.certify()
    await world.until(hosts.is_passed_on)


async def test_an_edge_waits_for_its_agent_to_register(own_hosts: Hosts):
    hosts = own_hosts
    hosts.start_edge()
    await hosts.world.until(lambda: "waits until its Agent has registered" in hosts.world.log())
    hosts.name_agent()
    hosts.certify()
    await hosts.world.until(hosts.edge_answers)


async def test_a_web_gateway_is_the_edge_of_the_agent_beside_it(own_hosts: Hosts):
    """When the Agent's name is requested it presents the certificate of the fleet, otherwise its own."""
    hosts = own_hosts
    world = hosts.world
    hosts.name_agent()
    hosts.certify()
    hosts.start_web(GREENROOM_EDGE_DIR=hosts.edge_dir, GREENROOM_AGENT_UPSTREAM=world.served["agent"].address)
    await world.until(hosts.is_passed_on, STARTED_S)
    host, _, port = world.plan["stream_listen"].rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=hosts.direct_tls(), server_hostname=edge_name(ROUTE)
    )
    writer.write(
        f"GET {world.path()} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: greenroom_viewer=token-ann\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
