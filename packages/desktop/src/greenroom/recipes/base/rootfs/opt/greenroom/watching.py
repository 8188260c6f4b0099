"""The messages between a viewer and the X server, and the time since the viewer's last input.

`Watching` is a viewer who may only watch. Its requests for pictures pass; keys, pointer, clipboard and the size of the
screen do not. From the X server everything passes except the clipboard, which may contain a password. To filter it, the
messages must be parsed, so only encodings whose lengths are known here are requested. An unknown message ends the
connection, because it could contain anything.

`Idle` is a viewer who gives input. Keys, pointer and clipboard are input; requests for pictures and answers to fences
are not. After a message of unknown kind everything counts as input, so that no user is ever disconnected by mistake.
Pointer events of KasmVNC's client are converted to standard ones, and its other extensions are dropped: the X server
would end the connection over them. A viewer who cannot give input because someone else has control (control.py) is not
disconnected as idle.
"""

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Protocol

from control import Gate
from protocol import BINARY, BadRequestError, frame
from rfb import (
    CONTINUOUS,
    ENCODINGS,
    FENCE,
    HANDSHAKE,
    KASM_BYTES,
    KASM_CLIPBOARD,
    KASM_MOTION,
    KASM_POINTER_BYTES,
    KASM_VARIABLE_BYTES,
    KEY,
    PASSED,
    PICTURE,
    PIXEL_FORMAT,
    POINTER,
    SCAN_CODE,
    UNKNOWN,
    VERSION,
    VERSION_BYTES,
    ClientHalf,
)

RAW, COPY, TIGHT = 0, 1, 7
DESKTOP_SIZE, LAST_RECTANGLE, POINTER_SHAPE, NAME, SCREENS = -223, -224, -239, -307, -308
READ = frozenset(
    {RAW, COPY, TIGHT, DESKTOP_SIZE, LAST_RECTANGLE, POINTER_SHAPE, NAME, SCREENS, -312, -313}
    | {*range(-32, -22), *range(-256, -246), *range(-512, -411), *range(-768, -762)}
)
"""Supported encodings, fences and continuous updates, and levels of quality and compression."""
FLUSH_BYTES = 1 << 16
INPUT = (KEY, POINTER, 6, SCAN_CODE, KASM_CLIPBOARD, KASM_MOTION, UNKNOWN)
"""Key, pointer, clipboard, key with its scan code, KasmVNC's clipboard and relative motion, unknown messages."""
WHEEL_UP, WHEEL_DOWN, WHEEL_LEFT, WHEEL_RIGHT = 8, 16, 32, 64


