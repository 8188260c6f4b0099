"""Pictures: screenshots as small JPEGs, and uploaded pictures in the size in which they are displayed."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from greenroom.core.errors import Invalid, TooLarge

MAX_JPEG_BYTES: Final = 128 << 10
"""Limit of a JPEG; several are sent in one check-in."""
QUALITIES: Final = (80, 60, 40, 20)
"""Tried in turn until the JPEG is small enough; then it is scaled down too."""


def jpeg(pixels: bytes, size: tuple[int, int], bounds: tuple[int, int]) -> bytes:
    """The pixels of a screen (blue, green, red, unused) as JPEG of at most `MAX_JPEG_BYTES`, in proportion within
    `bounds`; never enlarged.
    """
    picture = Image.frombytes("RGB", size, pixels, "raw", "BGRX")
    picture.thumbnail(bounds, reducing_gap=2.0)
    while True:
        for quality in QUALITIES:
            encoded = _encoded(picture, quality)
            if len(encoded) <= MAX_JPEG_BYTES:
                return encoded
        picture.thumbnail((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _encoded(picture: Image.Image, quality: int) -> bytes:
    output = BytesIO()
    picture.save(output, "JPEG", quality=quality, optimize=True)
    return output.getvalue()


MAX_PIXELS: Final = 24_000_000
"""The maximum of an uploaded picture; it takes 100 MB of memory while it is reduced."""
SIDE_PIXELS: Final = 512
"""The size to which larger pictures are reduced; the console displays at most half of it."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")


def reduced(upload: bytes) -> bytes:
    """Return an uploaded picture as WebP of at most `SIDE_PIXELS` a side.

    Raises:
        TooLarge: it has too many pixels.
        Invalid: it is not a picture, or has another format.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(upload), formats=FORMATS)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise TooLarge(f"A picture may have at most 24 million pixels; this one has {width} x {height}.")
        picture = ImageOps.exif_transpose(picture)
        picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
        made = BytesIO()
        picture.convert("RGBA").save(made, "WEBP", quality=85)
    except UnidentifiedImageError as error:
        raise Invalid("The file is not a picture. Upload a PNG, JPEG or WebP file.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Invalid("The picture is damaged. Upload another PNG, JPEG or WebP file.") from error
    return made.getvalue()
