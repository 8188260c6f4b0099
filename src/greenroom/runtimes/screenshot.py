"""From the pixels of a screen to a small JPEG."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from PIL import Image

MOST_JPEG_BYTES: Final = 128 << 10
"""It travels in a check-in, which has room for a good number of them."""
QUALITIES: Final = (80, 60, 40, 20)
"""Tried one after the other until the picture is small enough; then it is made narrower too."""


def jpeg(pixels: bytes, size: tuple[int, int], bounds: tuple[int, int]) -> bytes:
    """The picture as JPEG of at most `MOST_JPEG_BYTES`.

    Args:
        pixels: rows from the top, 4 bytes per pixel: blue, green, red, nothing (`rfb.BGRX`).
        size: width and height of the screen.
        bounds: width and height that the result fits into, keeping its shape; it is never enlarged.
    """
    picture = Image.frombytes("RGB", size, pixels, "raw", "BGRX")
    picture.thumbnail(bounds, reducing_gap=2.0)
    while True:
        for quality in QUALITIES:
            encoded = _encoded(picture, quality)
            if len(encoded) <= MOST_JPEG_BYTES:
                return encoded
        picture.thumbnail((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _encoded(picture: Image.Image, quality: int) -> bytes:
    output = BytesIO()
    picture.save(output, "JPEG", quality=quality, optimize=True)
    return output.getvalue()
