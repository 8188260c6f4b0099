"""The time since a viewer's last input, derived from the bytes it sends (watching.py of the session's page)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import hypothesis
import pytest
import watching  # type: ignore[import-not-found]  -- of the image
from hypothesis import given
from hypothesis import strategies as st
from protocol import BadRequestError  # type: ignore[import-not-found]  -- of the image

VERSIONS = {b"RFB 003.008\n": b"\x01\x01", b"RFB 003.003\n": b"\x01"}
"""Version → the client's other bytes before its first message."""

PIXEL_FORMAT = st.sampled_from([8, 16, 32]).map(
    lambda bits: struct.pack(">BxxxBBBBHHHBBBxxx", 0, bits, 24, 0, 1, 255, 255, 255, 16, 8, 0)
)
ENCODINGS = st.lists(st.integers(-500, 500), max_size=30).map(
    lambda kinds: struct.pack(">BxH", 2, len(kinds)) + b"".join(struct.pack(">i", kind) for kind in kinds)
)
PICTURE = st.tuples(st.integers(0, 1), st.integers(0, 5000)).map(
    lambda p: struct.pack(">BBHHHH", 3, p[0], 0, 0, p[1], 9)
)
FENCE = st.binary(max_size=64).map(lambda data: struct.pack(">BxxxIB", 248, 1, len(data)) + data)
CONTINUOUS = st.just(struct.pack(">BBHHHH", 150, 1, 0, 0, 100, 100))
SIZE = st.integers(0, 4).map(lambda n: struct.pack(">BxHHBx", 251, 800, 600, n) + bytes(16 * n))
NO_INPUT = st.one_of(PIXEL_FORMAT, ENCODINGS, PICTURE, FENCE, CONTINUOUS, SIZE)

KEY = st.integers(0, 2**32 - 1).map(lambda key: struct.pack(">BBxxI", 4, 1, key))
POINTER = st.tuples(st.integers(0, 127), st.integers(0, 65535)).map(lambda p: struct.pack(">BBHH", 5, p[0], p[1], 7))
TEXT = (
    st.lists(st.integers(1, 255), max_size=300).map(bytes).map(lambda text: struct.pack(">Bxxxi", 6, len(text)) + text)
)
EXTENDED_TEXT = st.binary(min_size=4, max_size=300).map(lambda text: struct.pack(">Bxxxi", 6, -len(text)) + text)
SCAN_CODE = st.integers(0, 2**32 - 1).map(lambda key: struct.pack(">BBHII", 255, 0, 1, key, key))
INPUT = st.one_of(KEY, POINTER, TEXT, EXTENDED_TEXT, SCAN_CODE)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for length in cuts:
        yield data[at : at + length]
        at += length
    yield data[at:]


def input_alone_counts(clock: list[float], version: bytes, messages: list[tuple[bool, bytes]], cuts: list[int]) -> None:
    viewer = watching.InputMonitor()
    clock[0] += 10
    for piece in pieces(version + VERSIONS[version] + b"".join(message for _, message in messages), cuts):
        viewer.process(piece)
    assert (viewer.idle_s == 0) is any(is_input for is_input, _ in messages)


LISTS = st.lists(st.one_of(st.tuples(st.just(False), NO_INPUT), st.tuples(st.just(True), INPUT)), max_size=12)
CASES = (st.sampled_from(sorted(VERSIONS)), LISTS, st.lists(st.integers(0, 40), max_size=20))


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(*CASES)
def test_input_alone_counts_wherever_messages_are_cut(
    clock: list[float], version: bytes, messages: list[tuple[bool, bytes]], cuts: list[int]
):
    input_alone_counts(clock, version, messages, cuts)


@pytest.mark.mutant
@pytest.mark.parametrize("name", ["FIXED_BYTES", "VARIABLE_BYTES"])
def test_a_mutant_that_misjudges_a_length_is_caught(clock: list[float], monkeypatch: pytest.MonkeyPatch, name: str):
    rfb = sys.modules["rfb"]
    table = dict(getattr(rfb, name))
    table[min(table)] = 9 if name == "FIXED_BYTES" else (4, lambda head: 4 + 2 * head[3])
    monkeypatch.setattr(rfb, name, table)
    with pytest.raises((AssertionError, BadRequestError)):  # a wrong length can also make a message unreadable
        hypothesis.settings(report_multiple_bugs=False, database=None, derandomize=True, max_examples=1000)(
            given(*CASES)(lambda version, messages, cuts: input_alone_counts(clock, version, messages, cuts))
        )()


def test_after_a_message_of_an_unknown_kind_everything_counts(clock: list[float]):
    viewer = watching.InputMonitor()
    viewer.process(b"RFB 003.008\n\x01\x01" + b"\x63unknown")
    clock[0] += 10
    assert viewer.idle_s == 10
    viewer.process(b"\x03")
    assert viewer.idle_s == 0
