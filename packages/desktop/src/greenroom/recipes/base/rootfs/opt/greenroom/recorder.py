"""Encodes the screen as H.264 for the recording of the session. session_video.py runs this program while the Agent
records the session.

    recorder.py     writes frames to standard output, until its reader has ended

Each frame has a head (`HEAD`): its kind, the width and the height of the screen, and the length of the picture. The
picture is H.264 in Annex B form. A frame is written when the screen has changed, and an independent picture at least
every `KEY_S` and after `KEY_BYTES` of changes. A sign of life without a picture is written every `SIGN_OF_LIFE_S`.

The frame rate is lowered while this process uses more than `MAX_CPU` of a core, or writes more than `MAX_BYTES_PER_S`.
The quality is lowered while pictures have more than `KEY_BYTES`, as those of random pixels on a 4K screen. A picture
with more than `MAX_PICTURE_BYTES` is not written, nor are the changes after it.
"""

import os
import struct
import sys
import threading
import time

sys.path.insert(0, "/opt/greenroom/pixelflux")
import pixelflux

FRAMES = os.dup(1)
os.dup2(2, 1)  # pixelflux writes messages to standard output, which must not be among the frames

HEAD = struct.Struct(">BHHI")
CHANGE, INDEPENDENT, SIGN_OF_LIFE = 0, 1, 2
"""The kinds of frames."""
PICTURE_HEAD = struct.Struct(">BBHHHHH")
"""The head that pixelflux writes before a picture: the constant 4; the codec, whose last bit marks an independent
picture; the number of the frame; the upper row; the width; the height; and 2 bytes that are not used."""
MAX_FRAMES_PER_S, MIN_FRAMES_PER_S = 4.0, 0.5
MAX_CPU = 0.04
"""The maximum share of a core."""
MAX_BYTES_PER_S = 64_000
NICENESS = 5
"""Programs of the user have priority."""
CHECK_S = 2.0
"""The time between two checks of the frame rate."""
KEY_S = 30.0
KEY_BYTES = 2_000_000
MAX_PICTURE_BYTES = 8_000_000
"""The Agent refuses larger pictures. Random pixels on two 4K screens have 7 MB at the lowest quality."""
SIGN_OF_LIFE_S = 5.0
CRF, MAX_CRF, CRF_STEP = 30, 51, 6
"""The constant rate factor of the pictures: text is readable with the first one; the second one is the lowest quality."""


class Recorder:
    """Captures the screen of DISPLAY and writes its frames."""

    def __init__(self) -> None:
        self.frames_per_s = MAX_FRAMES_PER_S
        self.written = 0
        self.changed_bytes = 0
        """The bytes of pictures since the last independent picture."""
        self.crf = CRF
        self.waits_for_key = False
        """True if changes are not written, because a picture before them was not written."""
        self.must_adjust = threading.Event()
        """Set when `crf` has changed, when an independent picture is needed, or both."""
        self.needs_key = False
        self.write_lock = threading.Lock()
        self.capture = pixelflux.ScreenCapture()
        self.settings = settings()
        self.capture.start_capture(self.picture, self.settings)

    def picture(self, picture: pixelflux.StripeFrame) -> None:
        """Write a picture. The thread of the capture calls this method."""
        if len(picture) > PICTURE_HEAD.size:
            data = bytes(picture)
            _, codec, _, _, width, height, _ = PICTURE_HEAD.unpack_from(data)
            kind = INDEPENDENT if codec & 1 else CHANGE
            before = self.changed_bytes
            self.changed_bytes = 0 if kind == INDEPENDENT else before + len(data)
            self.choose_quality(kind, len(data))
            is_too_large = len(data) > MAX_PICTURE_BYTES
            self.waits_for_key = is_too_large or (self.waits_for_key and kind == CHANGE)
            if is_too_large or before <= KEY_BYTES < self.changed_bytes:
                self.needs_key = True
                self.must_adjust.set()
            if not self.waits_for_key:
                self.write(kind, data[PICTURE_HEAD.size :], width, height)

    def choose_quality(self, kind: int, size: int) -> None:
        """Lower the quality of the next pictures after a large picture, and restore it after a small independent one."""
        if size > KEY_BYTES and self.crf < MAX_CRF:
            self.crf = min(MAX_CRF, self.crf + CRF_STEP)
            self.must_adjust.set()
        elif kind == INDEPENDENT and size < KEY_BYTES / 4 and self.crf > CRF:
            self.crf = CRF
            self.needs_key = True
            self.must_adjust.set()

    def write(self, kind: int, data: bytes = b"", width: int = 0, height: int = 0) -> None:
        """Write a frame. End this process if its reader has ended."""
        with self.write_lock:
            rest = memoryview(HEAD.pack(kind, width, height, len(data)) + data)
            self.written += len(rest)
            try:
                while rest:
                    rest = rest[os.write(FRAMES, rest) :]
            except OSError:
                os._exit(0)

    def run(self) -> None:
        """Request independent pictures, write signs of life, and adjust the frame rate."""
        checks, cpu_s, written, checked = 0, time.process_time(), 0, time.monotonic()
        while True:
            while self.must_adjust.wait(max(0.0, checked + CHECK_S - time.monotonic())):
                self.must_adjust.clear()
                if self.crf != self.settings.video_crf:
                    self.settings.video_crf = self.crf
                    self.capture.update_tunables(self.settings)
                if self.needs_key:
                    self.needs_key = False
                    self.capture.request_idr_frame()
            checks += 1
            now_cpu_s, now_written, now = time.process_time(), self.written, time.monotonic()
            elapsed_s = now - checked
            self.adjust_rate((now_cpu_s - cpu_s) / elapsed_s / MAX_CPU, (now_written - written) / elapsed_s / MAX_BYTES_PER_S)
            cpu_s, written, checked = now_cpu_s, now_written, now
            if checks % round(KEY_S / CHECK_S) == 0:
                self.capture.request_idr_frame()
            if checks % round(SIGN_OF_LIFE_S / CHECK_S) == 0:
                self.write(SIGN_OF_LIFE)

    def adjust_rate(self, *uses: float) -> None:
        """Adjust the frame rate to the use of resources, as shares of their maximum."""
        use = max(uses)
        wanted = self.frames_per_s * (1 / use if use > 1 else 1.2)
        rate = max(MIN_FRAMES_PER_S, min(MAX_FRAMES_PER_S, wanted))
        if rate != self.frames_per_s:
            self.frames_per_s = rate
            self.capture.update_framerate(rate)


def settings() -> pixelflux.CaptureSettings:
    """The settings of the capture: only changed pictures of the whole screen, at constant quality, with the pointer."""
    capture_settings = pixelflux.CaptureSettings()
    capture_settings.capture_width = capture_settings.capture_height = 64  # until pixelflux has determined the size of the screen
    capture_settings.auto_adjust_screen_capture_size = True
    capture_settings.capture_cursor = True
    capture_settings.target_fps = MAX_FRAMES_PER_S
    capture_settings.codec = "h264"
    capture_settings.use_cpu, capture_settings.use_wayland = True, False
    capture_settings.video_fullframe = True
    capture_settings.video_streaming_mode = capture_settings.video_cbr_mode = False
    capture_settings.video_crf = CRF
    return capture_settings


if __name__ == "__main__":
    os.nice(NICENESS)
    Recorder().run()
