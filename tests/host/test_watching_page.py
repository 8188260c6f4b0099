"""The desktop's page and a viewer who may only watch, on a real X server: the viewer's input is not passed on."""

from __future__ import annotations

import base64
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.host.test_session_page import Desk, desk
from tests.support.waiting import eventually
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

__all__ = ["desk"]
RETURN = 0xFF0D


class Viewer:
    """A program that uses RFB over the page's websocket, regardless of its permissions."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._got = bytearray()

    async def read(self, count: int) -> bytes:
        while len(self._got) < count:
            message = await self._socket.recv()
            assert isinstance(message, bytes)
            self._got += message
        data = bytes(self._got[:count])
        del self._got[:count]
        return data

    async def send(self, *messages: bytes) -> None:
        await self._socket.send(b"".join(messages))

    async def greet(self, *, shared: int) -> tuple[int, int]:
        """Open the desktop; returns its size."""
        assert await self.read(12) == b"RFB 003.008\n"
        await self.send(b"RFB 003.008\n")
        (number,) = await self.read(1)
        await self.read(number)
        await self.send(b"\x01")
        assert await self.read(4) == bytes(4)
        await self.send(bytes([shared]))
        begin = await self.read(24)
        await self.read(int.from_bytes(begin[20:24], "big"))
        width, height = struct.unpack(">HH", begin[:4])
        return width, height

    async def picture(self) -> int:
        """Request the whole screen in raw pixels; returns the number of received bytes."""
        await self.send(struct.pack(">BxHi", 2, 1, 0), struct.pack(">BBHHHH", 3, 0, 0, 0, 64, 64))
        assert await self.read(1) == b"\0"
        (number,) = struct.unpack(">xH", await self.read(3))
        total = 0
        for _ in range(number):
            width, height, encoding = struct.unpack(">4xHHi", await self.read(12))
            assert encoding == 0
            total += len(await self.read(width * height * 4))
        return total

    async def type(self, text: str) -> None:
        for key in [*map(ord, text), RETURN]:
            await self.send(*(struct.pack(">BBxxI", 4, down, key) for down in (1, 0)))


@asynccontextmanager
async def viewer(desk: Desk, *, watches: bool, shared: int = 1) -> AsyncIterator[tuple[Viewer, tuple[int, int]]]:
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    word = base64.b64encode(f"{desk.spec.auth_user}:{desk.spec.credential}".encode()).decode()
    headers = {"Authorization": f"Basic {word}"} | ({"X-Greenroom-View-Only": "1"} if watches else {})
    async with connect(
        f"wss://{desk.address}/websockify",
        ssl=trust,
        subprotocols=[Subprotocol("binary")],
        additional_headers=headers,
        max_size=None,
        proxy=None,
    ) as socket:
        made = Viewer(socket)
        yield made, await made.greet(shared=shared)


async def test_what_a_watcher_types_does_not_arrive_and_their_picture_does(desk: Desk):
    async with viewer(desk, watches=False) as (user, _), viewer(desk, watches=True, shared=0) as (watcher, _):
        assert await watcher.picture() > 0
        click = [struct.pack(">BBHH", 5, button, 400, 300) for button in (0, 1, 0)]
        await user.send(*click)
        await watcher.type("touch /tmp/by-watcher")
        assert await watcher.picture() > 0, "they are not disconnected for it"
        await user.type("touch /tmp/by-user")

        async def typed() -> bool:
            return "by-user" in await desk.shell("ls /tmp")

        await eventually(typed)
        assert "by-watcher" not in await desk.shell("ls /tmp"), "and the user is still there, though not shared with"


async def test_the_clipboard_reaches_a_user_and_no_watcher(desk: Desk):
    async with viewer(desk, watches=False) as (user, _), viewer(desk, watches=True) as (watcher, _):
        await user.picture()
        await watcher.picture()
        await desk.shell("printf secret | DISPLAY=:1 timeout 20 xclip -in -selection clipboard >/dev/null 2>&1 &")
        while await user.read(1) != b"\x03":  # no one requested the pixels painted in the meantime
            pass
        assert (await user.read(13))[-6:] == b"secret"
        assert await watcher.picture() > 0, "nothing came to them before the picture"


async def test_a_watcher_sets_no_size_and_a_user_does(desk: Desk):
    size = struct.pack(">BxHHBx", 251, 1024, 700, 1) + struct.pack(">IHHHHI", 0, 0, 0, 1024, 700, 0)
    async with viewer(desk, watches=True) as (watcher, before):
        await watcher.send(struct.pack(">BxH2i", 2, 2, 0, -308), size)
        assert await watcher.picture() > 0
    async with viewer(desk, watches=False) as (user, now):
        assert now == before
        await user.send(struct.pack(">BxH2i", 2, 2, 0, -308), struct.pack(">BBHHHH", 3, 0, 0, 0, 9, 9), size)

        async def resized() -> bool:
            async with viewer(desk, watches=True) as (_, seen):
                return seen == (1024, 700)

        await eventually(resized)


async def test_what_a_watcher_sends_that_cannot_be_read_ends_their_connection(desk: Desk):
    async with viewer(desk, watches=True) as (watcher, _):
        await watcher.send(b"\xc8")
        with pytest.raises(ConnectionClosed):
            await watcher.read(1)


async def test_a_watcher_has_no_files_and_no_microphone(desk: Desk):
    async with desk.page() as page:
        page.headers["X-Greenroom-View-Only"] = "1"
        answer = await page.get("./")
        assert (answer.status_code, answer.headers["X-Greenroom-View-Only"]) == (200, "1")
        assert (await page.put("files/a", content="x")).status_code == 403
        assert (await page.get("files/a")).status_code == 403
        assert (await page.get("microphone")).json()["microphone"]["allowed"] is False
    assert await desk.shell("ls -A ~/Uploads 2>/dev/null") == ""
