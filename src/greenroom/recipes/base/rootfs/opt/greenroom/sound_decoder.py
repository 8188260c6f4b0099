"""Plays packets of Opus from standard input, each after its length in two bytes, into the session's microphone."""

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p

import pulse
from pulse import byref, c_int, c_size_t, c_void_p

CHANNELS = 1
PACKET_BYTES = pulse.FRAMES * CHANNELS * pulse.SAMPLE_BYTES
FRAMES_MAX = 5760
"""A packet may have 120 ms, though those of the page have 20."""
PREBUFFER, TARGET = 2 * PACKET_BYTES, 3 * PACKET_BYTES
BEHIND_PACKETS = 4
"""What came in one go after the network stood still is not played late: the newest of it alone is."""
PLAYBACK = 1

simple = ctypes.CDLL("libpulse-simple.so.0")
simple_new = pulse.function(
    simple, "pa_simple_new", c_void_p, c_char_p, c_char_p, c_int, c_char_p, c_char_p,
    POINTER(pulse.SampleSpec), c_void_p, POINTER(pulse.BufferAttr), POINTER(c_int),
)  # fmt: skip
simple_write = pulse.function(simple, "pa_simple_write", c_int, c_void_p, c_void_p, c_size_t, POINTER(c_int))


def complete(received: bytearray) -> list[bytes]:
    """Take the complete packets out of what was received."""
    found = []
    while len(received) >= 2 and len(received) >= 2 + (length := int.from_bytes(received[:2], "big")):
        found.append(bytes(received[2 : 2 + length]))
        del received[: 2 + length]
    return found


def main() -> None:
    """Run until standard input ends."""
    spec = pulse.SampleSpec(pulse.S16_LE, pulse.RATE, CHANNELS)
    buffers = pulse.BufferAttr(4 * TARGET, TARGET, PREBUFFER, pulse.DEFAULT, pulse.DEFAULT)
    stream = simple_new(None, b"Greenroom", PLAYBACK, b"talk", b"A viewer", byref(spec), None, byref(buffers), None)
    decoder = pulse.decoder_create(pulse.RATE, CHANNELS, byref(c_int()))
    if not stream or not decoder:
        sys.exit("the session's microphone could not be opened")
    samples, received = ctypes.create_string_buffer(FRAMES_MAX * PACKET_BYTES // pulse.FRAMES), bytearray()
    while data := os.read(0, 1 << 16):
        received += data
        for packet in complete(received)[-BEHIND_PACKETS:]:
            frames = pulse.decode(decoder, packet, len(packet), samples, FRAMES_MAX, 0)
            if frames > 0 and simple_write(stream, samples, frames * CHANNELS * pulse.SAMPLE_BYTES, None) < 0:
                sys.exit("the session's microphone is gone")


main()
