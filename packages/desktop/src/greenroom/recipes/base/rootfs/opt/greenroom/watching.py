"""Filters the RFB messages between a viewer and the X server, and measures the time since the viewer's last input.

`ViewOnlyFilter` is for viewers who may only watch. It forwards their requests for pictures, but not keys, pointer,
clipboard and the size of the screen. It forwards all messages of the X server except the clipboard, which may contain a
password. The filter must parse these messages, so it removes requests for encodings that it cannot parse. An unknown
message ends the connection, because it could contain anything.

`InputMonitor` is for all other viewers. Keys, pointer and clipboard are input; requests for pictures and answers to
fences are not. After a message of unknown type all data counts as input, so that no user is disconnected by mistake.
Pointer events of KasmVNC's client are converted to standard events, and its additional messages are dropped, because
the X server would end the connection. While a viewer cannot give input because another person or a program has control
(control.py), the viewer does not count as idle.
"""

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Protocol

from control import InputGate
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
    ClientMessages,
)

RAW, COPY, TIGHT = 0, 1, 7
DESKTOP_SIZE, LAST_RECTANGLE, POINTER_SHAPE, NAME, SCREENS = -223, -224, -239, -307, -308
SUPPORTED = frozenset(
    {RAW, COPY, TIGHT, DESKTOP_SIZE, LAST_RECTANGLE, POINTER_SHAPE, NAME, SCREENS, -312, -313}
    | {*range(-32, -22), *range(-256, -246), *range(-512, -411), *range(-768, -762)}
)
"""The encodings that a viewer may request: for rectangles, fences, continuous updates, and levels of quality and
compression."""
FLUSH_BYTES = 1 << 16
"""The amount of collected data at which it is sent."""
INPUT = (KEY, POINTER, 6, SCAN_CODE, KASM_CLIPBOARD, KASM_MOTION, UNKNOWN)
"""The types of messages that are input: key, pointer, clipboard, key with its scan code, KasmVNC's clipboard and
relative motion, unknown messages."""
WHEEL_UP, WHEEL_DOWN, WHEEL_LEFT, WHEEL_RIGHT = 8, 16, 32, 64
"""Buttons in the mask of a pointer event."""


