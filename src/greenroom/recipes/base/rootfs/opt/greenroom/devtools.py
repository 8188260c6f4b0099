"""Chromium's DevTools, which listen on loopback: where they are, what they answer, and a websocket to them that is open already.

A program that leases a session waits for nothing but its own question: the websocket of the browser was opened while the session
was staged, and has answered once. It is not the first one of this browser either: now and then Chromium closes that at once.
"""

import asyncio
import base64
import json
import os
import re
from pathlib import Path

from answers import BadRequestError
from fence import read_head
from frames import TEXT, masked

HOST = "127.0.0.1"
DEVTOOLS = Path("/tmp/.greenroom/devtools")
"""The port of Chromium's DevTools, in images whose browser has them (/etc/chromium.d)."""
SETUP = Path("/etc/chromium.d/programs")
"""Is there in images whose browser has DevTools."""
MAX_HEAD_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 24
"""Of what they answer about themselves."""
OPENS_S = 10.0
AGAIN_S = 1.0
"""Between two attempts to open it: the browser starts, or was closed by the user."""
QUESTION = b'{"id": 1, "method": "Browser.getVersion"}'

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def port_of_devtools() -> int:
    """The port of Chromium's DevTools.

    Raises:
        FileNotFoundError: this image has no such browser.
        ValueError: it has not chosen one yet.
    """
    return int(DEVTOOLS.read_text())


async def own_websocket() -> str:
    """The path of the browser's websocket, without a slash before it."""
    _, body = await ask(port_of_devtools(), "GET", "/json/version")
    return str(json.loads(body)["webSocketDebuggerUrl"]).split("/", 3)[3]


async def ask(port: int, method: str, target: str, body: bytes = b"") -> tuple[str, bytes]:
    """Status line and body of a whole, short answer."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=MAX_HEAD_BYTES)
    try:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: close"]
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        if size > MAX_ANSWER_BYTES:
            raise BadRequestError("an answer that is too long")
        return head.split("\r\n", 1)[0].partition(" ")[2], await reader.readexactly(size)
    finally:
        writer.close()


class Ready:
    """A websocket of the browser that no program uses yet."""

    def __init__(self) -> None:
        self._path = ""
        self._streams: Streams | None = None
        self._ended: asyncio.Task[bytes] | None = None

    async def keep(self) -> None:
        """Open one, and the next one after it was taken or has ended, as long as the session runs."""
        while SETUP.exists():
            try:
                async with asyncio.timeout(OPENS_S):
                    self._path = await own_websocket()
                    self._streams = await opened(self._path)
            except Exception:  # noqa: BLE001 -- it does not run, or the user has put anything in its place
                pass
            else:
                self._ended = asyncio.create_task(self._streams[0].read(1))
                await asyncio.wait({self._ended})
                if self._streams is not None:
                    self._streams[1].close()
                    self._streams = None
            await asyncio.sleep(AGAIN_S)

    async def take(self, path: str) -> Streams | None:
        """The open websocket, if it is that of `path` (empty: of the browser); None = there is none."""
        streams, ended = self._streams, self._ended
        if path not in ("", self._path) or streams is None or ended is None or ended.done():
            return None
        self._streams = None
        ended.cancel()
        await asyncio.wait({ended})
        return streams


async def opened(path: str) -> Streams:
    """A new websocket that has answered one question.

    Raises:
        BadRequestError: it was not opened.
    """
    port = port_of_devtools()
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET /{path} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"101"]:
            raise BadRequestError("no websocket")
        writer.write(masked(TEXT, QUESTION))
        _, _, _, length = await read_head(reader)
        if length > MAX_ANSWER_BYTES:
            raise BadRequestError("an answer that is too long")
        await reader.readexactly(length)
    except BaseException:
        writer.close()
        raise
    return reader, writer
