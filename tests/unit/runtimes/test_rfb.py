"""Reading the screen: the detection that something was painted."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.runtimes.probe.screen import CURSOR, MAX_BYTES, RAW, RfbError, Screen

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
            changes, *area = struct.unpack(">x?HHHH", data)
            self.outgoing += self.changed() if changes else self.noise + self.update(*area)
        elif self.step == 0:
            self.outgoing += b"\x02\x13\x01"
        elif self.step == 1:
            self.outgoing += bytes(4)
        elif self.step == 2:
            self.outgoing += struct.pack(">HH", WIDTH, HEIGHT) + b"\x20\x18\x00\x01" + bytes(12) + b"\0\0\0\x04Name"
        self.step += 1

    def changed(self) -> bytes:
        """The changes since the last update."""
        return b""

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
    class Silent(Server):
        def update(self, x: int, y: int, width: int, height: int) -> bytes:
            return b""

    with pytest.raises(EOFError):
        look(Silent(blank()))


class Painting(Server):
    """Xvnc while a program paints: the answer is the pointer's picture, the pixels are the changes since."""

    def __init__(self, picture: list[list[bytes]]) -> None:
        super().__init__(picture)
        self.behind = b""

    def changed(self) -> bytes:
        behind, self.behind = self.behind, b""
        return behind

    def update(self, x: int, y: int, width: int, height: int) -> bytes:
        self.behind = super().update(x, y, width, height)
        return b"\0\0\0\1" + struct.pack(">HHHHi", 0, 0, 9, 2, CURSOR) + b"\xff" * (9 * 2 * 4) + b"\xff" * 4


def test_what_an_update_left_out_is_asked_for_again():
    picture = blank()
    picture[HEIGHT // 2] = [b"\1\0\0\0"] * WIDTH
    assert look(Painting(picture))
    assert not look(Painting(blank()))


class Tiles(Server):
    """Sends the requested area in rectangles of `rows` rows, in its own order, with the pointer in between."""

    def __init__(self, picture: list[list[bytes]], rows: int, order: random.Random) -> None:
        super().__init__(picture, piece=97)
        self.rows = rows
        self.order = order

    def update(self, x: int, y: int, width: int, height: int) -> bytes:
        tops = list(range(y, y + height, self.rows))
        self.order.shuffle(tops)
        pointer = struct.pack(">HHHHi", 0, 0, 9, 2, CURSOR) + b"\xff" * (9 * 2 * 4) + b"\xff" * 4
        said = b"\0\0\0\1" + pointer
        for top in tops:
            rows = self.picture[top : min(top + self.rows, y + height)]
            pixels = b"".join(b"".join(row[x : x + width]) for row in rows)
            said += b"\0\0\0\1" + struct.pack(">HHHHi", x, top, width, len(rows), RAW) + pixels
        return said


@given(seed=st.integers(0, 1000), rows=st.integers(1, HEIGHT))
def test_a_picture_is_the_screen_in_any_order_of_its_parts(seed: int, rows: int):
    order = random.Random(seed)  # noqa: S311 -- a test
    picture = [[order.randbytes(4) for _ in range(WIDTH)] for _ in range(HEIGHT)]

    async def main() -> bytes:
        server = Tiles(picture, rows, order)
        screen = Screen(server.send, server.receive)
        await screen.open()
        return await screen.picture()

    assert asyncio.run(main()) == b"".join(b"".join(row) for row in picture)


@pytest.mark.parametrize("place", [(1, 0, WIDTH, HEIGHT), (0, 1, WIDTH, HEIGHT), (0, 0, WIDTH + 1, 1)])
def test_a_rectangle_beside_the_screen_is_refused(place: tuple[int, int, int, int]):
    class Beside(Server):
        def update(self, x: int, y: int, width: int, height: int) -> bytes:
            return b"\0\0\0\1" + struct.pack(">HHHHi", *place, RAW) + bytes(place[2] * place[3] * 4)

    async def main() -> bytes:
        server = Beside(blank())
        screen = Screen(server.send, server.receive)
        await screen.open()
        return await screen.picture()

    with pytest.raises(RfbError, match="outside"):
        asyncio.run(main())


class Hostile(Server):
    """Completes the handshake, claims any size of pixels and of its name, and then sends random data without end."""

    def __init__(self, said: bytes, bits: int, name_length: int) -> None:
        super().__init__(blank())
        self.said = said
        self.bits = bits
        self.name_length = name_length
        self.received = 0

    async def receive(self) -> bytes:
        data = bytes(self.outgoing) or self.said
        self.outgoing.clear()
        self.received += len(data)
        if not data:
            raise EOFError
        return data

    async def send(self, data: bytes) -> None:
        if self.step == 2:
            shape = struct.pack(">HHB", WIDTH, HEIGHT, self.bits)
            self.outgoing += shape + bytes(15) + struct.pack(">I", self.name_length) + b"n" * min(self.name_length, 9)
            self.step += 1
        elif self.step < 2:
            await super().send(data)


@given(st.binary(min_size=0, max_size=60), st.integers(0, 255), st.sampled_from([0, 4, 9]))
def test_the_look_ends_for_any_server(said: bytes, bits: int, name_length: int):
    server = Hostile(said * 100, bits, name_length)
    with contextlib.suppress(RfbError, EOFError):
        look(server)
    assert server.received <= MAX_BYTES + 10_000


@pytest.mark.parametrize(
    ("said", "bits", "name_length"),
    [
        (b"", 0, 0),
        (b"n" * 4096, 32, 0xFFFFFFFF),
        (b"\x02" * 100_000, 32, 0),
        (b"\0\0\xff\xff" + struct.pack(">HHHHi", 0, 0, 0, 0, RAW) * 65535, 32, 0),
        (b"\0\0\0\1" + struct.pack(">HHHHi", 0, 0, 65535, 65535, RAW), 32, 0),
    ],
    ids=["no pixels", "a name of 4 GiB", "bells without end", "rectangles without end", "a picture of 17 GB"],
)
def test_a_hostile_server_is_left_soon(said: bytes, bits: int, name_length: int):
    with pytest.raises(RfbError):
        look(Hostile(said, bits, name_length))
