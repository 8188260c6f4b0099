"""The pointer's picture, as the X server has it (XFIXES), and how it is drawn into rows of pixels."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEAD_BYTES = 32


class Cursor(NamedTuple):
    """A picture with its place among the pixels of another one; `argb` is premultiplied."""

    x: int
    y: int
    width: int
    height: int
    argb: tuple[int, ...]

    def bands(self, rows: int, count: int) -> Iterator[int]:
        """Numbers of the bands of so many rows that it is in."""
        return iter(range(max(0, self.y // rows), min(count, -(-(self.y + self.height) // rows))))

    def drawn(self, bgrx: bytes, width: int, top: int) -> bytes:
        """Rows of `width` pixels, from row `top` on, with the pointer in them."""
        pixels = bytearray(bgrx)
        bottom = top + len(bgrx) // (4 * width)
        for y in range(max(self.y, top), min(self.y + self.height, bottom)):
            for x in range(max(self.x, 0), min(self.x + self.width, width)):
                pixel = self.argb[(y - self.y) * self.width + x - self.x]
                under = 255 - (pixel >> 24)
                if under == 255:
                    continue
                at = 4 * ((y - top) * width + x)
                for part in (0, 1, 2):
                    pixels[at + part] = min(255, (pixel >> 8 * part & 0xFF) + pixels[at + part] * under // 255)
        return bytes(pixels)


def cursor_of(answer: bytes, region: tuple[int, int, int, int], width: int, height: int) -> Cursor | None:
    """The pointer in a picture of `region` that is so large; None = it has none at the moment."""
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
