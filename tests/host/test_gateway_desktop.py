"""A real desktop through real nginx: RFB by a program, its page, kill -9 during a stream, revocation."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from tests.support.gateways import World, served_world, the_way_to_cut
from tests.support.played import ANN
from tests.support.runtime_hosts import Host
from tests.support.waiting import eventually
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from greenroom.runtimes.probe.screen import Screen

pytestmark = pytest.mark.docker


@pytest.fixture
async def world(openbox_image: str, tmp_path: Path) -> AsyncIterator[World]:
    """Ann's session is a real container."""
    runtime = await Host("docker", tmp_path).open()
    try:
        async with served_world() as made:
            spec = replace(made.spec, image=openbox_image, memory_bytes=512 << 20)
            container_of = str(uuid.uuid4())  # containers of other files have Ann's id in their names
            await runtime.create(container_of, spec)
            address = (await runtime.start(container_of)).address
            assert address is not None

            async def is_usable() -> bool:
                return (await runtime.probe(address, spec)).usable

            await eventually(is_usable)
            made.table.put(ANN, spec, address, "user-ann")
            yield made
    finally:
        await runtime.remove_all()
        await runtime.close()


@asynccontextmanager
async def desktop(world: World, base: str) -> AsyncIterator[tuple[Screen, ClientConnection]]:
    """The screen in the form that a program receives."""
    async with world.websocket(base, token="token-ann") as websocket:

        async def receive() -> bytes:
            data = await websocket.recv()
            assert isinstance(data, bytes)
            return data

        screen = Screen(websocket.send, receive)
        await screen.open()
        yield screen, websocket


async def test_a_program_uses_rfb_without_a_password_on_both_ports(world: World):
    for base in (world.main, world.stream):
        async with desktop(world, base) as (screen, _):
            assert screen.width >= 640
            assert await screen.is_painted()


async def test_what_a_program_watches_is_measured(world: World):
    client, page = world.client(), f"{world.main}{world.path()}api/get_frame_stats"
    cookie = {"Cookie": "session_token=token-ann"}
    assert (await client.get(page, headers=cookie)).status_code == 503, "no one watches"
    async with desktop(world, world.main) as (screen, _):
        measured = (await client.get(page, headers=cookie)).json()
        assert (measured["frame"]["resx"], measured["frame"]["resy"]) == (screen.width, screen.height)
        assert [viewer["ping"] >= 1 for viewer in measured["client_side"]] == [True]


async def test_the_page_of_the_container_opens_after_the_first_open(world: World):
    client = world.client(follow_redirects=True)
    page = await client.get(f"{world.stream}{world.path()}?token=token-ann")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert str(page.url) == f"{world.stream}{world.path()}"
    assert world.main in page.headers["Content-Security-Policy"]


async def test_the_desktop_stays_open_over_kill_9_of_master_and_parent(world: World):
    async with desktop(world, world.stream) as (screen, _):
        old = await world.master()
        os.kill(old, signal.SIGKILL)
        await world.until(lambda: world.masters() not in ([], [old]))
        assert await screen.is_painted()
        assert world.process is not None
        world.process.kill()
        world.process.wait()
        assert await screen.is_painted()
        served_before = world.log().count("nginx serves")  # 2, or 1: it may have been killed before it reported
        await world.start()
        await world.until(lambda: world.log().count("nginx serves") > served_before)
        assert await screen.is_painted()
        async with desktop(world, world.main) as (second, _):
            assert await second.is_painted()


@pytest.mark.parametrize("kernel_can", [True, False])
async def test_revocation_cuts_a_real_desktop_within_five_seconds(world: World, kernel_can: bool):
    async with desktop(world, world.stream) as (screen, websocket):
        assert await screen.is_painted()
        with the_way_to_cut(world, kernel_can):
            world.table.raise_epoch(ANN)

            async def until_closed() -> None:
                while True:
                    await websocket.recv()

            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(until_closed(), 5)
            await world.cutter.wait()
    reply = await world.client().get(f"{world.stream}{world.path()}", headers={"Cookie": "greenroom_viewer=token-ann"})
    assert reply.status_code == 401


async def test_the_container_itself_refuses_without_its_credential(world: World):
    """Only the gateway has the credential: guessing the published port gives no access."""
    session = world.table.get(ANN)
    assert session is not None
    async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
        assert (await client.get(f"https://{session.address}/")).status_code == 401
