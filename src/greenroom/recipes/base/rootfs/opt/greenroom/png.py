"""Pictures as PNG, made fast: of the rows that have not changed since the last one, what was made then is used again.

A picture is cut into bands of rows. Each is compressed alone, so that all of them together are one stream of zlib (RFC
1950): its parts may end anywhere at a whole byte, and the checksum of the whole follows from those of the parts.
"""

import struct
import zlib
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 1
ROWS = 32
"""Of a band: the pointer or a line of text is in one or two."""
STREAM_BEGIN, STREAM_END = b"\x78\x01", b"\x03\x00"
ADLER = 65521


class Band(NamedTuple):
    """Some rows, compressed; `adler` and `size` are of what was compressed."""

    data: bytes
    adler: int
    size: int


def band(rgb: bytes, width: int) -> Band:
    """Rows of RGB, three bytes each pixel."""
    stride = 3 * width
    rows = b"".join(b"\0" + rgb[at : at + stride] for at in range(0, len(rgb), stride))  # 0: no filter
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(rows) + compressor.flush(zlib.Z_FULL_FLUSH)
    return Band(data, zlib.adler32(rows), len(rows))


def whole(width: int, height: int, bands: list[Band]) -> bytes:
    """The picture that these bands are, from top to bottom."""
    adler = 1
    for one in bands:
        adler = combined(adler, one.adler, one.size)
    stream = b"".join([STREAM_BEGIN, *(one.data for one in bands), STREAM_END, adler.to_bytes(4, "big")])
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join([SIGNATURE, _chunk(b"IHDR", head), _chunk(b"IDAT", stream), _chunk(b"IEND", b"")])


def combined(first: int, second: int, second_size: int) -> int:
    """The Adler-32 of two pieces, one after the other."""
    sum1, sum2 = first & 0xFFFF, first >> 16
    low = (sum1 + (second & 0xFFFF) - 1) % ADLER
    high = (sum2 + (second >> 16) + second_size * (sum1 - 1)) % ADLER
    return high << 16 | low


def rgb_of(bgrx: bytes) -> bytearray:
    """Pixels without their fourth byte, red first."""
    rgb = bytearray(len(bgrx) // 4 * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = bgrx[2::4], bgrx[1::4], bgrx[0::4]
    return rgb


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
