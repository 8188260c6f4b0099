"""Streams through the gateway: first open, websockets, origins, ownership, and the headers that a container
receives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable

import pytest
from tests.support import gateways
from tests.support.gateways import World, answers, raw, said, served_world, the_way_to_cut
from tests.support.played import ANN, BOB, ROUTE
from tests.support.world_fixtures import own_world, shared_world, world
from websockets.exceptions import ConnectionClosed, InvalidStatus

from greenroom.agent.stream import viewers
from greenroom.core.session import viewing

A_FRAME = {"Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
UNKNOWN = "0f6e8a52-0000-4000-8000-0000000000ff"

__all__ = ["own_world", "shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def status_of(websocket: Awaitable[object]) -> int:
    """HTTP status of a refused websocket."""
    with pytest.raises(InvalidStatus) as refused:
        await websocket
    assert "location" not in refused.value.response.headers
    return refused.value.response.status_code


async def test_an_unknown_session_is_answered_in_json(world: World):
    for path in (f"/desktop/99999999/{ANN}/", "/desktop/x"):
        reply = await world.client().get(f"{world.stream}{path}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found")


async def test_the_first_open_ends_at_the_page_with_a_cookie_and_no_token(world: World):
    client = world.client()
    first = await client.get(f"{world.stream}{world.path()}?token=token-ann&x=1")
    assert first.status_code == 303
    assert first.headers["Location"] == f"{world.path()}?x=1"
    cookie = first.headers["Set-Cookie"]
    assert cookie == f"greenroom_viewer=token-ann; Path={world.path()}; HttpOnly; Secure; SameSite=Strict"
    page = await client.get(f"{world.stream}{first.headers['Location']}")
    assert page.json()["target"] == "/?x=1"
    bearer = f"Bearer {ROUTE}-0000-4000-8000-000000000000.credential"
    assert world.api.questions == [{"session_id": ANN, "token": "token-ann", "bearer": bearer}]


async def test_the_container_gets_its_credential_and_no_forged_header(world: World):
    made_up = {
        "Cookie": "greenroom_viewer=token-ann; __Host-greenroom=secret; other=1",
        "Authorization": "Basic dXNlcjpwYXNz",
        "X-Greenroom-Upstream": "https://127.0.0.1:1",
        "X-Greenroom-Authorization": "Basic x",
        "X-Greenroom-Reason": "x",
        "X-Greenroom-User": "root",
        "X-Greenroom-Idle-Disconnect-S": "999",
        "X-Greenroom-Max-Upload-Mb": "999",
        "X-Greenroom-Program": "1",
        "X-Greenroom-Viewer": "program",
    }
    reply = await world.client().get(f"{world.stream}{world.path()}a%2Fb%20c?q=%0d", headers=made_up)
    echoed = reply.json()
    headers = dict(echoed["headers"])
    assert echoed["target"] == "/a%2Fb%20c?q=%0d"
    assert headers["authorization"] == "Basic a2FzbV91c2VyOnMzY3JldA=="  # kasm_user:s3cret
    assert "cookie" not in headers
    ours = {name: value for name, value in headers.items() if name.startswith("x-greenroom")}
    assert ours == {"x-greenroom-idle-disconnect-s": "0", "x-greenroom-max-upload-mb": "0"}, (
        "what the Agent says, not what the client made up"
    )


async def test_a_container_cannot_set_headers_that_affect_the_origin(world: World):
    reply = await world.client().get(f"{world.stream}{world.path()}", headers={"Cookie": "greenroom_viewer=token-ann"})
    assert reply.headers["X-Container"] == "yes"
    for name in ("Set-Cookie", "X-Frame-Options", "Service-Worker-Allowed"):
        assert name not in reply.headers
    assert world.main in reply.headers["Content-Security-Policy"]
    assert reply.headers["Content-Security-Policy"].startswith("frame-ancestors ")
    redirect = await world.client().get(
        f"{world.stream}{world.path()}redirect", headers={"Cookie": "greenroom_viewer=token-ann"}
    )
    assert redirect.headers["Location"] == f"{world.path()}vnc.html?a=1"


@pytest.mark.parametrize("to", ["/api/v1/users", "/_gr/authorise", "/_gr/enter", "/health"])
async def test_a_container_does_not_send_the_gateway_to_places_of_its_own(world: World, to: str):
    """nginx would obey X-Accel-Redirect, including internal locations, and pass on the container's cookie with it."""
    for base in (world.stream, world.main):
        reply = await world.client().get(
            f"{base}{world.path()}inside?to={to}", headers={"Cookie": "greenroom_viewer=token-ann"}
        )
        assert (reply.status_code, reply.content) == (200, b"")
        assert "Set-Cookie" not in reply.headers
        assert "X-Greenroom-Authorization" not in reply.headers