class Sink(Protocol):
    """The destination of the picture."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class Watching:
    """The connection of one viewer, from its start. `jpegs` counts the rectangles sent as JPEG, and `jpeg_area`
    their pixels."""

    def __init__(self, pixel_format: bytes | None = None) -> None:
        self._sent = ClientHalf()
        self._encodings = bytearray()
        self._format = pixel_format
        self._asked = False
        self.jpegs = self.jpeg_area = 0

    def passed(self, data: bytes) -> bytes:
        """Filter data that the viewer sent; returns the part for the X server."""
        passed = bytearray()
        for kind, part, _, ends in self._sent.pieces(data):
            if kind == UNKNOWN or self._sent.version != VERSION:
                raise BadRequestError("an unreadable message of a viewer with view access is not forwarded")
            if kind == HANDSHAKE:
                passed += part[:-1] + b"\x01" if ends else part  # the desktop is always shared
            elif kind in {PIXEL_FORMAT, ENCODINGS}:
                self._encodings += part
                if ends:
                    passed += self._settled(kind, bytes(self._encodings))
                    self._encodings.clear()
            elif kind in PASSED:
                self._asked |= kind in {PICTURE, CONTINUOUS}
                passed += part
        return bytes(passed)

    def _settled(self, kind: int, message: bytes) -> bytes:
        if kind == PIXEL_FORMAT:
            if self._asked:
                raise BadRequestError("the pixel format cannot be changed while pictures are sent")
            self._format = message[4:]
            return message
        kinds = [kind for (kind,) in struct.iter_unpack(">i", message[4:]) if kind in READ]
        return struct.pack(f">BxH{len(kinds)}i", ENCODINGS, len(kinds), *kinds)

    async def copy_output(self, display: asyncio.StreamReader, writer: Sink) -> None:
        """X server → browser, without the clipboard."""
        passing = Passing(display, writer)
        try:
            await passing.take(VERSION_BYTES)
            await passing.flush()
            (number,) = await passing.take(1)
            await passing.take(number)
            await passing.flush()
            await passing.take(4)
            await passing.flush()
            begin = await passing.take(24)
            self._format = self._format or begin[4:20]
            await passing.take(int.from_bytes(begin[20:24]))
            while True:
                await passing.flush()
                await self.message(passing)
        except asyncio.IncompleteReadError:
            return  # the X server has ended

    async def message(self, passing: "Passing") -> int:
        """Pass on one message; returns its kind."""
        (kind,) = await passing.read(1)
        if kind == 3:
            (length,) = struct.unpack(">3xi", await passing.read(7))
            await passing.drop(abs(length))
            return kind
        passing.add(bytes([kind]))
        if kind == 0:
            (number,) = struct.unpack(">xH", await passing.take(3))
            for _ in range(number):
                if not await self._rectangle(passing):
                    break
        elif kind == 1:
            (number,) = struct.unpack(">xxxH", await passing.take(5))
            await passing.take(6 * number)
        elif kind == FENCE:
            await passing.take((await passing.take(8))[7])
        elif kind not in {2, CONTINUOUS}:
            raise BadRequestError("the X server sent an unreadable message")
        return kind

    async def _rectangle(self, passing: "Passing") -> bool:
        """Pass on one rectangle; False if it was the last."""
        width, height, encoding = struct.unpack(">4xHHi", await passing.take(12))
        pixel = self._pixel_bytes
        if encoding == RAW:
            await passing.take(width * height * pixel)
        elif encoding == COPY:
            await passing.take(4)
        elif encoding == TIGHT:
            await self._tight(passing, width, height)
        elif encoding == POINTER_SHAPE:
            await passing.take(width * height * pixel + (width + 7) // 8 * height)
        elif encoding == NAME:
            await passing.take(int.from_bytes(await passing.take(4)))
        elif encoding == SCREENS:
            await passing.take(16 * (await passing.take(4))[0])
        elif encoding not in {DESKTOP_SIZE, LAST_RECTANGLE}:
            raise BadRequestError("the X server sent an unreadable picture")
        return encoding != LAST_RECTANGLE

    async def _tight(self, passing: "Passing", width: int, height: int) -> None:
        (control,) = await passing.take(1)
        pixel = 3 if self._is_true_color else self._pixel_bytes
        if control >> 4 == 8:
            await passing.take(pixel)
        elif control >> 4 == 9:
            self.jpegs += 1
            self.jpeg_area += width * height
            await passing.take(await passing.length())
        elif control >> 4 < 8:
            length = width * height * pixel
            if control & 0x40 and (await passing.take(1))[0] == 1:
                colors = (await passing.take(1))[0] + 1
                await passing.take(colors * pixel)
                length = (width + 7) // 8 * height if colors == 2 else width * height
            await passing.take(length if length < 12 else await passing.length())
        else:
            raise BadRequestError("the X server sent an unreadable picture")

    @property
    def _pixel_bytes(self) -> int:
        return self._format[0] // 8 if self._format else 4

    @property
    def _is_true_color(self) -> bool:
        """True if Tight sends three bytes for each pixel."""
        return self._format is not None and self._format[:2] == b"\x20\x18" and self._format[4:10] == b"\x00\xff" * 3


class Passing:
    """Data of the X server on its way to the viewer."""

    def __init__(self, display: asyncio.StreamReader, writer: Sink) -> None:
        self._display = display
        self._writer = writer
        self._out = bytearray()

    async def read(self, count: int) -> bytes:
        """Read `count` bytes without passing them on."""
        return await self._display.readexactly(count)

    def add(self, data: bytes) -> None:
        """Pass on `data`."""
        self._out += data

    async def take(self, count: int) -> bytes:
        """Pass on `count` bytes; returns the first of them, or all if they are few."""
        first = b""
        while count > 0:
            data = await self._display.readexactly(min(count, FLUSH_BYTES))
            first = first or data
            self._out += data
            count -= len(data)
            if len(self._out) >= FLUSH_BYTES:
                await self.flush()
        return first

    async def drop(self, count: int) -> None:
        """Read `count` bytes and discard them."""
        while count > 0:
            count -= len(await self._display.readexactly(min(count, FLUSH_BYTES)))

    async def length(self) -> int:
        """Pass on a length of Tight, one to three bytes; returns it."""
        value = 0
        for shift in (0, 7, 14):
            (byte,) = await self.take(1)
            value |= (byte & (0xFF if shift == 14 else 0x7F)) << shift
            if not byte & 0x80:
                break
        return value

    async def flush(self) -> None:
        """Send the collected data."""
        if self._out:
            self._writer.write(frame(BINARY, bytes(self._out)))
            self._out.clear()
            await self._writer.drain()


class Idle:
    """The connection of one viewer, from its start."""

    def __init__(self, on_input: Callable[[], None] = lambda: None, gate: Gate | None = None) -> None:
        self._on_input = on_input
        self._gate = gate
        self._sent = ClientHalf()
        self._last_input = time.monotonic()

    @property
    def for_s(self) -> float:
        """The time since the last input, in seconds; 0 while the viewer has no control."""
        if self._gate and self._gate.watches:
            self._last_input = time.monotonic()
        return time.monotonic() - self._last_input

    def sent(self, data: bytes) -> bytes:
        """Process data that the viewer sent, at any position in the stream of messages; returns the data for the X
        server.

        Raises BadRequestError when KasmVNC's client says something that cannot be read.
        """
        passed = bytearray()
        for piece in self._sent.pieces(data):
            if piece.kind == UNKNOWN and self._sent.is_kasm:
                raise BadRequestError("this message of KasmVNC's client is unknown")
            if piece.kind == UNKNOWN or (piece.begins and piece.kind in INPUT):
                self._last_input = time.monotonic()
                self._on_input()
            if piece.kind in KASM_BYTES or piece.kind in KASM_VARIABLE_BYTES:
                continue
            is_kasm = piece.kind == POINTER and len(piece.data) == KASM_POINTER_BYTES
            standard = piece._replace(data=standard_pointer(piece.data)) if is_kasm else piece
            passed += self._gate.passed(standard) if self._gate else standard.data
        return bytes(passed)


def standard_pointer(event: bytes) -> bytes:
    """Convert the event for a server with eight buttons, four of which are a wheel's; a turned wheel is pressed and
    released."""
    mask, x, y, right, down = struct.unpack(">xHHHhh", event)
    buttons = mask & 0xFF
    turned = (down < 0, WHEEL_UP), (down > 0, WHEEL_DOWN), (right < 0, WHEEL_LEFT), (right > 0, WHEEL_RIGHT)
    wheel = sum(button for is_turned, button in turned if is_turned)
    masks = (buttons | wheel, buttons) if wheel else (buttons,)
    return b"".join(struct.pack(">BBHH", POINTER, buttons, x, y) for buttons in masks)
