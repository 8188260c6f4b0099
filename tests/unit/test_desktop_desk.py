"""The desk of the session's page, without an X server: pictures, the pointer in them, and steps."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from protocol import BadRequestError, Request, body  # type: ignore[import-not-found]
from screen import (  # type: ignore[import-not-found]
    ROWS,
    Cursor,
    PictureRequest,
    View,
    combined_adler,
    cursor_of,
    picture_request,
)
from steps import (  # type: ignore[import-not-found]
    MAX_ASSIGNED_KEYS,
    StepError,
    assignment_requests,
    checked,
    is_special,
    is_unused,
    keysym_of,
    split_by_keys,
)

from greenroom.core.actions import actions, plan
from greenroom.core.actions.keys import keysym_of_character

WIDTH, HEIGHT = 40, 100
WHOLE = PictureRequest((0, 0, WIDTH, HEIGHT), WIDTH, HEIGHT)


def filled(colour: bytes, rows: int) -> bytes:
    return colour * WIDTH * rows


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    image.load()
    return image


@given(first=st.binary(max_size=3000), second=st.binary(max_size=3000))
def test_the_checksum_of_a_whole_follows_from_its_parts(first: bytes, second: bytes):
    assert combined_adler(zlib.adler32(first), zlib.adler32(second), len(second)) == zlib.adler32(first + second)


def test_only_rows_that_were_drawn_in_are_read_again():
    view = View(WHOLE)
    assert view.runs() == [(0, HEIGHT)]
    view.read(0, filled(b"\x01\x02\x03\0", HEIGHT))
    assert view.runs() == []
    assert opened(view.picture(None)).getpixel((5, 99)) == (3, 2, 1)
    view.damaged(65, 66)
    assert view.runs() == [(64, 96)]
    view.read(64, filled(b"\x09\x08\x07\0", 32))
    picture = opened(view.picture(None))
    assert picture.size == (WIDTH, HEIGHT)
    assert [picture.getpixel((0, y)) for y in (63, 64, 95, 96)] == [(3, 2, 1), (7, 8, 9), (7, 8, 9), (3, 2, 1)]


@given(
    top=st.integers(0, 999),
    rows=st.integers(1, 300),
    height=st.integers(1, 2000),
    first=st.integers(0, 500),
    shown=st.integers(1, 500),
)
def test_each_row_that_shows_something_drawn_is_read_again(top: int, rows: int, height: int, first: int, shown: int):
    view = View(PictureRequest((0, first, 10, first + shown), 10, height))
    view.stale.clear()
    view.damaged(top, top + rows)
    for y in range(height):
        if top <= first + int((y + 0.5) * shown / height) < top + rows:
            assert y // ROWS in view.stale


def test_the_pointer_is_drawn_at_its_place_and_leaves_nothing_behind():
    view = View(WHOLE)
    view.read(0, filled(b"\x64\x64\x64\0", HEIGHT))
    half_red = Cursor(38, 31, 4, 2, (0x80800000,) * 8)
    picture = opened(view.picture(half_red))
    assert picture.getpixel((39, 32)) == (0x80 + 0x64 * 127 // 255, 49, 49)
    assert picture.getpixel((37, 32)) == (0x64,) * 3
    assert opened(view.picture(None)).getpixel((39, 32)) == (0x64,) * 3


def test_the_pointer_of_a_smaller_picture_is_smaller_and_points_at_the_same():
    answer = struct.pack("<8xhhHHHH12x", 400, 300, 16, 24, 8, 4) + struct.pack("<384I", *range(384))
    cursor = cursor_of(answer, (0, 0, 800, 600), 400, 300)
    assert cursor is not None
    assert (cursor.x, cursor.y, cursor.width, cursor.height) == (196, 148, 8, 12)
    assert len(cursor.argb) == 96


@pytest.mark.parametrize(
    ("region", "width", "height", "shown"),
    [
        (None, None, None, (1280, 800)),
        (None, 640, None, (640, 400)),
        (None, None, 400, (640, 400)),
        ((0, 0, 100, 50), None, None, (100, 50)),
        ((1180, 750, 1280, 800), 50, 50, (50, 50)),
    ],
)
def test_a_picture_keeps_its_shape_where_one_side_is_given(
    region: tuple[int, int, int, int] | None, width: int | None, height: int | None, shown: tuple[int, int]
):
    assert picture_request(region, width, height, (1280, 800))[1:] == shown


@pytest.mark.parametrize("region", [(0, 0, 0, 10), (-1, 0, 10, 10), (0, 0, 1281, 10), (10, 0, 5, 5)])
def test_a_region_outside_the_screen_is_refused(region: tuple[int, int, int, int]):
    with pytest.raises(ValueError, match="not on the screen of 1280 x 800"):
        picture_request(region, None, None, (1280, 800))


@pytest.mark.parametrize(
    "step",
    [
        plan.Pointer(1, 5, 6),
        plan.Pointer(0),
        plan.Key(0xFF0D, down=True),
        plan.Type("Grüße"),
        actions.WaitStep(0.02),
        actions.Clipboard("a"),
        actions.OpenAddress("https://example.org/"),
        plan.Screenshot(),
        plan.Screenshot((0, 0, 5, 5), 50, 50, cursor=False),
        actions.CursorPosition(),
        actions.ReadClipboard(),
    ],
    ids=lambda step: type(step).__name__,
)
def test_every_step_of_a_plan_is_known_to_the_desk(step: plan.Step):
    import msgspec  # noqa: PLC0415 -- not of the image

    sent = msgspec.json.decode(msgspec.json.encode(step))
    assert checked(sent) == sent


@pytest.mark.parametrize(
    "step",
    [
        None,
        {"step": "fly"},
        {"step": "key", "keysym": "a", "down": True},
        {"step": "key", "keysym": 2**32, "down": True},
        {"step": "key", "keysym": 1},
        {"step": "wait", "seconds": 61},
        {"step": "wait", "seconds": float("nan")},
        {"step": "pointer", "buttons": -1},
        {"step": "pointer", "buttons": 1, "z": 1},
        {"step": "screenshot", "width": 10**6},
    ],
)
def test_what_is_no_step_is_refused(step: object):
    with pytest.raises(StepError):
        checked(step)


@given(st.characters(exclude_categories=("Cs", "Cc")))
def test_characters_have_the_keys_that_names_of_keys_have(character: str):
    assert keysym_of(character) == keysym_of_character(character)


@pytest.mark.parametrize(("character", "key"), [("\n", 0xFF0D), ("\t", 0xFF09), ("\x1b", 0xFF1B)])
def test_of_control_characters_those_with_a_key_are_typed(character: str, key: int | None):
    assert keysym_of(character) == key


@given(st.lists(st.one_of(st.sampled_from([0x61, 0xFF0D]), st.integers(0x4E00, 0x4E80)), max_size=400))
def test_a_text_is_cut_where_it_has_more_characters_than_keys(keysyms: list[int]):
    cut = list(split_by_keys(keysyms))
    assert [keysym for part in cut for keysym in part] == keysyms
    assert all(len({keysym for keysym in part if is_special(keysym)}) <= MAX_ASSIGNED_KEYS for part in cut)
    needed = len({keysym for keysym in keysyms if is_special(keysym)})
    assert len(cut) == 1 or needed > MAX_ASSIGNED_KEYS


@pytest.mark.parametrize(
    ("symbols", "unused"),
    [
        ((0x1008FF4A, 0), True),
        ((0x1008FF26, 0), False),
        ((0x61, 0x41), False),
        ((0, 0), False),
        ((0x1008FF4A, 0x61), False),
    ],
)
def test_only_keys_that_a_session_can_do_without_are_given_to_characters(symbols: tuple[int, ...], unused: bool):
    assert is_unused(symbols) == unused


def test_neighboring_keys_are_given_to_characters_in_one_request():
    euro, arrow, check = 0x010020AC, 0x01002192, 0x01002713
    assert list(assignment_requests({201: arrow, 210: check, 200: euro})) == [
        struct.pack("<BBHBBxxIIII", 100, 2, 6, 200, 2, euro, euro, arrow, arrow),
        struct.pack("<BBHBBxxII", 100, 1, 4, 210, 2, check, check),
    ]


def read_body(head: str, *sent: bytes) -> bytes:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        for part in sent:
            reader.feed_data(part)
        reader.feed_eof()
        return await body(Request(f"POST / HTTP/1.1\r\n{head}\r\n\r\n".encode()), reader, 10)

    return asyncio.run(read())


def test_a_body_is_read_with_its_length_or_in_chunks():
    assert read_body("Content-Length: 4", b"ab", b"cd", b"ef") == b"abcd"
    assert read_body("Transfer-Encoding: chunked", b"2\r\nab\r\n", b"1;x=y\r\nc\r\n0\r\n\r\n") == b"abc"


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        ("Content-Length: 11", b"12345678901"),
        ("Transfer-Encoding: chunked", b"b\r\n12345678901\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"x\r\n"),
        ("Content-Length: 5", b"1234"),
    ],
)
def test_a_body_that_is_too_long_or_broken_off_is_refused(head: str, sent: bytes):
    with pytest.raises(BadRequestError):
        read_body(head, sent)
