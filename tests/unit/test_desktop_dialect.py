"""The conversion of messages of KasmVNC's client for the X server, which does not support its dialect (rfb.py)."""

from __future__ import annotations

import struct
import sys

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import BadRequestError  # type: ignore[import-not-found]  -- of the image
from tests.unit.test_desktop_idle import INPUT, NO_INPUT, pieces
from watching import InputMonitor  # type: ignore[import-not-found]

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
WHEELS = st.tuples(st.integers(0, 4000), st.integers(0, 4000), st.sampled_from([(0, 120, 16), (0, -3, 8)])).map(
    lambda p: (
        struct.pack(">BHHHhh", 5, 0, *p[:2], *p[2][:2]),
        struct.pack(">BBHHBBHH", 5, p[2][2], *p[:2], 5, 0, *p[:2]),
    )
)
KEYS = st.integers(0, 2**32 - 1).map(lambda key: (struct.pack(">BBxxI", 4, 1, key),) * 2)
SAID = st.lists(st.one_of(OWN.map(lambda message: (message, b"")), POINTERS, KEYS), max_size=12)
CUTS = st.lists(st.integers(0, 40), max_size=20)


STANDARD = st.one_of(INPUT, NO_INPUT).filter(lambda message: message[0] != 5).map(lambda message: (message, message))
UNANNOUNCED = st.lists(st.one_of(POINTERS, WHEELS, STANDARD), min_size=1, max_size=12)
LAST = (struct.pack(">BHHHhh", 5, 1, 300, 200, 0, 0) + KEY, struct.pack(">BBHH", 5, 1, 300, 200) + KEY)
"""After these two messages the dialect of the earlier messages is certain."""


def passed(data: bytes, cuts: list[int]) -> bytes:
    viewer = InputMonitor()
    return b"".join(viewer.process(piece) for piece in pieces(data, cuts))


@given(said=SAID, cuts=CUTS)
def test_messages_of_kasmvnc_are_converted_to_standard_messages(said: list[tuple[bytes, bytes]], cuts: list[int]):
    sent = GREETING + ENCODINGS + b"".join(own for own, _ in said)
    assert passed(sent, cuts) == GREETING + ENCODINGS + b"".join(standard for _, standard in said)


@given(said=st.lists(st.one_of(INPUT, NO_INPUT), max_size=12), cuts=CUTS)
def test_messages_of_other_clients_are_passed_on_unchanged(said: list[bytes], cuts: list[int]):
    sent = GREETING + b"".join(said) + LAST[1]
    assert passed(sent, cuts) == sent


@given(own=OWN)
def test_one_message_of_kasmvnc_identifies_its_client(own: bytes):
    pointer = struct.pack(">BHHHhh", 5, 1, 300, 200, 0, 0)
    assert passed(GREETING + own + pointer + KEY, []) == GREETING + struct.pack(">BBHH", 5, 1, 300, 200) + KEY


@pytest.mark.parametrize(
    ("right", "down", "button"),
    [(0, 100, 16), (0, -1, 8), (3, 0, 64), (-3, 0, 32)],
    ids=["down", "up", "right", "left"],
)
def test_a_wheel_event_of_kasmvnc_becomes_a_button_press_and_release(right: int, down: int, button: int):
    turned = struct.pack(">BHHHhh", 5, 1, 300, 200, right, down)
    pressed, released = (struct.pack(">BBHH", 5, mask, 300, 200) for mask in (button | 1, 1))
    assert passed(GREETING + ENCODINGS + turned, []) == GREETING + ENCODINGS + pressed + released


def test_an_unknown_message_of_kasmvnc_ends_the_connection():
    with pytest.raises(BadRequestError):
        passed(GREETING + ENCODINGS + b"\x63", [])


def test_statistics_of_kasmvnc_are_not_input_but_its_pointer_events_are():
    inputs: list[bool] = []
    viewer = InputMonitor(lambda: inputs.append(True))
    viewer.process(GREETING + ENCODINGS + bytes([178, 0, 0, 0]) + bytes([185]))
    assert not inputs
    viewer.process(struct.pack(">BHHHhh", 5, 0, 300, 200, 0, 0))
    assert inputs


