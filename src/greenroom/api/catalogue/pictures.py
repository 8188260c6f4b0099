"""Pictures that administrators upload: made anew here, so that what is served is a picture and nothing else."""

from __future__ import annotations

import asyncio
import warnings
from io import BytesIO
from typing import Final

from greenroom.core.errors import Invalid, TooLarge
from greenroom.db.catalogue import Picture

MAX_UPLOAD_BYTES: Final = 1_000_000
MAX_PIXELS: Final = 24_000_000
"""Of an uploaded picture; 100 MB while it is made smaller."""
SIDE_PIXELS: Final = 512
"""A larger one is made smaller; the console shows at most half of that."""
FORMATS: Final = ("PNG", "JPEG", "WEBP")


async def made_picture(upload: bytes) -> Picture:
    """What is stored of an uploaded picture.

    Raises:
        TooLarge: it has too many bytes or pixels.
        Invalid: it is no picture, or of another format.
    """
    if len(upload) > MAX_UPLOAD_BYTES:
        raise TooLarge(f"A picture may have at most 1 MB; this one has {len(upload) / 1_000_000:.1f} MB.")
    return await asyncio.to_thread(_made, upload)


def _made(upload: bytes) -> Picture:
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 -- 3 MB, and uploads are rare

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
        raise Invalid("This is no picture that can be used; upload a PNG, JPEG or WebP file.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Invalid("This picture is damaged; upload another PNG, JPEG or WebP file.") from error
    return Picture("image/webp", made.getvalue())
