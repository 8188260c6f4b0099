"""Streams through a gateway that is not on its Agent's host, and connects to the sessions directly.

The Agent has two processes with one identity, as in a namespace: one acts, the second is on standby.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from tests.support.gateway_elsewhere import SECRET, Elsewhere, elsewhere
from tests.support.gateways import STARTED_S, answers, said
from tests.support.played import ANN, BOB
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def remote() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as made:
        acting = made.processes[0].served
        assert acting is not None
        made.start_gateway(acting.address)
        await made.world.until(made.knows_all, STARTED_S)
        await made.world.until(made.serves)
        yield made


async def is_cut(websocket: ClientConnection) -> bool:
    """True if the stream ends; it does so within seconds."""
    try:
        async with asyncio.timeout(20):
            while True:
                await websocket.send(b"ping")
                await websocket.recv()
                await asyncio.sleep(0.05)  # there is no event for the end
    except ConnectionClosed:
        return True


async def opened(remote: Elsewhere) -> ClientConnection:
    websocket = await remote.world.websocket(remote.world.stream, token="token-ann")
    await said(websocket)
    assert await answers(websocket)
    return websocket


async def test_only_a_gateway_with_the_secret_is_answered(remote: Elsewhere):
    served = remote.processes[0].served
    assert served is not None
    async with httpx2.AsyncClient(base_url=f"http://{served.address}", trust_env=False) as client:
        uri = {"X-Original-URI": remote.world.path(), "Cookie": "greenroom_viewer=token-ann"}
        for path in ("/authorise", "/enter", "/listen", "/check"):
            for shown in ({}, {"X-Greenroom-Stream-Secret": "x"}):
                assert (await client.get(path, headers={**uri, **shown})).status_code == 401
        good = await client.get("/authorise", headers={**uri, "X-Greenroom-Stream-Secret": SECRET})
        assert good.status_code == 200


async def test_viewers_are_let_in_by_whichever_process_answers(remote: Elsewhere):
    world = remote.world
    first = await world.client().get(f"{world.stream}{world.path()}?token=token-ann")
    assert first.status_code == 303
    websocket = await opened(remote)
    acting, standby = remote.processes
    await acting.stop()
    assert await remote.status() == 200, "the other one is asked in the same request"
    second = await opened(remote)
    assert await answers(websocket)
    assert acting.served is None
    standby.acting = True
    world.table.raise_epoch(ANN)
    assert await is_cut(websocket), "it was let in by a process that is gone"
    assert await is_cut(second)


async def test_who_was_let_in_by_a_standby_is_cut_by_the_one_that_acts(remote: Elsewhere):
    acting, _ = remote.processes
    await acting.stop()
    websocket = await opened(remote)
    await acting.serve()  # at another port, which the standby reports
    moved = acting.served
    assert moved is not None
    assert await answers(websocket)
    remote.world.table.raise_epoch(ANN)
    assert await is_cut(websocket)


async def test_a_revocation_reaches_a_gateway_that_was_away(remote: Elsewhere):
    """Its nginx continued to serve without it."""
    world = remote.world
    websocket = await opened(remote)
    await remote.end_gateway(signal.SIGKILL)
    assert await answers(websocket)
    world.table.raise_epoch(ANN)
    world.api.tokens.clear()
    assert await answers(websocket), "no one could know"
    served = remote.processes[0].served
    assert served is not None
    remote.start_gateway(served.address)
    assert await is_cut(websocket)


async def test_a_gateway_that_drains_follows_the_agent_to_another_address(remote: Elsewhere):
    world, (acting, standby) = remote.world, remote.processes
    websocket = await opened(remote)
    assert remote.gateway is not None
    remote.gateway.send_signal(signal.SIGQUIT)
    await world.until(lambda: len(remote.processes) == 2)
    await acting.stop()
    await acting.serve()
    assert await answers(websocket)
    await standby.stop()
    world.table.raise_epoch(ANN)
    assert await is_cut(websocket)
    assert await asyncio.to_thread(remote.gateway.wait, 20) == 0


async def test_no_viewer_is_let_in_through_a_gateway_that_does_not_listen(remote: Elsewhere):
    world = remote.world
    assert remote.gateway is not None
    remote.gateway.send_signal(signal.SIGSTOP)
    try:
        reply = await world.client().get(
            f"{world.stream}{world.path(BOB)}", headers={"Cookie": "greenroom_viewer=token-bob"}
        )
    finally:
        remote.gateway.send_signal(signal.SIGCONT)
    assert reply.status_code == 503
    assert "is not connected to the Agent" in reply.json()["detail"]
    await world.until(remote.serves)  # Ann was admitted before
