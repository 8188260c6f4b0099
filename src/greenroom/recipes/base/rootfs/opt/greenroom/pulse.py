"""As much of libpulse and libopus as the helpers of sound.py need."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_int32, c_size_t, c_uint8, c_uint32, c_void_p

pulse = ctypes.CDLL("libpulse.so.0")
opus = ctypes.CDLL("libopus.so.0")

RATE = 48000
FRAMES = RATE // 50
"""Of a packet: 20 ms."""
SAMPLE_BYTES = 2
S16_LE = 3
DEFAULT = 0xFFFFFFFF

StateCallback = CFUNCTYPE(None, c_void_p, c_void_p)
DataCallback = CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)


class SampleSpec(ctypes.Structure):
    """pa_sample_spec."""

    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class BufferAttr(ctypes.Structure):
    """pa_buffer_attr, in bytes; DEFAULT = the server's choice."""

    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


def function(library: ctypes.CDLL, name: str, result: object, *arguments: object):
    """A function of a library with its types."""
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


mainloop_new = function(pulse, "pa_mainloop_new", c_void_p)
mainloop_get_api = function(pulse, "pa_mainloop_get_api", c_void_p, c_void_p)
mainloop_run = function(pulse, "pa_mainloop_run", c_int, c_void_p, POINTER(c_int))
mainloop_quit = function(pulse, "pa_mainloop_quit", None, c_void_p, c_int)
context_new = function(pulse, "pa_context_new", c_void_p, c_void_p, c_char_p)
context_connect = function(pulse, "pa_context_connect", c_int, c_void_p, c_char_p, c_int, c_void_p)
context_get_state = function(pulse, "pa_context_get_state", c_int, c_void_p)
context_on_state = function(pulse, "pa_context_set_state_callback", None, c_void_p, StateCallback, c_void_p)
stream_new = function(pulse, "pa_stream_new", c_void_p, c_void_p, c_char_p, POINTER(SampleSpec), c_void_p)
stream_get_state = function(pulse, "pa_stream_get_state", c_int, c_void_p)
stream_on_state = function(pulse, "pa_stream_set_state_callback", None, c_void_p, StateCallback, c_void_p)
stream_on_read = function(pulse, "pa_stream_set_read_callback", None, c_void_p, DataCallback, c_void_p)
stream_connect_record = function(
    pulse, "pa_stream_connect_record", c_int, c_void_p, c_char_p, POINTER(BufferAttr), c_int
)
stream_peek = function(pulse, "pa_stream_peek", c_int, c_void_p, POINTER(c_void_p), POINTER(c_size_t))
stream_drop = function(pulse, "pa_stream_drop", c_int, c_void_p)

encoder_create = function(opus, "opus_encoder_create", c_void_p, c_int32, c_int, c_int, POINTER(c_int))
encode = function(opus, "opus_encode", c_int32, c_void_p, c_char_p, c_int, c_void_p, c_int32)
encoder_ctl = opus.opus_encoder_ctl
"""Takes any number of arguments: each is wrapped by its caller."""
decoder_create = function(opus, "opus_decoder_create", c_void_p, c_int32, c_int, POINTER(c_int))
decode = function(opus, "opus_decode", c_int, c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int)

__all__ = ["byref", "c_int", "c_int32", "c_size_t", "c_void_p"]
