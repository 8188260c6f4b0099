"""Open a session's stream like a browser, and wait for its first frame (RFB over the websocket)."""

from __future__ import annotations

import asyncio
import ssl
import struct
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.api_connection import ApiConnection, Events
from bench.instance import Instance


class _Reader:
    """The bytes of a websocket, independent of its frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._buffer = b""

    async def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = await self._socket.recv()
            self._buffer += data if isinstance(data, bytes) else data.encode()
        result, self._buffer = self._buffer[:count], self._buffer[count:]
        return result


def connect_stream(url: str, headers: dict[str, str], context: ssl.SSLContext) -> connect:
    """Connect to the websocket of a session at this address."""
    return connect(
        url,
        ssl=context,
        additional_headers=headers,
        subprotocols=[Subprotocol("binary")],
        max_size=None,
        compression=None,
        proxy=None,
        close_timeout=0.2,
    )


async def receive_first_frame(socket: ClientConnection) -> None:
    """Receive a full update of the screen over RFB 3.8 with security type None."""
    reader = _Reader(socket)
    await reader.read(12)
    await socket.send(b"RFB 003.008\n")
    security_types = await reader.read((await reader.read(1))[0])
    assert 1 in security_types, security_types
    await socket.send(b"\x01")
    assert await reader.read(4) == bytes(4)
    await socket.send(b"\x01")
    width, height = struct.unpack(">HH", await reader.read(4))
    await reader.read(16)
    await reader.read(struct.unpack(">I", await reader.read(4))[0])
    await socket.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    assert (await reader.read(1))[0] == 0


def wait_until_open(connection: ApiConnection, events: Events, session_id: str) -> str:
    """Wait until the session may be opened, with a request after each event about it; returns the address that opens
    it."""
    return events.wait_for(
        session_id, lambda: connection.request("GET", f"/sessions/{session_id}/connection")["frame_url"], 60
    )


def connect_with_token(instance: Instance, address: str) -> connect:
    """Open the address with a token, like a browser; returns the connection to the stream behind it."""
    parts = urlsplit(address)
    connection = ApiConnection(instance, parts.netloc)
    headers = {"Cookie": connection.fetch_cookie(f"{parts.path}?{parts.query}"), "Origin": instance.facts["url"]}
    return connect_stream(f"wss://{parts.netloc}{parts.path}websockify", headers, connection.context)


def open_stream(instance: Instance, connection: ApiConnection, events: Events, session_id: str) -> None:
    """Wait until the session may be opened, open the address with the token, and receive the first frame."""
    address = wait_until_open(connection, events, session_id)

    async def receive() -> None:
        async with connect_with_token(instance, address) as socket:
            await receive_first_frame(socket)

    asyncio.run(receive())
