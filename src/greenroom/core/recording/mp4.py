"""Fragmented MP4 (ISO/IEC 14496-12): a segment of a session video as a file that browsers play.

Each file contains one track of H.264 with its description and one fragment, so that a player can append files in any
order. Times are in milliseconds, from the start of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from greenroom.core.errors import Invalid
from greenroom.core.recording.session_video import INDEPENDENT, Cut

TIMESCALE: Final = 1000
_START_CODE: Final = re.compile(rb"\x00\x00\x01")
_SLICES: Final = (1, 5)
_SPS, _PPS = 7, 8
"""Types of the units (NAL) of H.264."""
_MAX_PARAMETER_BYTES: Final = 0xFFFF
_INDEPENDENT_SAMPLE, _DEPENDENT_SAMPLE = 0x02000000, 0x01010000
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A picture in the form of MP4: the length of each unit before the unit."""

    data: bytes
    duration_ms: int
    is_independent: bool


def mp4_of(cut: Cut) -> bytes:
    """Return the MP4 file of a segment. Raises Invalid: its first picture has no description of the video."""
    first = cut.frames[0]
    parameters = {unit[0] & 31: unit for unit in _units(first.data) if unit[0] & 31 in (_SPS, _PPS)}
    if len(parameters) != 2 or len(parameters[_SPS]) < 4 or max(map(len, parameters.values())) > _MAX_PARAMETER_BYTES:
        raise Invalid("The recorder of the session sent a picture without a description of the video.")
    samples = [
        _Sample(
            b"".join(struct.pack(">I", len(unit)) + unit for unit in _units(frame.data) if unit[0] & 31 in _SLICES),
            duration_ms,
            frame.kind == INDEPENDENT,
        )
        for frame, duration_ms in zip(cut.frames, cut.durations_ms, strict=True)
    ]
    file_type = _box(b"ftyp", b"iso5" + struct.pack(">I", 512) + b"iso5iso6mp41")
    return file_type + _movie(first.width, first.height, parameters[_SPS], parameters[_PPS]) + _fragment(samples)


def _units(data: bytes) -> Iterable[bytes]:
    """Yield the units of data in Annex B form."""
    ends = [*(found.start() for found in _START_CODE.finditer(data)), len(data)]
    for begin, end in pairwise(ends):
        if unit := data[begin + 3 : end].rstrip(b"\0"):
            yield unit


def _box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + name + body


def _full_box(name: bytes, flags: int, *content: bytes) -> bytes:
    """Return a box with version 0 and flags."""
    return _box(name, struct.pack(">I", flags), *content)


def _movie(width: int, height: int, sps: bytes, pps: bytes) -> bytes:
    """Return the description of the file: one track of video, whose pictures follow in fragments."""
    header = _full_box(
        b"mvhd",
        0,
        struct.pack(">4IIH10x", 0, 0, TIMESCALE, 0, 0x10000, 0x100),
        _MATRIX,
        bytes(24),
        struct.pack(">I", 2),
    )
    track_header = _full_box(
        b"tkhd",
        3,
        struct.pack(">5I8x4H", 0, 0, 1, 0, 0, 0, 0, 0, 0),
        _MATRIX,
        struct.pack(">2I", width << 16, height << 16),
    )
    media_header = _full_box(b"mdhd", 0, struct.pack(">4I2H", 0, 0, TIMESCALE, 0, 0x55C4, 0))
    handler = _full_box(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"video\0")
    data_information = _box(b"dinf", _full_box(b"dref", 0, struct.pack(">I", 1), _full_box(b"url ", 1)))
    empty_tables = [
        _full_box(b"stts", 0, bytes(4)),
        _full_box(b"stsc", 0, bytes(4)),
        _full_box(b"stsz", 0, bytes(8)),
        _full_box(b"stco", 0, bytes(4)),
    ]
    description = _full_box(b"stsd", 0, struct.pack(">I", 1), _codec(width, height, sps, pps))
    table = _box(b"stbl", description, *empty_tables)
    media_information = _box(b"minf", _full_box(b"vmhd", 1, bytes(8)), data_information, table)
    track = _box(b"trak", track_header, _box(b"mdia", media_header, handler, media_information))
    extends = _box(b"mvex", _full_box(b"trex", 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    return _box(b"moov", header, track, extends)


def _codec(width: int, height: int, sps: bytes, pps: bytes) -> bytes:
    configuration = _box(
        b"avcC",
        bytes([1, sps[1], sps[2], sps[3], 0xFF, 0xE1]),
        struct.pack(">H", len(sps)) + sps,
        bytes([1]) + struct.pack(">H", len(pps)) + pps,
    )
    return _box(
        b"avc1",
        struct.pack(">6xH16x2H2I4xH32xHH", 1, width, height, 0x480000, 0x480000, 1, 0x18, 0xFFFF),
        configuration,
    )


def _fragment(samples: Sequence[_Sample]) -> bytes:
    """Return the box of the fragment, and the box with its pictures."""
    entries = b"".join(
        struct.pack(
            ">3I",
            sample.duration_ms,
            len(sample.data),
            _INDEPENDENT_SAMPLE if sample.is_independent else _DEPENDENT_SAMPLE,
        )
        for sample in samples
    )

    def with_offset(offset: int) -> bytes:
        run = _full_box(b"trun", 0x000701, struct.pack(">Ii", len(samples), offset), entries)
        track_header = _full_box(b"tfhd", 0x020000, struct.pack(">I", 1))
        decode_time = _full_box(b"tfdt", 0, bytes(4))
        return _box(b"moof", _full_box(b"mfhd", 0, struct.pack(">I", 1)), _box(b"traf", track_header, decode_time, run))

    return with_offset(len(with_offset(0)) + 8) + _box(b"mdat", *(sample.data for sample in samples))
