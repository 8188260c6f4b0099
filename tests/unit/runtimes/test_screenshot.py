"""The JPEG of a screen's pixels: its shape, its colors, and its size limit."""

from __future__ import annotations

import random
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from greenroom.kit.pictures import MAX_JPEG_BYTES, screen_as_jpeg


def opened(data: bytes) -> Image.Image:
    picture = Image.open(BytesIO(data))
    assert picture.format == "JPEG"
    return picture


@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)), bounds=st.tuples(st.integers(1, 500), st.integers(1, 500))
)
def test_it_fits_and_is_never_enlarged(size: tuple[int, int], bounds: tuple[int, int]):
    width, height = opened(screen_as_jpeg(bytes(size[0] * size[1] * 4), size, bounds)).size
    assert width <= min(size[0], bounds[0])
    assert height <= min(size[1], bounds[1])
    assert width in (size[0], bounds[0], 1) or height in (size[1], bounds[1], 1), "as large as the bounds allow"


def test_the_colours_are_those_of_the_screen():
    left_red_right_blue = (b"\x10\x20\xe0\0" * 50 + b"\xe0\x20\x10\0" * 50) * 80
    picture = opened(screen_as_jpeg(left_red_right_blue, (100, 80), (50, 50)))
    for place, wanted in (((10, 20), (0xE0, 0x20, 0x10)), ((40, 20), (0x10, 0x20, 0xE0))):
        seen = picture.getpixel(place)
        assert isinstance(seen, tuple)
        assert all(abs(a - b) < 12 for a, b in zip(seen, wanted, strict=True))


def test_a_screen_full_of_noise_still_makes_a_small_picture():
    noise = random.Random(7).randbytes(1600 * 1000 * 4)  # noqa: S311 -- a test
    assert len(screen_as_jpeg(noise, (1600, 1000), (1600, 1000))) <= MAX_JPEG_BYTES
