"""PNG pictures of the screen, taken at the moment at which programs have drawn their reaction to input.

A picture is divided into bands of rows. The X server collects the areas in which something was drawn (its extension
DAMAGE), and only the bands with these areas are read and compressed again. There is no cost while no picture is
requested. Each band is compressed separately, and all bands together form one zlib stream (RFC 1950): each part of the
stream ends at a whole byte, and the checksum of the stream is calculated from the checksums of the parts. The picture
of the pointer (X extension XFIXES) is drawn into the rows.
"""

import asyncio
import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import x11
from x11 import Scaled

CREATE_DAMAGE, SUBTRACT = 1, 3
"""Requests of DAMAGE."""
NON_EMPTY = 3
"""The report level of DAMAGE: one event when the collected area becomes non-empty."""
CREATE_REGION, FETCH_REGION, GET_CURSOR_IMAGE = 5, 19, 4
"""Requests of XFIXES."""
FIRST_DRAWING_S = 0.03
"""The maximum time after input to wait for the first drawing."""
POINTER_DRAWING_S = 0.02
"""The same if the only input was a movement of the pointer: programs draw its effect with the next frame, or never."""
QUIET_S = 0.01
"""A picture is taken when nothing was drawn for this time."""
MAX_DRAWING_S = 0.15
"""The maximum time after input to wait for drawing to stop: some programs draw continuously."""

HEAD_BYTES = 32
"""The size of the head in the answer to GET_CURSOR_IMAGE."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ZLIB_LEVEL = 1
ROWS = 32
"""The number of rows in a band. The pointer or a line of text is in one or two bands."""
STREAM_BEGIN, STREAM_END = b"\x78\x01", b"\x03\x00"
"""The first bytes of a zlib stream, and its last block, which is empty."""
ADLER_MODULUS = 65521
Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels. The second corner is exclusive."""


class PictureRequest(NamedTuple):
    """The requested part of the screen, and the size of its picture in pixels."""

    region: Region
    width: int
    height: int

    @property
    def is_scaled(self) -> bool:
        """True if the picture is larger or smaller than its part of the screen."""
        left, top, right, bottom = self.region
        return (self.width, self.height) != (right - left, bottom - top)


