"""A desktop with a viewer: the websocket of a browser through nginx, with RFB over it."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2
from tests.acceptance.instance import wait_for
from websockets import ConnectionClosed, WebSocketException
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from greenroom.runtimes.probe.screen import Screen

FRAME_WITHIN_S = 10.0
ONE_PIXEL = struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1)
"""An RFB message: request this part of the screen."""


class Front(Protocol):
    """The console's origin, where streams are opened, and TLS that trusts its certificate."""

    @property
    def url(self) -> str: ...
    def ca(self) -> ssl.SSLContext: ...


class Deployment(Front, Protocol):
    """A deployment in which sessions are launched."""

    def call(self, method: str, path: str, **options: Any) -> Any: ...


class OpenDesktop:
    """An established stream of a session.

    Its event loop runs only during calls, in the caller's thread: of two threads in one TLS connection, as in a
    blocking client, one loses data that the other reads (one handshake in a thousand was never answered).
    """

    def __init__(self, loop: asyncio.Runner, websocket: ClientConnection) -> None:
        self._loop = loop
        self._websocket = websocket
        self._screen = Screen(websocket.send, self._receive)
        loop.run(self._screen.open())

    def goes_on(self) -> bool:
        """True if a requested picture arrives over this same connection.

        Raises:
            TimeoutError: nothing came.
            websockets.ConnectionClosed: the connection was cut.
        """
        return self._loop.run(self._screen.is_painted())

    def send(self, message: bytes) -> None:
        """Send an RFB message."""
        self._loop.run(self._websocket.send(message))

    def look(self) -> None:
        """Request one pixel and wait until data arrives; `goes_on` must not be called afterwards.

        Raises:
            TimeoutError: nothing came.
            websockets.ConnectionClosed: the connection was cut.
        """
        self.send(ONE_PIXEL)
        self._loop.run(self._receive())

    def is_closed_within(self, seconds: float) -> bool:
        """True if the other side closes the stream, although pictures are requested all the time."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.look()
                time.sleep(0.1)  # a browser requests pictures no faster than the screen is painted
        except ConnectionClosed:
            return True
        return False

    @property
    def close_code(self) -> int | None:
        """The code with which the stream was closed."""
        return self._websocket.close_code

    async def _receive(self) -> bytes:
        async with asyncio.timeout(FRAME_WITHIN_S):
            data = await self._websocket.recv()
        assert isinstance(data, bytes)
        return data


def entered(instance: Deployment, session_id: str) -> tuple[str, str]:
    """Enter the session like a browser, by the address with the token; returns that address, and its cookie."""
    path = f"/sessions/{session_id}/connection"
    address: str = wait_for(lambda: instance.call("GET", path)["frame_url"], "the stream may be opened")
    answer = httpx2.get(
        address, verify=instance.ca(), headers={"Sec-Fetch-Dest": "iframe"}, timeout=15, trust_env=False
    )
    if "set-cookie" not in answer.headers:
        raise KeyError(f"no cookie came with {answer.status_code}: {answer.text}")
    return address, answer.headers["set-cookie"].split(";")[0]


@contextmanager
def open_desktop(instance: Deployment, session_id: str) -> Generator[OpenDesktop]:
    """Enter the session and open its stream."""
    with open_stream(instance, *entered(instance, session_id)) as desktop:
        yield desktop


def is_streamed(instance: Deployment, session_id: str) -> bool:
    """True if the session's stream opens and continues. It may fail in any way while a gateway changes its
    configuration, and for two seconds after a cut, because streams that were opened in the meantime are cut as well."""
    try:
        with open_desktop(instance, session_id) as desktop:
            return desktop.goes_on()
    except (KeyError, OSError, httpx2.TransportError, WebSocketException):
        return False


@contextmanager
def open_stream(instance: Front, whole: str, cookie: str) -> Generator[OpenDesktop]:
    """Open the stream at this address with the cookie from entering it."""
    with open_websocket(instance, whole, cookie) as (loop, websocket):
        yield OpenDesktop(loop, websocket)


@contextmanager
def open_websocket(instance: Front, whole: str, cookie: str) -> Generator[tuple[asyncio.Runner, ClientConnection]]:
    """Open the stream with any protocol; returns it with its event loop."""
    with asyncio.Runner() as loop:
        websocket = loop.run(_opened(opening_of(instance, whole, cookie)))
        try:
            yield loop, websocket
        finally:
            loop.run(websocket.close())


def opening_of(instance: Front, whole: str, cookie: str) -> connect:
    """Return the opening of the stream at this address."""
    address = urlsplit(whole)
    return connect(
        f"wss://{address.netloc}{address.path}websockify",
        ssl=instance.ca(),
        origin=Origin(instance.url),
        subprotocols=[Subprotocol("binary")],
        additional_headers={"Cookie": cookie},
        max_size=None,
        proxy=None,
        ping_interval=None,  # between two calls the answer would not be read
    )


async def _opened(opening: connect) -> ClientConnection:
    return await opening
