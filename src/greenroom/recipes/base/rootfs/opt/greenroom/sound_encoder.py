"""Writes what the session's programs play to standard output: packets of Opus, each after its length in two bytes.

Its stream does not keep PulseAudio awake: while nothing plays, nothing is computed here or there. Silence is not written.
"""

import ctypes
import os
import sys

import pulse
from pulse import byref, c_int, c_int32, c_size_t, c_void_p

CHANNELS = 2
PACKET_BYTES = pulse.FRAMES * CHANNELS * pulse.SAMPLE_BYTES
BITS_PER_S = 96_000
SILENT_PACKETS = 3
"""So many are encoded still: the encoder is 6 ms late, and a decoder fades out."""

AUDIO = 2049
SET_BITRATE = 4002
READY, FAILED, TERMINATED = 4, 5, 6
"""States of a context."""
STREAM_FAILED, STREAM_TERMINATED = 3, 4
NO_AUTOSPAWN = 1
ADJUST_LATENCY, LETS_SUSPEND = 0x2000, 0x8000


class Encoder:
    """From samples to packets."""

    def __init__(self) -> None:
        self._opus = pulse.encoder_create(pulse.RATE, CHANNELS, AUDIO, byref(c_int()))
        pulse.encoder_ctl(c_void_p(self._opus), c_int(SET_BITRATE), c_int32(BITS_PER_S))
        self._packet = ctypes.create_string_buffer(4000)
        self._samples = bytearray()
        self._silent = 0

    def take(self, samples: bytes) -> bytes:
        """The packets that these samples complete."""
        self._samples += samples
        made = b""
        while len(self._samples) >= PACKET_BYTES:
            now = bytes(self._samples[:PACKET_BYTES])
            del self._samples[:PACKET_BYTES]
            self._silent = 0 if any(now) else self._silent + 1
            if self._silent <= SILENT_PACKETS:
                length = pulse.encode(self._opus, now, pulse.FRAMES, self._packet, len(self._packet))
                made += length.to_bytes(2, "big") + self._packet.raw[:length]
        return made


def main() -> None:
    """Run until the other end of standard output is closed, or PulseAudio ends."""
    encoder, loop = Encoder(), pulse.mainloop_new()
    data, length = c_void_p(), c_size_t()

    def read(stream: int, _length: int, _: object) -> None:
        while True:
            pulse.stream_peek(stream, byref(data), byref(length))
            if not length.value:
                return
            samples = ctypes.string_at(data.value, length.value) if data.value else bytes(length.value)
            pulse.stream_drop(stream)
            if packets := encoder.take(samples):
                try:
                    os.write(1, packets)
                except BrokenPipeError:
                    pulse.mainloop_quit(loop, 0)

    def stream_changed(stream: int, _: object) -> None:
        if pulse.stream_get_state(stream) in (STREAM_FAILED, STREAM_TERMINATED):
            pulse.mainloop_quit(loop, 1)

    def context_changed(context: int, _: object) -> None:
        state = pulse.context_get_state(context)
        if state in (FAILED, TERMINATED):
            pulse.mainloop_quit(loop, 1)
        elif state == READY:
            spec = pulse.SampleSpec(pulse.S16_LE, pulse.RATE, CHANNELS)
            stream = pulse.stream_new(context, b"Those who listen", byref(spec), None)
            pulse.stream_on_read(stream, on_read, None)
            pulse.stream_on_state(stream, on_stream, None)
            buffers = pulse.BufferAttr(*[pulse.DEFAULT] * 4, PACKET_BYTES)
            pulse.stream_connect_record(stream, b"speakers.monitor", byref(buffers), ADJUST_LATENCY | LETS_SUSPEND)

    on_read, on_stream = pulse.DataCallback(read), pulse.StateCallback(stream_changed)
    on_context = pulse.StateCallback(context_changed)
    context = pulse.context_new(pulse.mainloop_get_api(loop), b"Greenroom")
    pulse.context_on_state(context, on_context, None)
    if pulse.context_connect(context, None, NO_AUTOSPAWN, None) < 0:
        sys.exit(1)
    result = c_int()
    pulse.mainloop_run(loop, byref(result))
    sys.exit(result.value)


main()
