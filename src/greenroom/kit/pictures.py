"""Converts pictures: screenshots to small JPEGs, and uploaded pictures to the size in which they are displayed."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from greenroom.core.errors import Invalid, TooLarge

MAX_JPEG_BYTES: Final = 128 << 10
"""The maximum size of a JPEG. A check-in may contain several."""
JPEG_QUALITIES: Final = (80, 60, 40, 20)
"""The qualities to try in this order until the JPEG is small enough. If no JPEG is, the picture is scaled down."""


def screen_as_jpeg(pixels: bytes, size: tuple[int, int], bounds: tuple[int, int]) -> bytes:
    """Return the pixels of a screen (blue, green, red, unused) as a JPEG of at most `MAX_JPEG_BYTES`. The picture is
    reduced in proportion to fit into `bounds`, and never enlarged.
    """
    picture = Image.frombytes("RGB", size, pixels, "raw", "BGRX")
    picture.thumbnail(bounds, reducing_gap=2.0)
    while True:
        for quality in JPEG_QUALITIES:
            encoded = _encode_jpeg(picture, quality)
            if len(encoded) <= MAX_JPEG_BYTES:
                return encoded
        picture.thumbnail((max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)))


def _encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    output = BytesIO()
    picture.save(output, "JPEG", quality=quality, optimize=True)
    return output.getvalue()


MAX_UPLOAD_PIXELS: Final = 24_000_000
"""The maximum number of pixels of an uploaded picture. Reducing such a picture takes 100 MB of memory."""
UPLOAD_SIDE_PIXELS: Final = 512
"""The width and height to which larger pictures are reduced. The console displays them at most half as large."""
UPLOAD_FORMATS: Final = ("PNG", "JPEG", "WEBP")


def upload_as_webp(upload: bytes) -> bytes:
    """Convert an uploaded picture to WebP of at most `UPLOAD_SIDE_PIXELS` a side.

    Raises:
        TooLarge: the picture has too many pixels.
        Invalid: the upload is not a picture, is damaged, or has a format that is not in `UPLOAD_FORMATS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(upload), formats=UPLOAD_FORMATS)
        width, height = picture.size
        if width * height > MAX_UPLOAD_PIXELS:
            raise TooLarge(f"A picture may have at most 24 million pixels; this one has {width} x {height}.")
        picture = ImageOps.exif_transpose(picture)
        picture.thumbnail((UPLOAD_SIDE_PIXELS, UPLOAD_SIDE_PIXELS))
        output = BytesIO()
        picture.convert("RGBA").save(output, "WEBP", quality=85)
    except UnidentifiedImageError as error:
        raise Invalid("The file is not a picture. Upload a PNG, JPEG or WebP file.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Invalid("The picture is damaged. Upload another PNG, JPEG or WebP file.") from error
    return output.getvalue()
