"""Gateways on other hosts that contact an Agent for the first time, or must switch to another process of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.stream import gateways as agent_gateways
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.viewers import StreamOrigin, Viewer
from greenroom.core.errors import Unavailable
from greenroom.core.session.viewing import Connection
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.messages import Authorised
from greenroom.wire.viewers import LISTEN_PATH, Listen, News

SESSION = SessionSnapshot(
    session_id="s",
    spec=SessionSpec(image="i", image_id="i", credential="c"),
    address="127.0.0.1:9",
    authorised=Authorised(user_id="u", epoch=1),
    handed_over=True,
)
VIEWER = Viewer(
    session_id="s",
    token_hash="",
    shown_session_id="s",
    user_id="u",
    epoch=1,
    confirmed_at=0.0,
    ttl_s=9.0,
    address="127.0.0.1:9",
)
CLIENT = StreamOrigin("10.0.0.7", Connection("10.0.0.7", 4711, "the gateway"))


class Who:
    agent_id = "a"


class NoSessions:
    def get(self, session_id: str) -> SessionSnapshot | None:
        del session_id


@pytest.fixture
def gateways() -> Gateways:
    return Gateways(Who(), NoSessions(), lambda: True)


@pytest.fixture
async def gateway(gateways: Gateways) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(Starlette(routes=gateways.routes))
    async with httpx2.AsyncClient(transport=transport, base_url="http://agent") as client:
        yield client


async def listen(gateway: httpx2.AsyncClient, known: News | None = None, hold_s: float = 0.0) -> News:
    said = Listen(
        gateway_id="the gateway",
        process=known.process if known else "",
        noted=known.number if known else 0,
        hold_s=hold_s,
    )
    answer = await gateway.post(LISTEN_PATH, content=msgspec.json.encode(said))
    return msgspec.json.decode(answer.content, type=News)


async def test_a_viewer_waits_for_a_gateway_that_did_not_ask_yet(gateways: Gateways, gateway: httpx2.AsyncClient):
    admitted = asyncio.create_task(gateways.admit(VIEWER, SESSION, CLIENT, websocket=True))
    await asyncio.sleep(0)
    news = await listen(gateway)
    assert [one.client for one in news.admitted] == [CLIENT.connection]
    assert not admitted.done(), "it is not kept yet"
    assert (await listen(gateway, news)).admitted == ()
    await admitted


async def test_through_a_gateway_that_does_not_ask_no_viewer_is_let_in(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agent_gateways, "STORE_TIMEOUT_S", 0.01)
    with pytest.raises(Unavailable, match="is not connected to the Agent"):
        await gateways.admit(VIEWER, SESSION, CLIENT, websocket=True)


async def test_where_another_process_answers_from_now_on_nothing_is_held(
    gateways: Gateways, gateway: httpx2.AsyncClient
):
    known = await listen(gateway)
    held = asyncio.create_task(listen(gateway, known, hold_s=10.0))
    await asyncio.sleep(0.05)
    assert not held.done()
    gateways.release_requests()
    async with asyncio.timeout(5.0):
        await held
