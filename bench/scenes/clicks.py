"""Inside a session: play clicks, or find those in its microphone; each is a line with its time (ms since 1970).

clicks.py play COUNT    the time is that at which the samples are given to the sound server
clicks.py find          the time is that at which a recording program has them
"""

import array
import ctypes
import itertools
import subprocess
import sys
import time

RATE = 48000
BLOCK = RATE // 100
LOUD = 0.1 * 32768
QUIET_S = 0.3


def play(count: int) -> None:
    """A faint hum without end, so that sound is sent all the time, and in it clicks of 5 ms."""
    pulse = ctypes.CDLL("libpulse-simple.so.0")
    pulse.pa_simple_new.restype = ctypes.c_void_p
    spec = (ctypes.c_uint32 * 3)(3, RATE, 2)
    buffers = (ctypes.c_uint32 * 5)(-1 & 0xFFFFFFFF, BLOCK * 4 * 2, BLOCK * 4, -1 & 0xFFFFFFFF, -1 & 0xFFFFFFFF)
    stream = pulse.pa_simple_new(None, b"clicks", 1, None, b"clicks", spec, None, buffers, None)
    hum = array.array("h", [60 if n % 96 < 48 else -60 for n in range(BLOCK) for _ in range(2)]).tobytes()
    click = array.array("h", [20000 if n % 48 < 24 else -20000 for n in range(BLOCK) for _ in range(2)]).tobytes()
    for number, blocks in zip(range(count), itertools.cycle((71, 97, 113, 89, 127)), strict=False):
        for _ in range(blocks):  # clicks at no regular distance, which could fall in step with packets
            pulse.pa_simple_write(ctypes.c_void_p(stream), hum, len(hum), None)
        if number:  # the first belongs to the start
            print(time.time() * 1000, flush=True)
        pulse.pa_simple_write(ctypes.c_void_p(stream), click, len(click), None)


def find() -> None:
    """Until it is ended."""
    command = ["parec", "--device=microphone", f"--rate={RATE}", "--channels=1", "--format=s16le", "--latency-msec=10"]
    recording = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    last = 0.0
    assert recording.stdout is not None
    while block := recording.stdout.read(BLOCK):
        now = time.time()
        if max(map(abs, array.array("h", block[: len(block) // 2 * 2])), default=0) > LOUD:
            if now - last > QUIET_S:
                print(now * 1000, flush=True)
            last = now


play(int(sys.argv[2])) if sys.argv[1] == "play" else find()
