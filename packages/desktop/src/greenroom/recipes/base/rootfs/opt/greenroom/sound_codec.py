"""Encodes and decodes sound for sound.py. In page.py, libpulse and libopus would use memory all the time.

    sound_codec.py encode    writes the sound of the session's programs to standard output
    sound_codec.py decode    plays standard input into the session's microphone

The data are packets of Opus, each preceded by its length in two bytes. Silence is not written. The stream of `encode`
lets PulseAudio suspend its output, so that no process uses the processor while nothing plays.
"""

import ctypes
import os
import sys
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_void_p

pulse = ctypes.CDLL("libpulse.so.0")
opus = ctypes.CDLL("libopus.so.0")

RATE = 48000
FRAMES = RATE // 50
"""The number of frames in a packet of 20 ms. A frame consists of one sample for each channel."""
SAMPLE_BYTES = 2
S16_LE = 3
"""A sample format of PulseAudio: signed 16-bit integers."""
DEFAULT = 0xFFFFFFFF
PLAYED_CHANNELS = 2
PLAYED_BYTES = FRAMES * PLAYED_CHANNELS * SAMPLE_BYTES
"""The size of 20 ms of the programs' sound."""
BITS_PER_S = 96_000
SILENT_PACKETS = 3
"""The number of silent packets that are still sent at the end of sound: the encoder is 6 ms late, and a decoder fades
out."""

OPUS_APPLICATION_AUDIO = 2049
OPUS_SET_BITRATE = 4002
READY, FAILED, TERMINATED = 4, 5, 6
"""States of a context of PulseAudio."""
STREAM_FAILED, STREAM_TERMINATED = 3, 4
NO_AUTOSPAWN = 1
"""The flag of a context that must not start PulseAudio."""
ADJUST_LATENCY, LETS_SUSPEND = 0x2000, 0x8000
"""Flags of a stream."""
MICROPHONE_CHANNELS = 1
MICROPHONE_BYTES = FRAMES * MICROPHONE_CHANNELS * SAMPLE_BYTES
FRAMES_MAX = 5760
"""The maximum number of frames in a packet of Opus, 120 ms; the packets of viewers have 20 ms."""
PREBUFFER, TARGET_BUFFER = 2 * MICROPHONE_BYTES, 3 * MICROPHONE_BYTES
MAX_PACKETS_AT_ONCE = 4
"""If more packets arrive together after a network delay, only this number of the newest packets is played."""
PLAYBACK = 1
"""A direction of a stream."""

StateCallback = CFUNCTYPE(None, c_void_p, c_void_p)
DataCallback = CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)


class SampleSpec(ctypes.Structure):
    """The struct pa_sample_spec."""

    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class BufferAttr(ctypes.Structure):
    """The struct pa_buffer_attr with sizes in bytes; for DEFAULT, PulseAudio chooses the size."""

    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


