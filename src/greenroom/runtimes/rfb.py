"""As much of RFB (RFC 6143) as it takes to see whether something was painted: raw pixels of a thin strip of the screen.

A strip as long as the screen is wide or high crosses whatever a desktop shows (panel, window, wallpaper) and is only
some kilobytes. The pointer's picture is asked for separately, or the server would paint it into the strip.

Whoever is in the session can put a server of his own in place of ours, so nothing that it says is believed: how much
is read, and in how many pieces, is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Final

VERSION: Final = b"RFB 003.008\n"
SECURITY_NONE: Final = 1
RAW: Final = 0
CURSOR: Final = -239
UPDATE, COLOUR_MAP, BELL, CUT_TEXT = 0, 1, 2, 3

MOST_BYTES: Final = 32 << 20
"""Of one look; the largest clipboard of our image is 8 MiB."""
READ_COST: Final = 1024
"""What a piece counts besides its bytes: the smallest messages have one."""


class RfbError(Exception):
    """The server does not speak RFB as expected; the text says how."""


class Screen:
    """An RFB connection over anything that sends and receives bytes.

    `receive` returns the next bytes, in pieces of any size, and raises when the connection has ended.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], receive: Callable[[], Awaitable[bytes]]) -> None:
        self._send = send
        self._receive = receive
        self._buffer = bytearray()
        self.width = 0
        self.height = 0
        self._pixel_bytes = 4
        self._left = MOST_BYTES

    async def open(self) -> None:
        """Shake hands, shared with whoever views the session now.

        Raises:
            RfbError: the server speaks another version, wants a password, or has pixels of an odd size.
        """
        if not (await self._read(12)).startswith(b"RFB 003."):
            raise RfbError("no RFB greeting")
        await self._send(VERSION)
        kinds = await self._read((await self._read(1))[0])
        if SECURITY_NONE not in kinds:
            raise RfbError("a password is asked for inside RFB")
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
        """Whether a strip down the screen, or one across it, has more than one colour."""
        down = (self.width // 3, 0, 1, self.height)
        across = (0, self.height // 3, self.width, 1)
        return await self._has_colours(*down) or await self._has_colours(*across)

    async def _has_colours(self, x: int, y: int, width: int, height: int) -> bool:
        await self._send(struct.pack(">BBHHHH", 3, 0, x, y, width, height))
        pixels = b""
        while len(pixels) < width * height * self._pixel_bytes:
            pixels += await self._update()
        return pixels != pixels[: self._pixel_bytes] * (len(pixels) // self._pixel_bytes)

    async def _update(self) -> bytes:
        """The raw pixels in the next message of the server; none if it is about something else."""
        kind = (await self._read(1))[0]
        if kind == UPDATE:
            (count,) = struct.unpack(">xH", await self._read(3))
            return b"".join([await self._rectangle() for _ in range(count)])
        if kind == CUT_TEXT:
            (length,) = struct.unpack(">xxxi", await self._read(7))
            await self._read(abs(length))
        elif kind == COLOUR_MAP:
            (count,) = struct.unpack(">xxxH", await self._read(5))
            await self._read(6 * count)
        elif kind != BELL:
            raise RfbError(f"message {kind} is not known")
        return b""

    async def _rectangle(self) -> bytes:
        _, _, width, height, encoding = struct.unpack(">HHHHi", await self._read(12))
        pixels = await self._read(width * height * self._pixel_bytes)
        if encoding == RAW:
            return pixels
        if encoding != CURSOR:
            raise RfbError(f"encoding {encoding} was not asked for")
        await self._read((width + 7) // 8 * height)
        return b""

    async def _read(self, length: int) -> bytes:
        self._left -= length + READ_COST
        if self._left < 0:
            raise RfbError("the server says more than a look is worth")
        while len(self._buffer) < length:
            self._buffer += await self._receive()
        result = bytes(self._buffer[:length])
        del self._buffer[:length]
        return result
