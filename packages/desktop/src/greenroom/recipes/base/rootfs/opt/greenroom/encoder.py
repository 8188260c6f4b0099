"""Encodes the screen as H.264 with the library pixelflux. video.py runs this program while there are viewers.

    encoder.py FRAMES_PER_S     reads requests from standard input, writes stripes of the screen to standard output

Each request is one byte:
    n      send the next frame that contains a change
    k      send a whole picture
    0–9    set the quality
    + -    draw the pointer into the picture, or not: each viewer's browser draws only the pointer of this viewer
    r w    the screen is at rest, so capture it less often; the screen is not at rest

A stripe consists of its length in 4 bytes, a head of pixelflux, and H.264 in Annex B form. The process ends when its
standard input ends.

No frame is sent before `n`. If frames have to wait, the frame rate is lowered, so that a slow viewer gets fewer frames
instead of old frames.
"""

import os
import struct
import sys
import threading
import time

sys.path.insert(0, "/opt/greenroom/pixelflux")
import pixelflux

STRIPES = os.dup(1)
os.dup2(2, 1)  # pixelflux writes messages to standard output, which must not be among the stripes

MIN_FRAMES_PER_S = 5.0
REST_FRAMES_PER_S = 15.0
RATE_CHECK_S = 0.5
MAX_WAIT_S = 0.2
"""If frames wait for longer than this during `RATE_CHECK_S`, they are captured faster than they are read."""
CRF_OF_QUALITY_0, CRF_STEP = 41, 2.4
"""The constant rate factor (CRF) of quality 0, and its decrease with each step of quality."""


class Encoder:
    """Captures the screen of DISPLAY and writes its stripes."""

    def __init__(self, frames_per_s: float) -> None:
        self.max_frames_per_s = self.frames_per_s = frames_per_s
        self.frame_permits = threading.Semaphore(0)
        self.frame_id = -1
        self.waited_s = 0.0
        self.rate_checked_s = time.monotonic()
        self.capture = pixelflux.ScreenCapture()
        self.settings = settings(frames_per_s)
        self.capture.start_capture(self.stripe, self.settings)

    def stripe(self, stripe: pixelflux.StripeFrame) -> None:
        """Write a stripe. The thread of the capture calls this method, and waits here until the next frame may be
        sent."""
        if len(stripe) == 0:
            return
        if stripe.frame_id != self.frame_id:
            began = time.monotonic()
            self.frame_permits.acquire()
            self.waited_s += time.monotonic() - began
            self.frame_id = stripe.frame_id
            self.adjust_rate()
        os.write(STRIPES, struct.pack(">I", len(stripe)) + bytes(stripe))

    def adjust_rate(self) -> None:
        """Lower the frame rate if frames have waited, otherwise raise it up to the maximum."""
        now = time.monotonic()
        if now - self.rate_checked_s < RATE_CHECK_S:
            return
        waits = self.waited_s > MAX_WAIT_S
        new_rate = max(MIN_FRAMES_PER_S, self.frames_per_s * 0.7) if waits else min(self.max_frames_per_s, self.frames_per_s * 1.2)
        if new_rate != self.frames_per_s:
            self.frames_per_s = new_rate
            self.capture.update_framerate(new_rate)
        self.waited_s, self.rate_checked_s = 0.0, now

    def execute(self, request: bytes) -> None:
        """Execute a request, one byte of standard input."""
        if request == b"n":
            self.frame_permits.release()
        elif request == b"k":
            self.capture.request_idr_frame()
        elif request.isdigit():
            self.settings.video_crf = round(CRF_OF_QUALITY_0 - CRF_STEP * int(request))
            self.capture.update_tunables(self.settings)
        elif request in b"rw":
            self.capture.update_framerate(REST_FRAMES_PER_S if request == b"r" else self.frames_per_s)
        elif request in b"+-":
            self.settings.capture_cursor = request == b"+"
            self.capture.update_tunables(self.settings)


def settings(frames_per_s: float) -> pixelflux.CaptureSettings:
    """The settings of the capture: only changed stripes, at constant quality."""
    capture_settings = pixelflux.CaptureSettings()
    capture_settings.capture_width = capture_settings.capture_height = 64  # until pixelflux has determined the size of the screen
    capture_settings.auto_adjust_screen_capture_size = True
    capture_settings.capture_cursor = False
    capture_settings.target_fps = frames_per_s
    capture_settings.codec = "h264"
    capture_settings.use_cpu, capture_settings.use_wayland = True, False
    capture_settings.video_fullframe = capture_settings.video_streaming_mode = capture_settings.video_cbr_mode = False
    capture_settings.video_crf = 26
    return capture_settings


def main() -> None:
    """Encode until standard input ends."""
    encoder = Encoder(float(sys.argv[1]))
    while request := os.read(0, 1):
        encoder.execute(request)
    os._exit(0)  # a normal exit would wait for the thread of the capture, which may be waiting for `n`


main()
