"""Reading the screen: whether something was painted."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.runtimes.rfb import CURSOR, RAW, RfbError, Screen

WIDTH, HEIGHT = 30, 20


class Server:
    """An X server with `picture` (rows of 4-byte pixels), whose bytes arrive in pieces of `piece` bytes."""

    def __init__(self, picture: list[list[bytes]], piece: int = 1000, noise: bytes = b"") -> None:
        self.picture = picture
        self.piece = piece
        self.noise = noise
        self.outgoing = bytearray(b"RFB 003.008\n")
        self.step = 0

    async def receive(self) -> bytes:
        if not self.outgoing:
            raise EOFError
        data = bytes(self.outgoing[: self.piece])
        del self.outgoing[: self.piece]
        return data

    async def send(self, data: bytes) -> None:
        if data[0] == 3:
            self.outgoing += self.noise + self.update(*struct.unpack(">xxHHHH", data))
        elif self.step == 0:
            self.outgoing += b"\x02\x13\x01"
        elif self.step == 1:
            self.outgoing += bytes(4)
        elif self.step == 2:
            self.outgoing += struct.pack(">HH", WIDTH, HEIGHT) + b"\x20\x18\x00\x01" + bytes(12) + b"\0\0\0\x04Name"
        self.step += 1

    def update(self, x: int, y: int, width: int, height: int) -> bytes:
        pixels = b"".join(self.picture[row][column] for row in range(y, y + height) for column in range(x, x + width))
        half = len(pixels) // 8 * 4
        cursor = struct.pack(">HHHHi", 0, 0, 9, 2, CURSOR) + b"\xff" * (9 * 2 * 4) + b"\xff" * 4
        whole = struct.pack(">HHHHi", x, y, 1, half // 4, RAW) + pixels[:half]
        rest = struct.pack(">HHHHi", x, y, 1, (len(pixels) - half) // 4, RAW) + pixels[half:]
        return b"\0\0\0\x02" + cursor + whole + b"\0\0\0\x01" + rest


def look(server: Server) -> bool:
    async def main() -> bool:
        screen = Screen(server.send, server.receive)
        await screen.open()
        assert (screen.width, screen.height) == (WIDTH, HEIGHT)
        return await screen.is_painted()

    return asyncio.run(main())


def blank(colour: bytes = b"\0\0\0\0") -> list[list[bytes]]:
    return [[colour] * WIDTH for _ in range(HEIGHT)]


@given(piece=st.integers(1, 200), colour=st.binary(min_size=4, max_size=4))
def test_a_screen_of_one_colour_is_not_painted(piece: int, colour: bytes):
    assert not look(Server(blank(colour), piece))


@given(piece=st.integers(1, 200), row=st.integers(0, HEIGHT - 1))
def test_a_line_across_is_seen(piece: int, row: int):
    picture = blank()
    picture[row] = [b"\1\0\0\0"] * WIDTH
    assert look(Server(picture, piece))


@given(column=st.integers(0, WIDTH - 1))
def test_a_line_down_is_seen(column: int):
    picture = blank()
    for row in picture:
        row[column] = b"\1\0\0\0"
    assert look(Server(picture))


def test_other_messages_are_skipped():
    noise = b"\x02" + b"\x03\0\0\0\0\0\0\x05hello" + b"\x01\0\0\0\0\x01" + bytes(6)
    assert not look(Server(blank(), noise=noise))


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 200", b"RFB 004.000\n"])
def test_what_is_not_rfb_3(greeting: bytes):
    server = Server(blank())
    server.outgoing[:] = greeting
    with pytest.raises(RfbError, match="greeting"):
        look(server)


def test_a_server_that_never_sends_a_frame_ends_with_the_connection():
    server = Server(blank())
    server.update = lambda *_: b""  # type: ignore[method-assign]
    with pytest.raises(EOFError):
        look(server)