class Cursor(NamedTuple):
    """The picture of the pointer. `x` and `y` are its position in the picture of the screen; the colors of `argb` are
    premultiplied with alpha."""

    x: int
    y: int
    width: int
    height: int
    argb: tuple[int, ...]

    def bands(self, rows: int, count: int) -> Iterator[int]:
        """The numbers of the bands that the pointer covers, with `rows` rows in each of `count` bands."""
        return iter(range(max(0, self.y // rows), min(count, -(-(self.y + self.height) // rows))))

    def drawn(self, bgrx: bytes, width: int, top: int) -> bytes:
        """Return rows of `width` pixels, starting at row `top`, with the pointer drawn into them."""
        pixels = bytearray(bgrx)
        bottom = top + len(bgrx) // (4 * width)
        for y in range(max(self.y, top), min(self.y + self.height, bottom)):
            for x in range(max(self.x, 0), min(self.x + self.width, width)):
                pixel = self.argb[(y - self.y) * self.width + x - self.x]
                transparency = 255 - (pixel >> 24)
                if transparency == 255:
                    continue
                at = 4 * ((y - top) * width + x)
                for byte in (0, 1, 2):
                    pixels[at + byte] = min(255, (pixel >> 8 * byte & 0xFF) + pixels[at + byte] * transparency // 255)
        return bytes(pixels)


def cursor_of(answer: bytes, region: tuple[int, int, int, int], width: int, height: int) -> Cursor | None:
    """The pointer in a picture of `region` with this size, from the answer to GET_CURSOR_IMAGE; None if the screen has
    no pointer."""
    x, y, own_width, own_height, hot_x, hot_y = struct.unpack_from("<hhHHHH", answer, 8)
    argb = struct.unpack_from(f"<{own_width * own_height}I", answer, HEAD_BYTES)
    if not argb:
        return None
    left, top, right, bottom = region
    across, down = width / (right - left), height / (bottom - top)
    new_width, new_height = max(1, round(own_width * across)), max(1, round(own_height * down))
    if (new_width, new_height) != (own_width, own_height):
        argb = tuple(
            argb[int((row + 0.5) * own_height / new_height) * own_width + int((column + 0.5) * own_width / new_width)]
            for row in range(new_height)
            for column in range(new_width)
        )
    place = round((x - hot_x - left) * across), round((y - hot_y - top) * down)
    return Cursor(*place, new_width, new_height, argb)


class Band(NamedTuple):
    """Compressed rows. `adler` is the Adler-32 checksum, and `size` the length, of the uncompressed data."""

    data: bytes
    adler: int
    size: int


def compressed(rgb: bytes, width: int) -> Band:
    """Compress rows of RGB with three bytes per pixel."""
    stride = 3 * width
    rows = b"".join(b"\0" + rgb[at : at + stride] for at in range(0, len(rgb), stride))  # 0: no filter
    compressor = zlib.compressobj(ZLIB_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(rows) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Band(data, zlib.adler32(rows), len(rows))


def png_of(width: int, height: int, bands: list[Band]) -> bytes:
    """The PNG that consists of these bands, from top to bottom."""
    adler = 1
    for band in bands:
        adler = combined_adler(adler, band.adler, band.size)
    stream = b"".join([STREAM_BEGIN, *(band.data for band in bands), STREAM_END, adler.to_bytes(4, "big")])
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join([PNG_SIGNATURE, _chunk(b"IHDR", head), _chunk(b"IDAT", stream), _chunk(b"IEND", b"")])


def combined_adler(first: int, second: int, second_size: int) -> int:
    """The Adler-32 of two concatenated parts, from the Adler-32 of each part and the length of the second."""
    sum1, sum2 = first & 0xFFFF, first >> 16
    low = (sum1 + (second & 0xFFFF) - 1) % ADLER_MODULUS
    high = (sum2 + (second >> 16) + second_size * (sum1 - 1)) % ADLER_MODULUS
    return high << 16 | low


def rgb_of(bgrx: bytes) -> bytearray:
    """Convert BGRX pixels to RGB."""
    rgb = bytearray(len(bgrx) // 4 * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = bgrx[2::4], bgrx[1::4], bgrx[0::4]
    return rgb


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class View:
    """A picture of the screen as bands. `stale` contains the numbers of the bands that must be read again; `_raw` has
    the pixels of each band, `_bands` the compressed rows, or None if the pixels have changed."""

    def __init__(self, request: PictureRequest) -> None:
        self.request = request
        count = -(-request.height // ROWS)
        self._raw = [b""] * count
        self._bands: list[Band | None] = [None] * count
        self.stale = set(range(count))

    def damaged(self, top: int, bottom: int) -> None:
        """Mark the bands of these rows of the screen as outdated."""
        _, first, _, last = self.request.region
        scale = self.request.height / (last - first)
        extra = 1 if self.request.is_scaled else 0  # a row of a scaled picture also depends on the neighboring rows
        begin, end = (top - first - extra) * scale - extra, (bottom - first + extra) * scale + extra
        if begin < self.request.height and end > 0:
            self.stale.update(range(max(0, int(begin)) // ROWS, -(-min(self.request.height, int(end + extra)) // ROWS)))

    def runs(self) -> list[tuple[int, int]]:
        """The rows of the stale bands, as the first row and the end of each run of neighboring bands."""
        found: list[tuple[int, int]] = []
        for index in sorted(self.stale):
            top, bottom = index * ROWS, min((index + 1) * ROWS, self.request.height)
            if found and found[-1][1] == top:
                top = found.pop()[0]
            found.append((top, bottom))
        return found

    def read(self, top: int, pixels: bytes) -> None:
        """Store the pixels that were read for the rows from `top` on."""
        size = 4 * self.request.width * ROWS
        for number, at in enumerate(range(0, len(pixels), size)):
            index, raw = top // ROWS + number, pixels[at : at + size]
            if raw != self._raw[index]:
                self._raw[index], self._bands[index] = raw, None
        self.stale.difference_update(range(top // ROWS, top // ROWS + -(-len(pixels) // size)))

    def picture(self, cursor: Cursor | None) -> bytes:
        """The PNG of the picture, with the pointer drawn into it."""
        bands = [self._band(index) for index in range(len(self._bands))]
        if cursor:
            for index in cursor.bands(ROWS, len(bands)):
                drawn = cursor.drawn(self._raw[index], self.request.width, index * ROWS)
                bands[index] = compressed(bytes(rgb_of(drawn)), self.request.width)
        return png_of(self.request.width, self.request.height, bands)

    @property
    def is_ready(self) -> bool:
        """True if all bands that were read are compressed."""
        return None not in self._bands

    def make_ready(self) -> None:
        """Compress the bands that were read."""
        for index in range(len(self._bands)):
            self._band(index)

    def _band(self, index: int) -> Band:
        band = self._bands[index]
        if band is None:
            band = self._bands[index] = compressed(bytes(rgb_of(self._raw[index])), self.request.width)
        return band


class Screen:
    """The screen of the session. The connection to the X server is opened by the first request."""

    def __init__(self) -> None:
        self._display: x11.Display | None = None
        self._opening = asyncio.Lock()
        self._picture_lock = asyncio.Lock()
        self._drawn = asyncio.Event()
        self._view: View | None = None

    async def size(self) -> tuple[int, int]:
        """The width and height in pixels."""
        display = await self.display()
        answer = await display.ask(struct.pack("<BxHI", x11.GET_GEOMETRY, 2, display.root))
        width, height = struct.unpack_from("<HH", answer, 16)
        return width, height

    async def pointer(self) -> tuple[int, int, int]:
        """The position of the pointer and the mask of pressed buttons, as in RFB."""
        display = await self.display()
        answer = await display.ask(struct.pack("<BxHI", x11.QUERY_POINTER, 2, display.root))
        x, y, mask = struct.unpack_from("<hh4xH", answer, 16)
        return x, y, mask >> 8 & 0x1F

    async def picture(
        self, region: Region | None, width: int | None, height: int | None, *, cursor: bool, last_input: tuple[float, float] | None = None
    ) -> bytes:
        """Return the screen, or a part of it, as a PNG of this size. `last_input`: the `time.monotonic` of the last input,
        and the maximum time to wait for the first drawing after it; the picture is taken once programs have drawn their
        reaction.

        Raises:
            ValueError: the region is not on the screen.
        """
        async with self._picture_lock:
            display = await self.display()
            request = picture_request(region, width, height, await self.size())
            view = self._view if self._view and self._view.request == request else View(request)
            if region is None:
                self._view = view
            await self._update(display, view, last_input)
            cursor_picture = await self._cursor(display, request) if cursor else None
            return await asyncio.to_thread(view.picture, cursor_picture)

    async def forget_drawing(self) -> None:
        """Forget earlier drawing, so that all later drawing counts as the reaction to the next input."""
        async with self._picture_lock:
            await self._take_damage()

    async def _update(self, display: x11.Display, view: View, last_input: tuple[float, float] | None) -> None:
        """Update a picture until programs stop drawing; rows are compressed during the wait. `last_input` as in
        `picture`."""
        loop = asyncio.get_running_loop()
        begun_s, first_s = last_input or (0.0, 0.0)
        ends_at_s = begun_s + MAX_DRAWING_S if last_input else 0.0
        quiet_at_s = begun_s + first_s
        while True:
            if await self._take_damage():
                quiet_at_s = loop.time() + QUIET_S
            await self._read(display, view)
            if not view.is_ready:
                await asyncio.to_thread(view.make_ready)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(quiet_at_s, ends_at_s)):
                    await self._drawn.wait()
            if not self._drawn.is_set() or loop.time() >= ends_at_s:
                return

    async def display(self) -> x11.Display:
        """Return the connection to the X server; open it if there is none.

        Raises:
            OSError: the X server accepts no connection.
        """
        async with self._opening:
            if self._display is None or not self._display.is_open:
                display = await x11.connect()
                try:
                    await self._prepare(display)
                except BaseException:
                    await display.close()
                    raise
                self._display, self._view = display, None
            return self._display

    async def _prepare(self, display: x11.Display) -> None:
        """Create the DAMAGE object and the region that collect the areas in which something is drawn."""
        self._fixes, _ = await display.extension(x11.FIXES, x11.FIXES_VERSION)
        self._damage, first_event = await display.extension(x11.DAMAGE, x11.DAMAGE_VERSION)
        self._render, _ = await display.extension(x11.RENDER, x11.RENDER_VERSION)
        self._damage_id, self._region_id = display.new_id(), display.new_id()
        display.on_event(first_event, lambda _: self._drawn.set())
        display.send(struct.pack("<BBHIIBxxx", self._damage, CREATE_DAMAGE, 4, self._damage_id, display.root, NON_EMPTY))
        display.send(struct.pack("<BBHI", self._fixes, CREATE_REGION, 2, self._region_id))

    async def _take_damage(self) -> bool:
        """Mark the bands in which something was drawn since the last call as stale. Return False if nothing was
        drawn."""
        display = await self.display()
        self._drawn.clear()
        display.send(struct.pack("<BBHIII", self._damage, SUBTRACT, 4, self._damage_id, 0, self._region_id))
        answer = await display.ask(struct.pack("<BBHI", self._fixes, FETCH_REGION, 2, self._region_id))
        for _, top, _, height in struct.iter_unpack("<hhHH", answer[x11.MESSAGE_BYTES :]):
            if self._view:
                self._view.damaged(top, top + height)
        return len(answer) > x11.MESSAGE_BYTES

    async def _read(self, display: x11.Display, view: View) -> None:
        """Read the rows of the stale bands of a picture."""
        request = view.request
        left, first, _, _ = request.region
        with contextlib.closing(Scaled(display, request, self._render)) as scaled:
            for top, bottom in view.runs():
                if request.is_scaled:
                    pixels = await scaled.rows(top, bottom)
                else:
                    pixels = await x11.image(display, display.root, left, first + top, request.width, bottom - top)
                view.read(top, pixels)

    async def _cursor(self, display: x11.Display, request: PictureRequest) -> Cursor | None:
        answer = await display.ask(struct.pack("<BBH", self._fixes, GET_CURSOR_IMAGE, 1))
        return cursor_of(answer, request.region, request.width, request.height)


def picture_request(region: Region | None, width: int | None, height: int | None, screen: tuple[int, int]) -> PictureRequest:
    """The request for a part of the screen, by default the whole screen. If only the width or only the height is given,
    the picture keeps the proportions of the region.

    Raises:
        ValueError: the region is not on the screen.
    """
    left, top, right, bottom = region or (0, 0, *screen)
    if not (0 <= left < right <= screen[0] and 0 <= top < bottom <= screen[1]):
        raise ValueError(f"region: {[left, top, right, bottom]} is not on the screen of {screen[0]} x {screen[1]}")
    across, down = right - left, bottom - top
    if width and not height:
        height = max(1, round(down * width / across))
    elif height and not width:
        width = max(1, round(across * height / down))
    return PictureRequest((left, top, right, bottom), width or across, height or down)


