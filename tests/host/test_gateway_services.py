"""Pages in a folder of their container, and additional services, through the gateway."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.gateways import World, answers, said
from tests.support.played import ANN
from tests.support.world_fixtures import own_world, shared_world, world
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from greenroom.core.workspace.session_spec import Service
from greenroom.wire.messages import Authorised

__all__ = ["own_world", "shared_world", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

COOKIE = {"Cookie": "greenroom_viewer=token-ann"}


def beside(world: World, *services: Service, page_path: str = "/") -> None:
    """Ann's container serves these in addition to its page; Bob's container simulates them."""
    row = world.table.rows[ANN]
    addresses = {one.name: world.served["bob"].address for one in services if one.allowed}
    spec = replace(row.spec, services=services, page_path=page_path)
    world.table.rows[ANN] = replace(row, spec=spec, services=addresses)


async def test_a_service_of_the_image_is_reached_below_its_name(world: World):
    beside(world, Service(name="audio", port=4901, allowed=True))
    client = world.client(headers=COOKIE)
    for base in (world.stream, world.main):
        for asked, target in (("audio/a%2Fb?q=1", "/a%2Fb?q=1"), ("audio", "/"), ("audio?q=1", "/?q=1")):
            echoed = (await client.get(f"{base}{world.path()}{asked}")).json()
            assert echoed["target"] == target
            assert dict(echoed["headers"])["authorization"] == "Basic a2FzbV91c2VyOnMzY3JldA=="
    moved = await client.get(f"{world.stream}{world.path()}audio/redirect")
    assert moved.headers["Location"] == f"{world.path()}audio/vnc.html?a=1"
    assert (await client.get(f"{world.stream}{world.path()}audiobook")).json()["target"] == "/audiobook"


async def test_the_websocket_of_a_service_is_no_visit_and_is_cut_with_the_others(world: World):
    beside(world, Service(name="audio", port=4901, allowed=True))
    opened = len(world.openings)
    address = f"wss{world.stream.removeprefix('https')}{world.path()}audio/websockify"
    async with connect(address, ssl=world.tls(), origin=Origin(world.stream), additional_headers=COOKIE) as websocket:
        await said(websocket)
        assert await answers(websocket)
        assert len(world.openings) == opened
        world.table.rows[ANN] = replace(world.table.rows[ANN], authorised=Authorised(user_id="user-ann", epoch=2))
        world.table.authorised_changed.emit(ANN)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(websocket.recv(), 5)


async def test_a_service_that_the_session_may_not_use_is_refused_by_the_agent(world: World):
    beside(world, Service(name="uploads", port=4902))
    reply = await world.client(headers=COOKIE).post(f"{world.stream}{world.path()}uploads/upload", content=b"x")
    assert reply.status_code == 403
    assert "may not use uploads: the groups of its user do not allow it" in reply.json()["error_message"]
    stranger = await world.client().get(f"{world.stream}{world.path()}uploads/")
    assert stranger.status_code == 401


async def test_a_page_in_a_folder_of_its_container_is_the_page(world: World):
    beside(world, page_path="/vnc/")
    client = world.client(headers=COOKIE)
    assert (await client.get(f"{world.stream}{world.path()}x?y=1")).json()["target"] == "/vnc/x?y=1"
    away = await client.get(f"{world.stream}{world.path()}../redirect")
    assert away.status_code == 404


async def test_a_page_that_knows_its_path_gets_it_and_is_not_shown_at_another(world: World):
    beside(world, page_path=world.path())
    client = world.client(headers=COOKIE)
    echoed = (await client.get(f"{world.stream}{world.path()}lab?a=1")).json()
    assert echoed["target"] == f"{world.path()}lab?a=1"
    assert dict(echoed["headers"])["x-forwarded-prefix"] + "/" == world.path()
    elsewhere = world.path().replace("/desktop/", "/eu/")
    first = await world.client().get(f"{world.stream}{elsewhere}lab?token=token-ann")
    assert (first.status_code, first.headers["Location"]) == (303, f"{world.path()}lab?token=token-ann")
    assert (await client.get(f"{world.stream}{elsewhere}lab")).status_code == 403


async def test_a_redirect_of_a_page_that_knows_its_path_stays_below_it(world: World):
    beside(world, page_path=world.path())
    to = f"{world.path()}moved?to={world.path()}tree"
    reply = await world.client(headers=COOKIE).get(f"{world.stream}{to}")
    assert reply.headers["Location"] == f"{world.path()}tree"
