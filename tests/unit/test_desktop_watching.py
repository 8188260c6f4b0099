"""The messages that the session's page passes on from and to a viewer who may only watch (watching.py)."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import BadRequestError  # type: ignore[import-not-found]  -- of the image
from tests.unit.test_desktop_idle import INPUT, PICTURE, pieces
from watching import ViewOnlyFilter  # type: ignore[import-not-found]

GREETING = b"RFB 003.008\n\x01"
SIZE = struct.pack(">BxHHBx", 251, 800, 600, 0)
XVP = struct.pack(">BxBB", 250, 1, 2)
FORMAT = struct.pack(">Bxxx", 0) + struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
ENCODINGS = struct.pack(">BxH4i", 2, 4, 7, -1063131698, -308, 16)
SETTLED = struct.pack(">BxH2i", 2, 2, 7, -308)
cuts = st.lists(st.integers(1, 40), max_size=20)


def passed(data: bytes, at: list[int]) -> bytes:
    watching = ViewOnlyFilter()
    return b"".join(watching.forwarded(piece) for piece in pieces(data, at))


@given(wanted=st.lists(PICTURE, max_size=5), said=st.lists(st.one_of(INPUT, st.just(SIZE), st.just(XVP))), at=cuts)
def test_only_what_asks_for_pictures_is_passed_on(wanted: list[bytes], said: list[bytes], at: list[int]):
    mixed = [message for pair in zip(wanted, said, strict=False) for message in pair]
    rest = wanted[len(said) :] + said[len(wanted) :]
    sent = GREETING + b"\x00" + FORMAT + ENCODINGS + b"".join(mixed + rest)
    assert passed(sent, at) == GREETING + b"\x01" + FORMAT + SETTLED + b"".join(wanted)


def test_the_desktop_is_shared_whether_the_viewer_says_so_or_not():
    """Otherwise the X server would disconnect the session's user."""
    assert passed(GREETING + b"\x00", []) == GREETING + b"\x01"


@pytest.mark.parametrize(
    "sent",
    [
        GREETING + b"\x01\x63",
        b"RFB 003.003\n\x01",
        GREETING + b"\x01" + struct.pack(">BBHHHH", 3, 0, 0, 0, 9, 9) + FORMAT,
    ],
    ids=["unknown message", "another version", "a new format of pixels while pictures are under way"],
)
def test_what_cannot_be_read_ends_the_connection(sent: bytes):
    with pytest.raises(BadRequestError):
        passed(sent, [])


class Browser:
    def __init__(self) -> None:
        self.got = bytearray()

    def write(self, frame: bytes) -> None:
        length = frame[1]
        head = 2 if length < 126 else 4 if length == 126 else 10
        self.got += frame[head:]

    async def drain(self) -> None:
        await asyncio.sleep(0)


def rectangle(encoding: int, content: bytes, width: int = 4, height: int = 3) -> bytes:
    return struct.pack(">HHHHi", 0, 0, width, height, encoding) + content


BEGIN = b"RFB 003.008\n\x01\x01" + bytes(4) + struct.pack(">HH", 800, 600) + FORMAT[4:] + struct.pack(">I", 4) + b"desk"
UPDATES: dict[str, bytes] = {
    "raw": rectangle(0, bytes(48)),
    "copy": rectangle(1, bytes(4)),
    "one colour": rectangle(7, b"\x80" + bytes(3)),
    "jpeg": rectangle(7, b"\x90" + b"\xc8\x01" + bytes(200)),
    "full colour": rectangle(7, b"\x00" + b"\x14" + bytes(20)),
    "two colours, short": rectangle(7, b"\x40\x01\x01" + bytes(6) + bytes(3)),
    "palette": rectangle(7, b"\x40\x01\x04" + bytes(15) + b"\x09" + bytes(9)),
    "gradient": rectangle(7, b"\x40\x02" + b"\x10" + bytes(16)),
    "long": rectangle(7, b"\x90" + b"\x80\x80\x04" + bytes(1 << 16)),
    "pointer": rectangle(-239, bytes(48) + bytes(3)),
    "name": rectangle(-307, struct.pack(">I", 3) + b"abc"),
    "screens": rectangle(-308, b"\x02\x00\x00\x00" + bytes(32)),
    "size": rectangle(-223, b""),
}
CLIPBOARD = struct.pack(">Bxxxi", 3, 6) + b"secret"
EXTENDED = struct.pack(">Bxxxi", 3, -6) + b"secret"
FENCE = struct.pack(">BxxxIB", 248, 1, 3) + b"abc"


async def shown(stream: bytes) -> bytes:
    display: Any = asyncio.StreamReader()
    display.feed_data(stream)
    display.feed_eof()
    browser: Any = Browser()
    await ViewOnlyFilter().copy_output(display, browser)
    return bytes(browser.got)


async def test_all_that_is_painted_reaches_them_and_the_clipboard_does_not():
    updates = [struct.pack(">BxH", 0, 1) + update for update in UPDATES.values()]
    together = struct.pack(">BxH", 0, 0xFFFF) + b"".join(UPDATES.values()) + rectangle(-224, b"")
    others = [FENCE, b"\x02", b"\x96", struct.pack(">BxHH", 1, 0, 2) + bytes(12)]
    painted = [*updates, *others, together]
    stream = BEGIN + b"".join(CLIPBOARD + part + EXTENDED for part in painted)
    assert await shown(stream) == BEGIN + b"".join(painted)


@pytest.mark.parametrize("part", [b"\x63", struct.pack(">BxH", 0, 1) + rectangle(16, bytes(9))])
async def test_what_cannot_be_read_of_the_x_server_ends_the_connection(part: bytes):
    with pytest.raises(BadRequestError):
        await shown(BEGIN + part)
