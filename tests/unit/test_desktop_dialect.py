"""What the session's page makes of KasmVNC's client for the X server, which does not know its dialect (idle.py)."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_desktop_idle import INPUT, NO_INPUT, pieces

sys.path.append(str(Path(__file__).parents[2] / "src/greenroom/recipes/base/rootfs/opt/greenroom"))

from answers import BadRequestError  # type: ignore[import-not-found]  -- of the image
from idle import Idle  # type: ignore[import-not-found]

GREETING = b"RFB 003.008\n\x01\x01"
QUALITY = -1023 + 5
ENCODINGS = struct.pack(">BxH3i", 2, 3, 7, QUALITY, -1997)
KEY = struct.pack(">BBxxI", 4, 1, 0x61)


def named(name: bytes, data: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(data)) + data


OWN = st.one_of(
    st.sampled_from([(178, 3), (179, 11), (185, 0), (188, 9), (189, 7), (190, 3), (191, 3), (252, 4)]).map(
        lambda kind: bytes([kind[0]]) + bytes(kind[1])
    ),
    st.lists(st.tuples(st.binary(max_size=31), st.binary(max_size=90)), max_size=4).map(
        lambda items: bytes([180, len(items)]) + b"".join(named(*item) for item in items)
    ),
    st.binary(max_size=300).map(lambda offer: struct.pack(">BH", 181, len(offer)) + offer),
    st.binary(max_size=60).map(lambda name: struct.pack(">BB", 182, len(name)) + name),
    st.tuples(st.binary(max_size=60), st.binary(max_size=300)).map(lambda relay: bytes([183]) + named(*relay)),
    st.integers(0, 8).map(lambda number: bytes([184, number]) + bytes(4 * number)),
)
POINTERS = st.tuples(st.integers(0, 0x1FF), st.integers(0, 65535), st.integers(0, 65535)).map(
    lambda p: (struct.pack(">BHHHhh", 5, *p, 0, 0), struct.pack(">BBHH", 5, p[0] & 0xFF, *p[1:]))
)
KEYS = st.integers(0, 2**32 - 1).map(lambda key: (struct.pack(">BBxxI", 4, 1, key),) * 2)
SAID = st.lists(st.one_of(OWN.map(lambda message: (message, b"")), POINTERS, KEYS), max_size=12)
CUTS = st.lists(st.integers(0, 40), max_size=20)


def passed(data: bytes, cuts: list[int]) -> bytes:
    viewer = Idle()
    return b"".join(viewer.sent(piece) for piece in pieces(data, cuts))


@given(said=SAID, cuts=CUTS)
def test_the_x_server_gets_standard_messages_alone(said: list[tuple[bytes, bytes]], cuts: list[int]):
    sent = GREETING + ENCODINGS + b"".join(own for own, _ in said)
    assert passed(sent, cuts) == GREETING + ENCODINGS + b"".join(standard for _, standard in said)


@given(said=st.lists(st.one_of(INPUT, NO_INPUT), max_size=12), cuts=CUTS)
def test_of_every_other_viewer_each_byte_is_passed_on(said: list[bytes], cuts: list[int]):
    assert passed(GREETING + b"".join(said), cuts) == GREETING + b"".join(said)


@given(own=OWN)
def test_a_message_of_its_own_is_enough_to_know_the_client(own: bytes):
    pointer = struct.pack(">BHHHhh", 5, 1, 300, 200, 0, 0)
    assert passed(GREETING + own + pointer + KEY, []) == GREETING + struct.pack(">BBHH", 5, 1, 300, 200) + KEY


@pytest.mark.parametrize(
    ("right", "down", "button"),
    [(0, 100, 16), (0, -1, 8), (3, 0, 64), (-3, 0, 32)],
    ids=["down", "up", "right", "left"],
)
def test_a_turned_wheel_is_a_button_pressed_and_released(right: int, down: int, button: int):
    turned = struct.pack(">BHHHhh", 5, 1, 300, 200, right, down)
    pressed, released = (struct.pack(">BBHH", 5, mask, 300, 200) for mask in (button | 1, 1))
    assert passed(GREETING + ENCODINGS + turned, []) == GREETING + ENCODINGS + pressed + released


def test_what_cannot_be_read_of_it_ends_the_connection():
    with pytest.raises(BadRequestError):
        passed(GREETING + ENCODINGS + b"\x63", [])


def test_its_statistics_are_no_input_and_its_pointer_is():
    inputs: list[bool] = []
    viewer = Idle(lambda: inputs.append(True))
    viewer.sent(GREETING + ENCODINGS + bytes([178, 0, 0, 0]) + bytes([185]))
    assert not inputs
    viewer.sent(struct.pack(">BHHHhh", 5, 0, 300, 200, 0, 0))
    assert inputs
