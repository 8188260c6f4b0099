"""A client of the session's X server, with the part of X11 that the desk and the clipboard need.

`Scaled` creates smaller and larger pictures of the screen with the X extension RENDER.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Protocol

SOCKET = "/tmp/.X11-unix/X1"  # noqa: S108 -- the socket on which X servers listen
INTERN_ATOM, GET_GEOMETRY, QUERY_POINTER, GET_IMAGE, QUERY_EXTENSION = 16, 14, 38, 73, 98
"""Requests of X11."""
FIXES, FIXES_VERSION = b"XFIXES", (5, 0)
DAMAGE, DAMAGE_VERSION = b"DAMAGE", (1, 1)
RENDER, RENDER_VERSION = b"RENDER", (0, 11)
QUERY_VERSION = 0
"""The first request of every extension."""
MESSAGE_BYTES = 32
"""The length of an event, of an error, and of a reply without additional data."""
ZPIXMAP, ALL_PLANES = 2, 0xFFFFFFFF
BUFFER_BYTES = 1 << 20
ERROR, REPLY = 0, 1
"""Types of messages; all other types are events."""

EventHandler = Callable[[bytes], None]


class DisplayError(OSError):
    """The X server has ended, or refused a request."""


class Display:
    """A connection to the X server, created by `connect`. `root` is the id of the window of the whole screen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, setup: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._event_handlers: dict[int, EventHandler] = {}
        (self._ids,) = struct.unpack_from("<I", setup, 4)
        (vendor_bytes,), formats = struct.unpack_from("<H", setup, 16), setup[21]
        (self.root,) = struct.unpack_from("<I", setup, 32 + len(padded(setup[32 : 32 + vendor_bytes])) + 8 * formats)
        self._reading = asyncio.create_task(self._read(), name="X server")

    @property
    def is_open(self) -> bool:
        """True if the connection to the X server is open."""
        return not self._reading.done()

    def on_end(self, handler: Callable[[], None]) -> None:
        """Call `handler` when the X server has ended."""
        self._reading.add_done_callback(lambda _: handler())

    async def close(self) -> None:
        """Close the connection; the X server releases all resources of the connection."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    def new_id(self) -> int:
        """An unused id for a resource on the X server."""
        self._ids += 1
        return self._ids

    def send(self, request: bytes) -> None:
        """Send a request that has no reply."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._writer.write(request)

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return its complete reply.

        Raises:
            DisplayError: the X server refused the request, or has ended.
        """
        if not self.is_open:
            raise DisplayError("the X server has ended")
        self.send(request)
        answer = self._waiting[self._sequence] = asyncio.get_running_loop().create_future()
        return await answer

    async def atom(self, name: bytes) -> int:
        """The number of the atom with this name; the X server creates a missing atom."""
        request = struct.pack("<BBHHxx", INTERN_ATOM, 0, 2 + len(padded(name)) // 4, len(name)) + padded(name)
        (number,) = struct.unpack_from("<I", await self.ask(request), 8)
        return number

    async def extension(self, name: bytes, version: tuple[int, int]) -> tuple[int, int]:
        """Prepare an extension for use. Return the major opcode of its requests and the type of its first event.

        Raises:
            DisplayError: the X server does not have the extension.
        """
        request = struct.pack("<BxHHxx", QUERY_EXTENSION, 2 + len(padded(name)) // 4, len(name)) + padded(name)
        present, opcode, first_event = struct.unpack_from("<BBB", await self.ask(request), 8)
        if not present:
            raise DisplayError(f"the X server has no {name.decode()}")
        await self.ask(struct.pack("<BBHII", opcode, QUERY_VERSION, 3, *version))
        return opcode, first_event

    def on_event(self, number: int, handler: EventHandler) -> None:
        """Call `handler` with each event of the type `number`."""
        self._event_handlers[number] = handler

    async def _read(self) -> None:
        try:
            while True:
                message = await self._reader.readexactly(MESSAGE_BYTES)
                kind, sequence = message[0] & 127, int.from_bytes(message[2:4], "little")
                if kind == REPLY:
                    more = 4 * int.from_bytes(message[4:8], "little")
                    message += await self._reader.readexactly(more) if more else b""
                if kind in (ERROR, REPLY):
                    self._answered(sequence, message)
                elif handler := self._event_handlers.get(kind):
                    handler(message)
        except (OSError, EOFError):
            pass  # the X server has ended; `is_open` returns False
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(DisplayError("the X server has ended"))

    def _answered(self, sequence: int, message: bytes) -> None:
        waiting = self._waiting.pop(sequence, None)
        if waiting is None or waiting.done():
            return
        if message[0] == REPLY:
            waiting.set_result(message)
        else:
            waiting.set_exception(DisplayError(f"the X server refused request {message[10]} with error {message[1]}"))


async def connect() -> Display:
    """Connect to the session's X server.

    Raises:
        OSError: there is no X server, or it accepts no connection.
    """
    reader, writer = await asyncio.open_unix_connection(SOCKET, limit=BUFFER_BYTES)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.close)
        writer.write(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        try:
            accepted, words = struct.unpack("<Bxxxxxh", await reader.readexactly(8))
            setup = await reader.readexactly(4 * words)
        except EOFError as error:
            raise DisplayError("the X server has ended") from error
        if accepted != 1:
            raise DisplayError("the X server accepts no connections")
        stack.pop_all()
    return Display(reader, writer, setup)


async def image(display: Display, drawable: int, x: int, y: int, width: int, height: int) -> bytes:
    """The pixels of a part of a window or pixmap, row by row: blue, green, red and an unused byte."""
    request = struct.pack("<BBHIhhHHI", GET_IMAGE, ZPIXMAP, 5, drawable, x, y, width, height, ALL_PLANES)
    return (await display.ask(request))[MESSAGE_BYTES:]


def padded(text: bytes) -> bytes:
    """The text, padded to a multiple of 4 bytes as in a request."""
    return text + bytes(-len(text) % 4)


FORMATS, CREATE, FREE, COMPOSITE, TRANSFORM, FILTER = 1, 4, 7, 8, 28, 30
"""Requests of RENDER."""
CREATE_PIXMAP, FREE_PIXMAP = 53, 54
"""Requests of X11."""
DEPTH = 24
SUBWINDOWS, INCLUDE_INFERIORS = 1 << 8, 1
"""An attribute of a picture, and its value: the picture of a window contains its subwindows."""
REPEAT, PAD = 1 << 0, 2
"""An attribute of a picture, and its value: pixels outside of the picture are those of its edge."""
SOURCE = 1
"""The operation of COMPOSITE that copies pixels."""
FIXED_POINT_ONE = 1 << 16
"""The value 1 as a fixed-point number."""
FILTER_NAME = b"bilinear"


class PictureRequest(Protocol):
    """The requested part of the screen, and the size of its picture in pixels."""

    region: tuple[int, int, int, int]
    width: int
    height: int


class Scaled:
    """Creates a scaled picture on the X server, and reads its pixels. Call `close` at the end. `render` is the major
    opcode of RENDER."""

    def __init__(self, display: Display, request: PictureRequest, render: int) -> None:
        self._display = display
        self._request = request
        self._render = render
        self._free_requests: list[bytes] = []
        self._pixmap = 0

    async def rows(self, top: int, bottom: int) -> bytes:
        """The pixels of these rows of the picture."""
        if not self._pixmap:
            await self._begin()
        width, count = self._request.width, bottom - top
        self._display.send(
            struct.pack(
                "<BBHBxxxIIIhhhhhhHH",
                *(self._render, COMPOSITE, 9, SOURCE, self._screen, 0, self._picture),
                *(0, top, 0, 0, 0, top, width, count),
            )
        )
        return await image(self._display, self._pixmap, 0, top, width, count)

    def close(self) -> None:
        """Release the resources on the X server."""
        for request in self._free_requests:
            self._display.send(request)

    async def _begin(self) -> None:
        display, render = self._display, self._render
        left, top, right, bottom = self._request.region
        width, height = self._request.width, self._request.height
        pixel_format = screen_format(await display.ask(struct.pack("<BBH", render, FORMATS, 1)))
        self._pixmap, self._picture, self._screen = display.new_id(), display.new_id(), display.new_id()
        display.send(struct.pack("<BBHIIHH", CREATE_PIXMAP, DEPTH, 4, self._pixmap, display.root, width, height))
        display.send(struct.pack("<BBHIIII", render, CREATE, 5, self._picture, self._pixmap, pixel_format, 0))
        of_screen = (self._screen, display.root, pixel_format, REPEAT | SUBWINDOWS, PAD, INCLUDE_INFERIORS)
        display.send(struct.pack("<BBHIIIIII", render, CREATE, 7, *of_screen))
        across, down = FIXED_POINT_ONE * (right - left) // width, FIXED_POINT_ONE * (bottom - top) // height
        matrix = (across, 0, left * FIXED_POINT_ONE, 0, down, top * FIXED_POINT_ONE, 0, 0, FIXED_POINT_ONE)
        display.send(struct.pack("<BBHI9i", render, TRANSFORM, 11, self._screen, *matrix))
        name = padded(FILTER_NAME)
        display.send(struct.pack("<BBHIHxx", render, FILTER, 3 + len(name) // 4, self._screen, len(FILTER_NAME)) + name)
        self._free_requests = [
            struct.pack("<BBHI", render, FREE, 2, self._screen),
            struct.pack("<BBHI", render, FREE, 2, self._picture),
            struct.pack("<BBHI", FREE_PIXMAP, 0, 2, self._pixmap),
        ]


def screen_format(answer: bytes) -> int:
    """The id of the picture format of the screen, from the answer to FORMATS: 24 bits deep, with red at bit 16.

    Raises:
        DisplayError: the X server does not have the format.
    """
    (count,) = struct.unpack_from("<I", answer, 8)
    for number, kind, depth, red, green, blue in struct.iter_unpack(
        "<IBBxxHxxHxxHxxxxxxxxxx", answer[MESSAGE_BYTES : MESSAGE_BYTES + 28 * count]
    ):
        if (kind, depth, red, green, blue) == (1, DEPTH, 16, 8, 0):
            return number
    raise DisplayError("the X server has no format for its screen")
