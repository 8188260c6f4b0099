"""Several nginx and several workers share the gateway's sockets without any effect on clients."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
from tests.support.gateways import World, served_world
from tests.support.processes import free_port

from greenroom.gateway.nginx import Listeners

REQUEST = b"GET /gateway_status HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n"
"""A request that nginx itself answers."""
TAKE_OVERS = 6
CLIENTS = 6


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served_world() as made:
        yield made


def trusting() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


async def connected(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = world.plan["main_listen"].partition(":")
    return await asyncio.open_connection(host, int(port), ssl=trusting())


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next answer; its body is read too."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].split("\r")[0]))
    return int(head.split(" ")[1])


def connect_once(address: str) -> None:
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port))).close()


async def test_no_worker_waits_for_a_connection_that_another_one_took(world: World):
    kept = [await connected(world) for _ in range(6)]  # some at each worker
    rarely_used = world.plan["managers"][1]["listen"]
    for _ in range(120):
        await asyncio.sleep(0.005)  # idle workers are woken by each of these; one of them is too late
        await asyncio.gather(*(asyncio.to_thread(connect_once, rarely_used) for _ in range(4)))
        await asyncio.sleep(0.005)
        for reader, writer in kept:
            writer.write(REQUEST % b"")
            assert await asyncio.wait_for(status(reader), 10) == 200
    for _, writer in kept:
        writer.close()


def test_what_nginx_inherits_does_not_block():
    listeners = Listeners()
    try:
        listeners.ensure([f"127.0.0.1:{free_port()}", f"[::1]:{free_port()}"], shares_ports=False)
        assert not any(os.get_blocking(descriptor) for descriptor in listeners.descriptors)
    finally:
        listeners.close()


async def test_new_connections_do_not_notice_that_a_plan_is_taken_over(world: World):
    changing, answered = True, 0

    async def visit_again_and_again(pause_s: float) -> None:
        """Pause for `pause_s` between the steps, so that a takeover happens during each of them."""
        nonlocal answered
        while changing:
            reader, writer = await connected(world)
            await asyncio.sleep(pause_s)  # see `pause_s`
            writer.write(REQUEST[:20])
            await asyncio.sleep(pause_s)  # see `pause_s`
            writer.write(REQUEST[20:] % b"Connection: close\r\n")
            assert await asyncio.wait_for(status(reader), 10) == 200
            writer.close()
            answered += 1

    clients = [asyncio.create_task(visit_again_and_again(number * 0.02)) for number in range(CLIENTS)]
    for number in range(TAKE_OVERS):
        starts = world.log().count("nginx serves")
        world.plan["agents"] = [world.plan["agents"][0], {"route": f"{number:08x}", "upstream": "127.0.0.1:1"}]
        world.write_plan()
        await world.until(lambda starts=starts: world.log().count("nginx serves") > starts)
    changing = False
    await asyncio.gather(*clients)
    assert answered > CLIENTS
