"""The recorder of a session requests whole pictures soon after large changes, and writes no picture that is too
large for the Agent."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from greenroom.core.recording.session_video import (
    CHANGE,
    INDEPENDENT,
    MAX_FRAME_BYTES,
    SIGN_OF_LIFE,
    FrameReader,
    RecorderFrame,
)

RECORDER = Path(
    __file__, "../../../packages/desktop/src/greenroom/recipes/base/rootfs/opt/greenroom/recorder.py"
).resolve()
PIXELFLUX = '''
import os, struct, threading


class CaptureSettings:
    pass


class StripeFrame:
    pass


class ScreenCapture:
    """Sends a whole picture and two changes of `SIZE` bytes, and a whole picture at each request. The sizes fall with
    the quality."""

    def start_capture(self, callback, settings):
        self.callback, self.crf = callback, settings.video_crf
        threading.Thread(target=self.begin, daemon=True).start()

    def begin(self):
        size = int(os.environ["SIZE"])
        self.send(1, size if size > 2_000_000 else 1000)
        self.send(0, size)
        self.send(0, size)

    def send(self, codec, size):
        self.callback(struct.pack(">BBHHHHH", 4, codec, 0, 0, 640, 480, 0) + bytes(size))

    def request_idr_frame(self):
        size = int(os.environ["SIZE"])
        self.send(1, size * 36 // self.crf // 2 if size > 2_000_000 else 1000)

    def update_tunables(self, settings):
        self.crf = settings.video_crf

    def update_framerate(self, rate):
        pass
'''


async def frames_of(folder: Path, size: int, number: int) -> list[RecorderFrame]:
    """Return the first frames of the recorder, with pictures of this size."""
    (folder / "pixelflux.py").write_text(PIXELFLUX)
    recorder = await asyncio.create_subprocess_exec(
        *(sys.executable, str(RECORDER)),
        env={"PYTHONPATH": str(folder), "SIZE": str(size)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert recorder.stdout is not None
    reader, frames = FrameReader(), list[RecorderFrame]()
    try:
        async with asyncio.timeout(60):
            while len(frames) < number and (data := await recorder.stdout.read(1 << 16)):
                frames += [frame for frame in reader.feed(data, time.monotonic()) if frame.kind != SIGN_OF_LIFE]
    finally:
        recorder.kill()
        await recorder.wait()
    return frames[:number]


async def test_a_whole_picture_follows_large_changes_at_once(tmp_path: Path):
    frames = await frames_of(tmp_path, 1_500_000, 4)
    assert [frame.kind for frame in frames] == [INDEPENDENT, CHANGE, CHANGE, INDEPENDENT]
    assert frames[-1].at_s - frames[0].at_s < 10


async def test_a_picture_that_is_too_large_for_the_agent_is_not_written(tmp_path: Path):
    (frame,) = await frames_of(tmp_path, 2 * MAX_FRAME_BYTES, 1)
    assert frame.kind == INDEPENDENT, "the changes after a picture that was not written are not written either"
    assert len(frame.data) <= MAX_FRAME_BYTES
