"""A desktop somebody looks at: the websocket of a browser through nginx, with RFB spoken over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from tests.acceptance.instance import Instance, wait_for
from websockets.sync.client import ClientConnection, connect

from greenroom.runtimes.rfb import Screen

FRAME_WITHIN_S = 10.0


class OpenDesktop:
    """One established stream of a session."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._screen = Screen(self._send, self._receive)
        asyncio.run(self._screen.open())

    def goes_on(self) -> bool:
        """Whether a picture comes over this same connection when it is asked for one.

        Raises:
            TimeoutError: nothing came.
            websockets.ConnectionClosed: the connection was cut.
        """
        return asyncio.run(self._screen.is_painted())

    async def _send(self, data: bytes) -> None:
        self._websocket.send(data)

    async def _receive(self) -> bytes:
        data = self._websocket.recv(FRAME_WITHIN_S)
        assert isinstance(data, bytes)
        return data


@contextmanager
def open_desktop(instance: Instance, session_id: str) -> Iterator[OpenDesktop]:
    """Enter the session as a browser does, by the address with the token, and open its stream."""
    path = f"/sessions/{session_id}/connection"
    address = urlsplit(wait_for(lambda: instance.call("GET", path)["frame_url"], "the stream may be opened"))
    entered = httpx.get(
        address.geturl(), verify=instance.ca(), headers={"Sec-Fetch-Dest": "iframe"}, timeout=15, trust_env=False
    )
    cookie = entered.headers["set-cookie"].split(";")[0]
    with connect(
        f"wss://{address.netloc}{address.path}websockify",
        ssl=instance.ca(),
        origin=instance.url,  # type: ignore[arg-type]
        subprotocols=["binary"],  # type: ignore[list-item]
        additional_headers={"Cookie": cookie},
        max_size=None,
        proxy=None,
    ) as websocket:
        yield OpenDesktop(websocket)
