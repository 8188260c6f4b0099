"""A separate machine for chromium, as people have one.

Chromium drops all its connections when an address of its machine changes (ERR_NETWORK_CHANGED), which happens here with
the network of every session that starts or ends. Therefore it runs in a network namespace with only a SOCKS proxy
(RFC 1928) to the loopback addresses of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.acceptance.machines import Network

PORT: Final = 1080
CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS: Final = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
PROXY: Final = [f"--proxy-server=socks5://127.0.0.1:{PORT}", "--proxy-bypass-list=<-loopback>"]
CHUNK_BYTES: Final = 65536

VERSION: Final = 5
IPV4: Final = 1
IPV6: Final = 4
SUCCEEDED, REFUSED = 0, 5


@contextmanager
def chromium_options() -> Iterator[dict[str, Any]]:
    """The options with which Playwright starts a chromium on a separate machine, which exists during the block."""
    network = Network()
    try:
        machine = network.machine("browser")
        launcher = machine.folder / "chromium"
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join([*machine.inside, CHROMIUM])} "$@"\n')
        launcher.chmod(0o755)
        with machine.entered():
            listener = socket.create_server(("127.0.0.1", PORT))
        with _served(listener):
            yield {"executable_path": str(launcher), "args": [*ARGUMENTS, *PROXY]}
    finally:
        network.close()


@contextmanager
def _served(listener: socket.socket) -> Iterator[None]:
    """Answer at a listening socket from a thread that is on this machine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="socks-proxy")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(_connection, sock=listener), loop).result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(bytes([VERSION, 0]))
        _, _, _, kind = await reader.readexactly(4)
        if kind == IPV6:
            host = socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
        else:
            host = socket.inet_ntoa(await reader.readexactly(4)) if kind == IPV4 else await _name(reader)
        port = int.from_bytes(await reader.readexactly(2))
        try:
            there_reader, there_writer = await _connect(host, port)
        except OSError:
            writer.write(_reply(REFUSED))
            return
        writer.write(_reply(SUCCEEDED))
        with contextlib.closing(there_writer):
            ways = [asyncio.create_task(_pump(reader, there_writer)), asyncio.create_task(_pump(there_reader, writer))]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()


async def _name(reader: asyncio.StreamReader) -> str:
    (length,) = await reader.readexactly(1)
    return (await reader.readexactly(length)).decode()


async def _connect(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a loopback address of this machine, or to `localhost`.

    Raises:
        OSError: it is another address, or the connection failed.
    """
    if host not in ("localhost", "::1") and not host.startswith("127."):
        raise ConnectionRefusedError(host)
    return await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, port)


def _reply(code: int) -> bytes:
    return bytes([VERSION, code, 0, IPV4]) + bytes(6)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy data in one direction, and close only this direction: a server that has refused an upload continues to
    read, and closing the connection while the browser still sends would reset it, with the refusal in it."""
    try:
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
        target.write_eof()
    except OSError:  # reset, or closed in the meantime
        target.close()