def is_known_by_its_pointer(said: list[tuple[bytes, bytes]], frames: list[int]) -> None:
    """`frames`: the number of messages in each frame."""
    messages = [*said, LAST]
    viewer = InputMonitor()
    got = bytearray(viewer.process(GREETING))
    expected = GREETING + b"".join(standard for _, standard in messages)
    while messages:
        number = frames.pop() if frames else 1
        got += viewer.process(b"".join(own for own, _ in messages[:number]))
        assert expected.startswith(got)
        del messages[:number]
    assert got == expected


@given(said=UNANNOUNCED, frames=st.lists(st.integers(1, 4), max_size=12))
def test_pointer_events_are_converted_if_the_client_sends_no_encodings(
    said: list[tuple[bytes, bytes]], frames: list[int]
):
    is_known_by_its_pointer(said, frames)


@pytest.mark.mutant
@pytest.mark.parametrize("name", ["KASM_POINTER_BYTES", "ALLOWED"])
def test_a_mutant_that_misreads_a_dialect_is_caught(monkeypatch: pytest.MonkeyPatch, name: str):
    rfb = sys.modules["rfb"]
    monkeypatch.setattr(rfb, name, 10 if name == "KASM_POINTER_BYTES" else {})
    with pytest.raises((AssertionError, BadRequestError)):
        hypothesis.settings(report_multiple_bugs=False, database=None, derandomize=True, max_examples=1000)(
            given(said=UNANNOUNCED)(lambda said: is_known_by_its_pointer(said, []))
        )()


def test_a_standard_pointer_event_does_not_wait_for_another_message():
    viewer = InputMonitor()
    viewer.process(GREETING)
    for buttons in (1, 0):
        event = struct.pack(">BBHH", 5, buttons, 300, 200)
        assert viewer.process(event) == event


@pytest.mark.parametrize(("y", "waits"), [(200, False), (256 + 5, True)], ids=["one reading", "two readings"])
def test_a_click_waits_only_while_its_bytes_may_be_standard(y: int, waits: bool):
    viewer = InputMonitor()
    viewer.process(GREETING)
    pressed, released = (struct.pack(">BHHHhh", 5, mask, 300, y, 0, 0) for mask in (1, 0))
    expected = [struct.pack(">BBHH", 5, mask, 300, y) for mask in (1, 0)]
    first = viewer.process(pressed)
    assert (first == b"") is waits
    assert first + viewer.process(released) == b"".join(expected)


BOTH = [
    bytes([5, 0, 0, 5, 0, 0, 4, 0, 0, 0, 0]),
    bytes([5, 0, 0, 5, 0, 0, 0, 0, 0, 5, 0]),
    bytes([5, 0, 0, 0, 5, 0, 0, 0, 0, 0, 5]),
    bytes([5, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]),
]
"""Pointer events of KasmVNC's client that are standard messages as well: pointer events and one key."""


def test_bytes_that_both_dialects_allow_are_read_once(monkeypatch: pytest.MonkeyPatch):
    rfb = sys.modules["rfb"]
    read_bytes: list[int] = []
    parsed_as = rfb.parsed_as

    def counted(data: memoryview, *, is_kasm: bool) -> tuple[int, int]:
        read_bytes.append(len(data))
        return parsed_as(data, is_kasm=is_kasm)

    monkeypatch.setattr(rfb, "parsed_as", counted)
    viewer = InputMonitor()
    viewer.process(GREETING)
    assert not any(viewer.process(event) for event in BOTH * 100)
    assert sum(read_bytes) < 3 * 100 * sum(map(len, BOTH))


def test_a_viewer_with_an_unknown_dialect_counts_as_standard():
    viewer = InputMonitor()
    viewer.process(GREETING)
    compared_bytes: int = sys.modules["rfb"].COMPARED_BYTES
    said = b"".join(BOTH) * (1 + compared_bytes // sum(map(len, BOTH)))
    assert viewer.process(said) == said
    assert viewer.process(BOTH[0][:6]) == BOTH[0][:6]
