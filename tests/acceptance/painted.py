"""A page with a painted screen: the target of the stream of a simulated session."""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from datetime import UTC, datetime
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from greenroom.kit.certificates import key_to_pem, new_authority, new_key
from greenroom.runtimes.probe.screen import BGRX, RAW, SECURITY_NONE, VERSION

WIDTH, HEIGHT = 64, 48
ENCODINGS, REQUEST = 2, 3
"""The RFB messages of a viewer here; both have a fixed length, as `greenroom.runtimes.probe.screen` sends them."""


class PaintedPage:
    """Serves every viewer the same picture over RFB, in a separate thread, until `close`."""

    def __init__(self, folder: Path) -> None:
        key = new_key()
        authority = new_authority("Test authority of a page", datetime.now(UTC))
        (folder / "page.key").write_text(key_to_pem(key))
        (folder / "page.crt").write_text(authority.sign(key.public_key(), ["127.0.0.1"], 1, datetime.now(UTC)))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "page.crt", folder / "page.key")
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._serves = threading.Event()
        self.address = ""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._serves.wait(30), "the page is served"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        protocols = [Subprotocol("binary")]
        async with serve(
            _show, "127.0.0.1", 0, ssl=self._tls, subprotocols=protocols, ping_interval=None, close_timeout=1
        ) as server:
            (listening,) = server.sockets
            self.address = f"127.0.0.1:{listening.getsockname()[1]}"
            self._serves.set()
            await self._closed.wait()


async def _show(viewer: ServerConnection) -> None:
    try:
        await viewer.send(VERSION)
        await viewer.recv()
        await viewer.send(bytes([1, SECURITY_NONE]))
        await viewer.recv()
        await viewer.send(bytes(4))
        await viewer.recv()
        await viewer.send(struct.pack(">HH", WIDTH, HEIGHT) + BGRX + struct.pack(">I4s", 4, b"play"))
        async for message in viewer:
            assert isinstance(message, bytes)
            if message[0] == REQUEST:
                await viewer.send(_picture(*struct.unpack(">HHHH", message[2:10])))
    except ConnectionClosed:
        return


def _picture(x: int, y: int, width: int, height: int) -> bytes:
    """A rectangle in which no two neighboring pixels have the same color."""
    pixels = b"".join(struct.pack(">I", number) for number in range(width * height))
    return struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", x, y, width, height, RAW) + pixels