class Sink(Protocol):
    """A writer for the data of the X server."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class ViewOnlyFilter:
    """Filters the connection of one viewer, from its start. `jpeg_rectangles` counts the rectangles that the X server
    sent as JPEG, and `jpeg_area` their pixels."""

    def __init__(self, pixel_format: bytes | None = None) -> None:
        self._messages = ClientMessages()
        self._collected = bytearray()
        self._pixel_format = pixel_format
        self._pictures_requested = False
        self.jpeg_rectangles = self.jpeg_area = 0

    def forwarded(self, data: bytes) -> bytes:
        """Filter data of the viewer. Return the data for the X server.

        Raises:
            BadRequestError: a message is unknown, or changes the pixel format after a request for a picture.
        """
        forwarded = bytearray()
        for kind, part, _, ends in self._messages.pieces(data):
            if kind == UNKNOWN or self._messages.version != VERSION:
                raise BadRequestError("an unreadable message of a viewer with view access is not forwarded")
            if kind == HANDSHAKE:
                forwarded += part[:-1] + b"\x01" if ends else part  # the last byte requests a shared desktop
            elif kind in {PIXEL_FORMAT, ENCODINGS}:
                self._collected += part
                if ends:
                    forwarded += self._filtered(kind, bytes(self._collected))
                    self._collected.clear()
            elif kind in PASSED:
                self._pictures_requested |= kind in {PICTURE, CONTINUOUS}
                forwarded += part
        return bytes(forwarded)

    def _filtered(self, kind: int, message: bytes) -> bytes:
        if kind == PIXEL_FORMAT:
            if self._pictures_requested:
                raise BadRequestError("the pixel format cannot be changed while pictures are sent")
            self._pixel_format = message[4:]
            return message
        kinds = [kind for (kind,) in struct.iter_unpack(">i", message[4:]) if kind in SUPPORTED]
        return struct.pack(f">BxH{len(kinds)}i", ENCODINGS, len(kinds), *kinds)

    async def copy_output(self, display: asyncio.StreamReader, writer: Sink) -> None:
        """Copy output from the X server to the viewer, without the clipboard."""
        output = OutputRelay(display, writer)
        try:
            await output.forward(VERSION_BYTES)
            await output.flush()
            (number,) = await output.forward(1)
            await output.forward(number)
            await output.flush()
            await output.forward(4)
            await output.flush()
            begin = await output.forward(24)
            self._pixel_format = self._pixel_format or begin[4:20]
            await output.forward(int.from_bytes(begin[20:24]))
            while True:
                await output.flush()
                await self.message(output)
        except asyncio.IncompleteReadError:
            return  # the X server has ended

    async def message(self, output: "OutputRelay") -> int:
        """Forward one message of the X server, and return its type."""
        (kind,) = await output.read(1)
        if kind == 3:
            (length,) = struct.unpack(">3xi", await output.read(7))
            await output.skip(abs(length))
            return kind
        output.add(bytes([kind]))
        if kind == 0:
            (number,) = struct.unpack(">xH", await output.forward(3))
            for _ in range(number):
                if not await self._rectangle(output):
                    break
        elif kind == 1:
            (number,) = struct.unpack(">xxxH", await output.forward(5))
            await output.forward(6 * number)
        elif kind == FENCE:
            await output.forward((await output.forward(8))[7])
        elif kind not in {2, CONTINUOUS}:
            raise BadRequestError("the X server sent an unreadable message")
        return kind

    async def _rectangle(self, output: "OutputRelay") -> bool:
        """Forward one rectangle of a picture. Return False if it ends the picture."""
        width, height, encoding = struct.unpack(">4xHHi", await output.forward(12))
        pixel = self._pixel_bytes
        if encoding == RAW:
            await output.forward(width * height * pixel)
        elif encoding == COPY:
            await output.forward(4)
        elif encoding == TIGHT:
            await self._tight(output, width, height)
        elif encoding == POINTER_SHAPE:
            await output.forward(width * height * pixel + (width + 7) // 8 * height)
        elif encoding == NAME:
            await output.forward(int.from_bytes(await output.forward(4)))
        elif encoding == SCREENS:
            await output.forward(16 * (await output.forward(4))[0])
        elif encoding not in {DESKTOP_SIZE, LAST_RECTANGLE}:
            raise BadRequestError("the X server sent an unreadable picture")
        return encoding != LAST_RECTANGLE

    async def _tight(self, output: "OutputRelay", width: int, height: int) -> None:
        (control,) = await output.forward(1)
        pixel = 3 if self._is_true_color else self._pixel_bytes
        if control >> 4 == 8:
            await output.forward(pixel)
        elif control >> 4 == 9:
            self.jpeg_rectangles += 1
            self.jpeg_area += width * height
            await output.forward(await output.length())
        elif control >> 4 < 8:
            length = width * height * pixel
            if control & 0x40 and (await output.forward(1))[0] == 1:
                colors = (await output.forward(1))[0] + 1
                await output.forward(colors * pixel)
                length = (width + 7) // 8 * height if colors == 2 else width * height
            await output.forward(length if length < 12 else await output.length())
        else:
            raise BadRequestError("the X server sent an unreadable picture")

    @property
    def _pixel_bytes(self) -> int:
        return self._pixel_format[0] // 8 if self._pixel_format else 4

    @property
    def _is_true_color(self) -> bool:
        """True if the encoding Tight sends three bytes for each pixel."""
        return self._pixel_format is not None and self._pixel_format[:2] == b"\x20\x18" and self._pixel_format[4:10] == b"\x00\xff" * 3


class OutputRelay:
    """Reads data of the X server, and forwards it to the viewer."""

    def __init__(self, display: asyncio.StreamReader, writer: Sink) -> None:
        self._display = display
        self._writer = writer
        self._out = bytearray()

    async def read(self, count: int) -> bytes:
        """Read `count` bytes without forwarding them."""
        return await self._display.readexactly(count)

    def add(self, data: bytes) -> None:
        """Forward `data`."""
        self._out += data

    async def forward(self, count: int) -> bytes:
        """Forward `count` bytes. Return the bytes, or only the first `FLUSH_BYTES`."""
        first = b""
        while count > 0:
            data = await self._display.readexactly(min(count, FLUSH_BYTES))
            first = first or data
            self._out += data
            count -= len(data)
            if len(self._out) >= FLUSH_BYTES:
                await self.flush()
        return first

    async def skip(self, count: int) -> None:
        """Read `count` bytes and discard them."""
        while count > 0:
            count -= len(await self._display.readexactly(min(count, FLUSH_BYTES)))

    async def length(self) -> int:
        """Forward a length of the encoding Tight, which has one to three bytes, and return it."""
        value = 0
        for shift in (0, 7, 14):
            (byte,) = await self.forward(1)
            value |= (byte & (0xFF if shift == 14 else 0x7F)) << shift
            if not byte & 0x80:
                break
        return value

    async def flush(self) -> None:
        """Send the data that was collected for the viewer."""
        if self._out:
            self._writer.write(frame(BINARY, bytes(self._out)))
            self._out.clear()
            await self._writer.drain()


class InputMonitor:
    """Filters the input of one viewer, from the start of the connection. `on_input` is called for each input."""

    def __init__(self, on_input: Callable[[], None] = lambda: None, gate: InputGate | None = None) -> None:
        self._on_input = on_input
        self._gate = gate
        self._messages = ClientMessages()
        self._last_input = time.monotonic()

    @property
    def idle_s(self) -> float:
        """The time since the last input, in seconds; 0 while the viewer has no control."""
        if self._gate and self._gate.lacks_control:
            self._last_input = time.monotonic()
        return time.monotonic() - self._last_input

    def process(self, data: bytes) -> bytes:
        """Process data of the viewer, which may be split at any position. Return the data for the X server.

        Raises:
            BadRequestError: a message of KasmVNC's client is unknown, or `InputGate` refuses a message.
        """
        forwarded = bytearray()
        for piece in self._messages.pieces(data):
            if piece.kind == UNKNOWN and self._messages.is_kasm:
                raise BadRequestError("this message of KasmVNC's client is unknown")
            if piece.kind == UNKNOWN or (piece.begins and piece.kind in INPUT):
                self._last_input = time.monotonic()
                self._on_input()
            if piece.kind in KASM_BYTES or piece.kind in KASM_VARIABLE_BYTES:
                continue
            is_kasm = piece.kind == POINTER and len(piece.data) == KASM_POINTER_BYTES
            standard = piece._replace(data=standard_pointer(piece.data)) if is_kasm else piece
            forwarded += self._gate.forwarded(standard) if self._gate else standard.data
        return bytes(forwarded)


def standard_pointer(event: bytes) -> bytes:
    """Convert a pointer event of KasmVNC's client to standard events with eight buttons, four of them for the wheel. A
    turn of the wheel becomes a press and a release of its button."""
    mask, x, y, right, down = struct.unpack(">xHHHhh", event)
    buttons = mask & 0xFF
    wheel_turns = (down < 0, WHEEL_UP), (down > 0, WHEEL_DOWN), (right < 0, WHEEL_LEFT), (right > 0, WHEEL_RIGHT)
    wheel = sum(button for applies, button in wheel_turns if applies)
    masks = (buttons | wheel, buttons) if wheel else (buttons,)
    return b"".join(struct.pack(">BBHH", POINTER, buttons, x, y) for buttons in masks)
