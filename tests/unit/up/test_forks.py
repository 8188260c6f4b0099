"""The connection from `up` to its fork server."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from greenroom.up.account import Account
from greenroom.up.fork_server import READY
from greenroom.up.forks import ForkClient
from greenroom.up.processes import ProcessCommand


async def next_request(server: socket.socket) -> bytes:
    server.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(server, 16)


async def test_a_request_is_repeated_if_up_ends_the_fork_server(tmp_path: Path):
    client = ForkClient()
    command = ProcessCommand(
        argv=("true",), environment=os.environ, folder=tmp_path, account=Account(None), log=tmp_path / "role.log"
    )
    with client.connect() as first:
        first.send(READY)
        async with asyncio.timeout(20):
            forked = asyncio.create_task(client.fork(command, "agent"))
            await next_request(first)
            client.close()
            with client.connect() as second:
                second.send(READY)
                await next_request(second)
                second.send(b"42")
                assert await forked == 42
    client.close()
