"""An RFB client (RFC 6143) with the parts that are needed to detect a painted screen, and to take a screenshot.

To detect painting, the client reads only two thin strips over the whole width and height. They cross a panel, a window
or the wallpaper, and have only some kilobytes. The picture of the pointer is requested separately, because otherwise
the server would paint the pointer into the screen. The session's user can replace the server, so the number of bytes
and messages is limited.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, NamedTuple

VERSION: Final = b"RFB 003.008\n"
SECURITY_NONE: Final = 1
RAW: Final = 0
CURSOR: Final = -239
UPDATE, COLOR_MAP, BELL, CUT_TEXT = 0, 1, 2, 3
"""Types of messages of the server."""

BGRX: Final = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
"""The pixel format with 4 bytes for each pixel: blue, green, red, unused."""

MAX_BYTES: Final = 32 << 20
"""The maximum number of bytes that one probe reads. The clipboard of Greenroom's images has at most 8 MiB."""
MAX_PIXELS: Final = 4096 * 2304
"""The maximum size of a screenshot, which needs 36 MiB of memory while it is encoded."""
READ_COST: Final = 1024
"""Each read counts as its length plus this number of bytes. This limits the number of small messages."""


class RfbError(Exception):
    """The server violates RFB, or does not support what the client needs; the message is the reason."""


class Rectangle(NamedTuple):
    """Raw pixels of a part of the screen, row by row from the top."""

    x: int
    y: int
    width: int
    height: int
    pixels: bytes


class Screen:
    """An RFB connection over any transport that sends and receives bytes. `receive` returns the next bytes, in pieces
    of any size, and raises when the connection has ended."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]], receive: Callable[[], Awaitable[bytes]]) -> None:
        self._send = send
        self._receive = receive
        self._buffer = bytearray()
        self.width = 0
        self.height = 0
        self._pixel_bytes = 4
        self._allowed_bytes = MAX_BYTES

    async def open(self) -> None:
        """Perform the handshake of RFB. Other viewers stay connected.

        Raises:
            RfbError: the server has another version, requires a password, or does not have pixels of 8, 16 or 32 bits.
        """
        if not (await self._read(12)).startswith(b"RFB 003."):
            raise RfbError("no RFB greeting")
        await self._send(VERSION)
        security_types = await self._read((await self._read(1))[0])
        if SECURITY_NONE not in security_types:
            raise RfbError("the RFB server requires a password")
        await self._send(bytes([SECURITY_NONE]))
        if (await self._read(4)) != bytes(4):
            raise RfbError("the connection was refused")
        await self._send(b"\x01")
        self.width, self.height, bits = struct.unpack(">HHB", await self._read(5))
        self._pixel_bytes = bits // 8
        if bits not in (8, 16, 32):
            raise RfbError(f"pixels of {bits} bits")
        await self._read(15)
        await self._read(*struct.unpack(">I", await self._read(4)))
        await self._send(struct.pack(">BxHii", 2, 2, RAW, CURSOR))

    async def is_painted(self) -> bool:
        """Return True if a vertical or a horizontal strip of the screen has more than one color. Can be called
        repeatedly."""
        self._allowed_bytes = MAX_BYTES
        vertical_strip = (self.width // 3, 0, 1, self.height)
        horizontal_strip = (0, self.height // 3, self.width, 1)
        return await self._has_several_colors(*vertical_strip) or await self._has_several_colors(*horizontal_strip)

    async def picture(self) -> bytes:
        """Return the whole screen as `BGRX` pixels, row by row from the top.

        Raises:
            RfbError: the screen has more than `MAX_PIXELS`, or the server violates the protocol.
        """
        if not 0 < self.width * self.height <= MAX_PIXELS:
            raise RfbError(f"a screen of {self.width} x {self.height} pixels is too large for a picture")
        await self._send(struct.pack(">Bxxx", 0) + BGRX)
        self._pixel_bytes = 4
        screen_pixels = memoryview(bytearray(self.width * self.height * 4))
        self._allowed_bytes = MAX_BYTES + len(screen_pixels)
        async for part in self._read_area(0, 0, self.width, self.height):
            self._paint(screen_pixels, part)
        return bytes(screen_pixels)

    def _paint(self, screen_pixels: memoryview, part: Rectangle) -> None:
        if part.x + part.width > self.width or part.y + part.height > self.height:
            raise RfbError("a rectangle outside the screen")
        row_bytes = part.width * 4
        for row in range(part.height):
            start = ((part.y + row) * self.width + part.x) * 4
            screen_pixels[start : start + row_bytes] = part.pixels[row * row_bytes : (row + 1) * row_bytes]

    async def _has_several_colors(self, x: int, y: int, width: int, height: int) -> bool:
        pixels = b"".join([part.pixels async for part in self._read_area(x, y, width, height)])
        return pixels != pixels[: self._pixel_bytes] * (len(pixels) // self._pixel_bytes)

    async def _read_area(self, x: int, y: int, width: int, height: int) -> AsyncGenerator[Rectangle]:
        """Yield rectangles that contain the pixels of an area.

        An update may contain less than was requested: while a program paints, Xvnc may answer with only the picture of
        the pointer. The missing part has changed, so Xvnc sends this part after a request for changes.
        """
        missing = width * height
        await self._request(x, y, width, height, only_changes=False)
        while True:
            for part in await self._read_update():
                missing -= part.width * part.height
                yield part
            if missing <= 0:
                return
            await self._request(x, y, width, height, only_changes=True)

    async def _request(self, x: int, y: int, width: int, height: int, *, only_changes: bool) -> None:
        await self._send(struct.pack(">BBHHHH", 3, only_changes, x, y, width, height))

    async def _read_update(self) -> list[Rectangle]:
        """Read the next update, and skip other messages."""
        while (kind := (await self._read(1))[0]) != UPDATE:
            await self._skip_message(kind)
        (count,) = struct.unpack(">xH", await self._read(3))
        return [part for _ in range(count) if (part := await self._read_rectangle())]

    async def _skip_message(self, kind: int) -> None:
        if kind == CUT_TEXT:
            (length,) = struct.unpack(">xxxi", await self._read(7))
            await self._read(abs(length))
        elif kind == COLOR_MAP:
            (count,) = struct.unpack(">xxxH", await self._read(5))
            await self._read(6 * count)
        elif kind != BELL:
            raise RfbError(f"message {kind} is unknown")

    async def _read_rectangle(self) -> Rectangle | None:
        """Read a rectangle. Return None for the picture of the pointer."""
        x, y, width, height, encoding = struct.unpack(">HHHHi", await self._read(12))
        pixels = await self._read(width * height * self._pixel_bytes)
        if encoding == RAW:
            return Rectangle(x, y, width, height, pixels)
        if encoding != CURSOR:
            raise RfbError(f"encoding {encoding} was not requested")
        await self._read((width + 7) // 8 * height)
        return None

    async def _read(self, length: int) -> bytes:
        self._allowed_bytes -= length + READ_COST
        if self._allowed_bytes < 0:
            raise RfbError("the server sent too many messages")
        while len(self._buffer) < length:
            self._buffer += await self._receive()
        result = bytes(self._buffer[:length])
        del self._buffer[:length]
        return result
