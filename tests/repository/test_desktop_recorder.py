"""The recorder of a session requests whole pictures soon after large changes, because the Agent limits segments."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from greenroom.core.recording.session_video import CHANGE, INDEPENDENT, FrameReader

RECORDER = Path(
    __file__, "../../../packages/desktop/src/greenroom/recipes/base/rootfs/opt/greenroom/recorder.py"
).resolve()
PIXELFLUX = '''
import struct, threading


class CaptureSettings:
    pass


class StripeFrame:
    pass


class ScreenCapture:
    """Sends a whole picture, two large changes, and a whole picture at each request."""

    def start_capture(self, callback, settings):
        self.callback = callback
        threading.Thread(target=self.begin, daemon=True).start()

    def begin(self):
        self.send(1, 1000)
        self.send(0, 1_500_000)
        self.send(0, 1_500_000)

    def send(self, codec, size):
        self.callback(struct.pack(">BBHHHHH", 4, codec, 0, 0, 640, 480, 0) + bytes(size))

    def request_idr_frame(self):
        self.send(1, 1000)

    def update_framerate(self, rate):
        pass
'''


async def test_a_whole_picture_follows_large_changes_at_once(tmp_path: Path):
    (tmp_path / "pixelflux.py").write_text(PIXELFLUX)
    recorder = await asyncio.create_subprocess_exec(
        *(sys.executable, str(RECORDER)),
        env={"PYTHONPATH": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert recorder.stdout is not None
    reader, kinds, began_s = FrameReader(), list[int](), time.monotonic()
    try:
        async with asyncio.timeout(10):
            while len(kinds) < 4 and (data := await recorder.stdout.read(1 << 16)):
                kinds += [frame.kind for frame in reader.feed(data, 0.0)]
    finally:
        recorder.kill()
        await recorder.wait()
    assert kinds[:4] == [INDEPENDENT, CHANGE, CHANGE, INDEPENDENT]
    assert time.monotonic() - began_s < 10
