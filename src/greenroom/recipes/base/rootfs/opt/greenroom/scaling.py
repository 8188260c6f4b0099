"""Smaller and larger pictures of the screen, made by the X server itself (its extension RENDER)."""

import struct
from typing import Protocol

import x11

FORMATS, CREATE, FREE, COMPOSITE, TRANSFORM, FILTER = 1, 4, 7, 8, 28, 30
"""Requests of RENDER."""
CREATE_PIXMAP, FREE_PIXMAP = 53, 54
DEPTH = 24
SUBWINDOWS, INCLUDE_INFERIORS = 1 << 8, 1
REPEAT, PAD = 1 << 0, 2
SOURCE = 1
WHOLE = 1 << 16
"""1 in numbers with a part behind the point."""
SMOOTH = b"bilinear"


class Wished(Protocol):
    """Which part of the screen is shown, and how large."""

    region: tuple[int, int, int, int]
    width: int
    height: int


class Scaled:
    """One picture in the making; `close` it."""

    def __init__(self, display: x11.Display, wish: Wished, render: int) -> None:
        self._display = display
        self._wish = wish
        self._render = render
        self._made: list[bytes] = []
        self._pixmap = 0

    async def rows(self, top: int, bottom: int) -> bytes:
        """The pixels of these rows of it."""
        if not self._pixmap:
            await self._begin()
        width, count = self._wish.width, bottom - top
        self._display.send(
            struct.pack(
                "<BBHBxxxIIIhhhhhhHH",
                *(self._render, COMPOSITE, 9, SOURCE, self._screen, 0, self._picture),
                *(0, top, 0, 0, 0, top, width, count),
            )
        )
        return await x11.image(self._display, self._pixmap, 0, top, width, count)

    def close(self) -> None:
        """Give back on the server what it took."""
        for request in self._made:
            self._display.send(request)

    async def _begin(self) -> None:
        display, render = self._display, self._render
        left, top, right, bottom = self._wish.region
        width, height = self._wish.width, self._wish.height
        pixel_format = screen_format(await display.ask(struct.pack("<BBH", render, FORMATS, 1)))
        self._pixmap, self._picture, self._screen = display.new_id(), display.new_id(), display.new_id()
        display.send(struct.pack("<BBHIIHH", CREATE_PIXMAP, DEPTH, 4, self._pixmap, display.root, width, height))
        display.send(struct.pack("<BBHIIII", render, CREATE, 5, self._picture, self._pixmap, pixel_format, 0))
        of_screen = (self._screen, display.root, pixel_format, REPEAT | SUBWINDOWS, PAD, INCLUDE_INFERIORS)
        display.send(struct.pack("<BBHIIIIII", render, CREATE, 7, *of_screen))
        across, down = WHOLE * (right - left) // width, WHOLE * (bottom - top) // height
        matrix = (across, 0, left * WHOLE, 0, down, top * WHOLE, 0, 0, WHOLE)
        display.send(struct.pack("<BBHI9i", render, TRANSFORM, 11, self._screen, *matrix))
        name = x11.padded(SMOOTH)
        display.send(struct.pack("<BBHIHxx", render, FILTER, 3 + len(name) // 4, self._screen, len(SMOOTH)) + name)
        self._made = [
            struct.pack("<BBHI", render, FREE, 2, self._screen),
            struct.pack("<BBHI", render, FREE, 2, self._picture),
            struct.pack("<BBHI", FREE_PIXMAP, 0, 2, self._pixmap),
        ]


def screen_format(answer: bytes) -> int:
    """The format of the screen among those that RENDER knows: 24 bits deep, red at bit 16.

    Raises:
        DisplayError: there is none.
    """
    (count,) = struct.unpack_from("<I", answer, 8)
    for number, kind, depth, red, green, blue in struct.iter_unpack(
        "<IBBxxHxxHxxHxxxxxxxxxx", answer[x11.MESSAGE_BYTES : x11.MESSAGE_BYTES + 28 * count]
    ):
        if (kind, depth, red, green, blue) == (1, DEPTH, 16, 8, 0):
            return number
    raise x11.DisplayError("the X server has no format for its screen")