def c_function(library: ctypes.CDLL, name: str, result: object, *arguments: object):
    """The C function `name` of a library, with the types of its result and its arguments."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


mainloop_new = c_function(pulse, "pa_mainloop_new", c_void_p)
mainloop_get_api = c_function(pulse, "pa_mainloop_get_api", c_void_p, c_void_p)
mainloop_run = c_function(pulse, "pa_mainloop_run", c_int, c_void_p, POINTER(c_int))
mainloop_quit = c_function(pulse, "pa_mainloop_quit", None, c_void_p, c_int)
context_new = c_function(pulse, "pa_context_new", c_void_p, c_void_p, c_char_p)
context_connect = c_function(pulse, "pa_context_connect", c_int, c_void_p, c_char_p, c_int, c_void_p)
context_get_state = c_function(pulse, "pa_context_get_state", c_int, c_void_p)
context_on_state = c_function(pulse, "pa_context_set_state_callback", None, c_void_p, StateCallback, c_void_p)
stream_new = c_function(pulse, "pa_stream_new", c_void_p, c_void_p, c_char_p, POINTER(SampleSpec), c_void_p)
stream_get_state = c_function(pulse, "pa_stream_get_state", c_int, c_void_p)
stream_on_state = c_function(pulse, "pa_stream_set_state_callback", None, c_void_p, StateCallback, c_void_p)
stream_on_read = c_function(pulse, "pa_stream_set_read_callback", None, c_void_p, DataCallback, c_void_p)
stream_connect_record = c_function(
    pulse, "pa_stream_connect_record", c_int, c_void_p, c_char_p, POINTER(BufferAttr), c_int
)
stream_peek = c_function(pulse, "pa_stream_peek", c_int, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
stream_drop = c_function(pulse, "pa_stream_drop", c_int, c_void_p)

encoder_create = c_function(opus, "opus_encoder_create", c_void_p, c_int32, c_int, c_int, POINTER(c_int))
encode = c_function(opus, "opus_encode", c_int32, c_void_p, c_char_p, c_int, c_void_p, c_int32)
encoder_ctl = opus.opus_encoder_ctl
"""A function with a variable number of arguments: callers convert each argument to its C type."""
decoder_create = c_function(opus, "opus_decoder_create", c_void_p, c_int32, c_int, POINTER(c_int))
decode = c_function(opus, "opus_decode", c_int, c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int)


class Encoder:
    """Encodes samples as packets of Opus."""

    def __init__(self) -> None:
        self._opus = encoder_create(RATE, PLAYED_CHANNELS, OPUS_APPLICATION_AUDIO, byref(c_int()))
        encoder_ctl(c_void_p(self._opus), c_int(OPUS_SET_BITRATE), c_int32(BITS_PER_S))
        self._packet = ctypes.create_string_buffer(4000)
        self._samples = bytearray()
        self._silent_packets = 0

    def take(self, samples: bytes) -> bytes:
        """Add samples. Return the packets that are complete, each preceded by its length."""
        self._samples += samples
        packets = b""
        while len(self._samples) >= PLAYED_BYTES:
            packet_samples = bytes(self._samples[:PLAYED_BYTES])
            del self._samples[:PLAYED_BYTES]
            self._silent_packets = 0 if any(packet_samples) else self._silent_packets + 1
            if self._silent_packets <= SILENT_PACKETS:
                length = encode(self._opus, packet_samples, FRAMES, self._packet, len(self._packet))
                packets += length.to_bytes(2, "big") + self._packet.raw[:length]
        return packets


def encode_sound() -> None:
    """Write the sound of the session's programs until standard output is closed or PulseAudio ends."""
    encoder, loop = Encoder(), mainloop_new()
    data, length = c_void_p(), c_size_t()

    def read(stream: int, _length: int, _: object) -> None:
        while True:
            stream_peek(stream, byref(data), byref(length))
            if not length.value:
                return
            samples = ctypes.string_at(data.value, length.value) if data.value else bytes(length.value)
            stream_drop(stream)
            if packets := encoder.take(samples):
                try:
                    os.write(1, packets)
                except BrokenPipeError:
                    mainloop_quit(loop, 0)

    def stream_changed(stream: int, _: object) -> None:
        if stream_get_state(stream) in (STREAM_FAILED, STREAM_TERMINATED):
            mainloop_quit(loop, 1)

    def context_changed(context: int, _: object) -> None:
        state = context_get_state(context)
        if state in (FAILED, TERMINATED):
            mainloop_quit(loop, 1)
        elif state == READY:
            spec = SampleSpec(S16_LE, RATE, PLAYED_CHANNELS)
            stream = stream_new(context, b"Those who listen", byref(spec), None)
            stream_on_read(stream, on_read, None)
            stream_on_state(stream, on_stream, None)
            buffers = BufferAttr(*[DEFAULT] * 4, PLAYED_BYTES)
            stream_connect_record(stream, b"speakers.monitor", byref(buffers), ADJUST_LATENCY | LETS_SUSPEND)

    on_read, on_stream = DataCallback(read), StateCallback(stream_changed)
    on_context = StateCallback(context_changed)
    context = context_new(mainloop_get_api(loop), b"Greenroom")
    context_on_state(context, on_context, None)
    if context_connect(context, None, NO_AUTOSPAWN, None) < 0:
        sys.exit(1)
    result = c_int()
    mainloop_run(loop, byref(result))
    sys.exit(result.value)


def remove_complete_packets(received: bytearray) -> list[bytes]:
    """Remove the complete packets from the received data and return them."""
    packets = []
    while len(received) >= 2 and len(received) >= 2 + (length := int.from_bytes(received[:2], "big")):
        packets.append(bytes(received[2 : 2 + length]))
        del received[: 2 + length]
    return packets


def decode_to_microphone() -> None:
    """Play packets into the session's microphone until standard input ends."""
    simple = ctypes.CDLL("libpulse-simple.so.0")
    simple_new = c_function(
        simple, "pa_simple_new", c_void_p, c_char_p, c_char_p, c_int, c_char_p, c_char_p,
        POINTER(SampleSpec), c_void_p, POINTER(BufferAttr), POINTER(c_int),
    )  # fmt: skip
    simple_write = c_function(simple, "pa_simple_write", c_int, c_void_p, c_void_p, c_size_t, POINTER(c_int))
    spec = SampleSpec(S16_LE, RATE, MICROPHONE_CHANNELS)
    buffers = BufferAttr(4 * TARGET_BUFFER, TARGET_BUFFER, PREBUFFER, DEFAULT, DEFAULT)
    stream = simple_new(None, b"Greenroom", PLAYBACK, b"talk", b"A viewer", byref(spec), None, byref(buffers), None)
    decoder = decoder_create(RATE, MICROPHONE_CHANNELS, byref(c_int()))
    if not stream or not decoder:
        sys.exit("the session's microphone could not be opened")
    samples, received = ctypes.create_string_buffer(FRAMES_MAX * MICROPHONE_BYTES // FRAMES), bytearray()
    while data := os.read(0, 1 << 16):
        received += data
        for packet in remove_complete_packets(received)[-MAX_PACKETS_AT_ONCE:]:
            frames = decode(decoder, packet, len(packet), samples, FRAMES_MAX, 0)
            if frames > 0 and simple_write(stream, samples, frames * MICROPHONE_CHANNELS * SAMPLE_BYTES, None) < 0:
                sys.exit("the session's microphone is no longer available")


{"encode": encode_sound, "decode": decode_to_microphone}[sys.argv[1]]()