async def test_programs_open_the_websocket_on_both_ports(world: World):
    for base in (world.stream, world.main):
        async with world.websocket(base, token="token-ann") as websocket:
            assert websocket.subprotocol == "binary"
            headers = dict((await said(websocket))["headers"])
            assert headers["authorization"] == "Basic a2FzbV91c2VyOnMzY3JldA=="
            assert "cookie" not in headers
            assert await answers(websocket)


async def test_the_agent_receives_the_real_address_of_a_viewer(world: World):
    headers = {"X-Original-Client": "6.6.6.6", "X-Original-Forwarded-For": "6.6.6.6", "X-Forwarded-For": "6.6.6.6"}
    async with world.websocket(world.stream, token="token-ann", **headers) as websocket:
        await said(websocket)
    of_ann = {opening for opening in world.openings if ANN in opening}
    assert of_ann == {f"The stream of session {ANN} was opened from 127.0.0.1"}


async def test_the_agent_notices_when_a_viewer_has_left(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(viewers, "POLL_S", 0.05)
    monkeypatch.setattr(viewing, "AWAY_S", 0.0)
    looking = asyncio.create_task(world.agent.visit_log.run())
    async with world.websocket(world.stream, token="token-ann") as websocket:
        await said(websocket)
        await world.agent.visit_log.end_closed_visits()
        assert not any(ANN in closing for closing in world.closings)
    await world.until(lambda: any(ANN in closing for closing in world.closings))
    looking.cancel()
    (of_ann,) = [closing for closing in world.closings if ANN in closing]
    assert re.fullmatch(rf"The stream of session {ANN}, opened from 127.0.0.1, was closed after \d+ s", of_ann)


async def test_a_program_may_send_the_token_in_a_cookie_or_in_the_address(world: World):
    world.api.tokens[ANN, "t2"] = "user-ann"
    async with world.websocket(world.main, Cookie="username=ann%40x; session_token=t2") as websocket:
        await said(websocket)
    assert world.api.questions[-1]["username"] == "ann@x"
    async with world.websocket(world.stream, query="?a=1&token=token-ann") as websocket:
        assert (await said(websocket))["query"] == ""


@pytest.mark.parametrize("base", ["main", "stream"])
async def test_a_websocket_of_a_foreign_missing_or_null_origin_is_403(world: World, base: str):
    address = getattr(world, base)
    for origin in ("https://evil.example", None, "null", "https://127.0.0.1.evil.example", "http://127.0.0.1"):
        assert await status_of(world.websocket(address, token="token-ann", origin=origin)) == 403, origin


async def test_a_missing_or_foreign_token_is_401_without_a_redirect(world: World):
    for base in (world.stream, world.main):
        assert await status_of(world.websocket(base)) == 401
        assert await status_of(world.websocket(base, BOB, token="token-ann")) == 401
        assert await status_of(world.websocket(base, ANN, token="token-bob")) == 401
    reply = await world.client().get(f"{world.stream}{world.path(BOB)}?token=token-ann")
    assert reply.status_code == 401
    assert "token" in reply.json()["error_message"]


async def test_any_proxy_path_leads_to_the_session_and_scopes_its_cookie(world: World):
    path = f"/screens-of_eu/{ROUTE}/{ANN}/"
    client = world.client()
    first = await client.get(f"{world.stream}{path}?token=token-ann")
    assert (first.status_code, first.headers["Location"]) == (303, path)
    assert f"Path={path};" in first.headers["Set-Cookie"]
    assert (await client.get(f"{world.stream}{path}a?x=1")).json()["target"] == "/a?x=1"
    for reserved in ("api", "manager_api", "assets", "health"):
        reply = await client.get(f"{world.stream}/{reserved}/{ROUTE}/{ANN}/?token=token-ann")
        assert reply.status_code == 404


async def test_a_session_without_a_user_is_shown_to_no_one(world: World):
    world.table.put(ANN, world.spec, world.served["ann"].address, None)
    for token in ("token-ann", ""):
        assert await status_of(world.websocket(world.stream, token=token)) == 401


async def test_pages_and_frames_on_the_main_port_go_to_the_stream_origin(world: World):
    for dest in ["document", "iframe", "frame", "object", "embed", "script", "worker"]:
        reply = await world.client().get(
            f"{world.main}{world.path()}x?token=token-ann", headers={"Sec-Fetch-Dest": dest}
        )
        assert reply.status_code == 307
        assert reply.headers["Location"] == f"{world.stream}{world.path()}x?token=token-ann"


async def test_a_container_page_on_the_main_port_is_sandboxed(world: World):
    reply = await world.client().get(f"{world.main}{world.path()}", headers={"Cookie": "greenroom_viewer=token-ann"})
    assert reply.status_code == 200
    assert reply.headers["Content-Security-Policy"].startswith("sandbox")


async def test_the_stream_port_serves_streams_alone(world: World):
    for path in ("/", "/index.html", "/api/v1/zones", "/health", "/manager_api/x", "/gateway_status"):
        reply = await world.client().get(f"{world.stream}{path}")
        assert reply.status_code == 404
        assert reply.json()["code"] == "not-found"


async def test_addresses_that_are_not_exactly_a_sessions_lead_nowhere(world: World):
    for path in [
        f"/desktop/{ROUTE}/{ANN}/../{BOB}/",
        f"/desktop/{ROUTE}/{ANN}/%2e%2e/{BOB}/",
        f"/desktop/{ROUTE}/{ANN}/.%2e%2f{BOB}/",
        f"/desktop/{ROUTE}/{ANN}/a/..",
        f"/desktop/{ROUTE}/{ANN}/..;/x/./",
        f"/desktop/{ROUTE}/../{ROUTE}/{ANN}/",
        f"/x/../desktop/{ROUTE}/{ANN}/",
        f"//desktop/{ROUTE}/{ANN}/",
        f"/%64esktop/{ROUTE}/{ANN}/",
        f"/desktop/{ROUTE}/{ANN}",
        f"/desktop/{ROUTE}/{ANN.upper()}/",
        f"/desktop/99999999/{ANN}/",
        f"/desktop/{ROUTE}/127.0.0.1:1/",
        "/_gr/authorise",
        "/_gr/enter",
    ]:
        for base in (world.stream, world.main):
            status, answer = await raw(
                base, f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nCookie: greenroom_viewer=token-ann\nConnection: close"
            )
            assert b"X-Container" not in answer
            assert status in (400, 403, 404) or b"<title>console</title>" in answer


async def test_the_host_header_does_not_choose_where_the_agent_asks(world: World):
    status, _ = await raw(
        world.stream,
        f"GET {world.path()} HTTP/1.1\nHost: localhost:9999\nX-Forwarded-Host: evil.example\n"
        "Cookie: greenroom_viewer=token-ann\nConnection: close",
    )
    assert status == 200
    assert len(world.api.questions) == 1  # it arrived at the address in the session's specification


async def test_an_upstream_auth_address_that_does_not_answer_is_named(own_world: World):
    await own_world.served["api"].stop()
    reply = await own_world.client().get(f"{own_world.stream}{own_world.path()}?token=token-ann")
    assert reply.status_code == 503
    assert own_world.plan["main_listen"] in reply.json()["error_message"]


async def test_a_page_says_that_the_container_or_the_agent_is_unreachable(own_world: World):
    client = own_world.client(cookies={"greenroom_viewer": "token-ann"})
    assert (await client.get(f"{own_world.stream}{own_world.path()}")).status_code == 200
    await own_world.served["ann"].stop()
    reply = await client.get(f"{own_world.stream}{own_world.path()}")
    assert (reply.status_code, reply.json()["code"]) == (502, "unavailable")
    page = await client.get(f"{own_world.stream}{own_world.path()}", headers=A_FRAME)
    assert (page.status_code, "may be starting, or it was stopped" in page.text) == (502, True)
    await own_world.served["agent"].stop()
    for headers in ({}, A_FRAME):
        reply = await client.get(f"{own_world.stream}{own_world.path()}", headers=headers)
        assert reply.status_code == 503
        assert reply.headers["Retry-After"] == "5"
        assert "does not answer; try again in a moment" in reply.text


async def test_a_viewer_uploads_more_than_the_api_takes(world: World):
    client = world.client(cookies={"greenroom_viewer": "token-ann"})
    reply = await client.put(f"{world.stream}{world.path()}taken", content=b"x" * (11 << 20))
    assert (reply.status_code, reply.json()) == (200, {"bytes": 11 << 20})


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    yield b"x" * size


async def test_an_upload_over_the_limit_is_refused_before_the_container(world: World):
    world.table.limit_uploads(ANN, 1)
    client = world.client(cookies={"greenroom_viewer": "token-ann"})
    for base in (world.stream, world.main):
        address = f"{base}{world.path()}taken"
        below = await client.put(address, content=b"x" * 1_000_000)
        assert (below.status_code, below.json()) == (200, {"bytes": 1_000_000})
        over = await client.put(address, content=b"x" * 1_000_001)
        sentence = "up to 1 MB may be uploaded into this session at a time. Ask an administrator for more."
        assert (over.status_code, over.json()) == (413, {"error_message": f"The file is too large: {sentence}"})
        unknown = await client.put(address, content=in_pieces(10))
        assert (unknown.status_code, unknown.json()["error_message"].endswith(sentence)) == (413, True)
        as_websocket = {"Upgrade": "websocket", "Origin": world.stream}
        refused = await client.put(address, content=b"x" * 1_000_001, headers=as_websocket)
        assert refused.status_code == 413
    assert (await client.get(f"{world.stream}{world.path()}")).status_code == 200
    async with world.websocket(world.stream, token="token-ann") as websocket:
        await said(websocket)
        assert await answers(websocket)


async def test_the_limit_is_that_of_the_sessions_user(world: World):
    world.table.limit_uploads(ANN, 1)
    client = world.client(cookies={"greenroom_viewer": "token-bob"})
    reply = await client.put(f"{world.stream}{world.path(BOB)}taken", content=in_pieces(1_000_001))
    assert (reply.status_code, reply.json()) == (200, {"bytes": 1_000_001})


async def test_an_unresponsive_page_is_given_up_but_not_a_silent_desktop(monkeypatch: pytest.MonkeyPatch):
    quick = "import greenroom.gateway.nginx as nginx; nginx.PAGE_IDLE = '1s'"
    monkeypatch.setattr(gateways, "RUN_AS_ACCOUNT", f"{quick}\n{gateways.RUN_AS_ACCOUNT}")
    async with served_world() as world, world.websocket(world.stream, token="token-ann") as desktop:
        await said(desktop)
        client = world.client(cookies={"greenroom_viewer": "token-ann"})
        reply = await client.get(f"{world.stream}{world.path()}silent")
        assert (reply.status_code, reply.json()["code"]) == (502, "unavailable")
        await asyncio.sleep(1.5)  # to see that it is not cut
        assert await answers(desktop)


@pytest.mark.parametrize("kernel_can", [True, False])
async def test_a_revoked_viewer_is_cut_within_five_seconds(world: World, kernel_can: bool):
    async with (
        world.websocket(world.stream, token="token-ann") as ann,
        world.websocket(world.stream, BOB, token="token-bob") as bob,
    ):
        await said(ann)
        await said(bob)
        world.api.epoch = 1
        with the_way_to_cut(world, kernel_can):
            world.table.raise_epoch(ANN)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ann.recv(), 5)
            assert await status_of(world.websocket(world.stream, token="token-ann")) == 401
            await world.cutter.wait()
        assert await answers(bob)


async def test_no_token_is_in_the_logs(own_world: World):
    await own_world.served["agent"].stop()
    await own_world.client().get(f"{own_world.stream}{own_world.path()}?token=token-canary")
    await own_world.until(lambda: "Connection refused" in own_world.log())
    assert "token-canary" not in own_world.log()
