"""Cutting connections: by the kernel where it can, else by the container's network."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.agent.cutter import Cutter
from greenroom.runtimes.base import ContainerMissing


async def test_without_the_kernels_help_the_container_is_taken_off_its_network():
    detached: list[str] = []

    async def detach(session_id: str) -> None:
        detached.append(session_id)

    cutter = Cutter(detach)
    cutter.cut_soon("s", "127.0.0.1:1")
    await cutter.wait()
    assert detached == ["s"]


async def test_a_container_that_is_gone_needs_no_cut():
    async def detach(_session_id: str) -> None:
        raise ContainerMissing

    cutter = Cutter(detach)
    cutter.cut_soon("s", "127.0.0.1:1")
    await cutter.wait()


async def test_with_it_every_connection_to_the_address_is_aborted_and_no_other():
    cutter = Cutter()
    await cutter.probe()
    if not cutter.kernel_can:
        pytest.skip("this machine cannot abort connections: no ss, no CAP_NET_ADMIN or no INET_DIAG_DESTROY")
    servers = [await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0) for _ in range(2)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    cut, kept = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    cutter.cut_soon("s", f"127.0.0.1:{ports[0]}")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(cut[0].read(1), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kept[0].read(1), 0.2)
    await cutter.wait()
    for _, writer in (cut, kept):
        writer.close()
    for server in servers:
        server.close()
