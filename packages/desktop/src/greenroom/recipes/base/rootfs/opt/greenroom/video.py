"""The picture of the screen as a video, for viewers of moving pictures: H.264, instead of the light picture that the X
server sends by RFB.

    GET stream/        {"video": true if video is available, "default": the picture with which a viewer begins}
    websocket stream/  binary messages are stripes of the picture; a text message is sent back unchanged. The viewer
                       sends binary messages: 0 and the number of a painted frame, or 1 and a quality of 0–9

The stream contains only the picture. Keys, pointer, clipboard and the size of the screen use RFB, where permissions are
checked. The encoder (encoder.py) is started when a viewer connects, serves all viewers, and is ended `GRACE_S` after
the last viewer has left. It also ends when the last RFB connection ends, so that a viewer who is disconnected from the
session cannot continue to watch the session.

`Pace` selects the stripes for one viewer, without I/O and clock. A limited number of frames is sent before the viewer
has painted them. The limit grows while frames arrive about as fast as the fastest frame, and shrinks otherwise. A
viewer who has reached the limit misses frames. Afterwards, the stripes of a row are sent only from the next independent
stripe on.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections import deque
from pathlib import Path

from protocol import BINARY, CLOSE, PING, PONG, TEXT, Request, accept, frame, read_frame, reply
from viewers import is_view_only

ENCODER = Path("/opt/greenroom/encoder.py")
HAS_LIBRARY = any(Path("/opt/greenroom/pixelflux").glob(f"pixelflux.{sys.implementation.cache_tag}-*.so"))
"""True if pixelflux is available for the Python of the image; an image with another Debian release may lack it."""
LOG = Path("/tmp/.greenroom/video.log")
GRACE_S = 5.0
"""The time from the end of the last viewer to the end of the encoder; a start takes a tenth of a second."""
MAX_STARTS, STARTS_WITHIN_S = 5, 60.0
"""The maximum number of starts within a time: if the encoder fails repeatedly, viewers keep the light picture."""
KEY_FRAME_PAUSE_S = 1.0
"""The minimum time between two requests for a whole picture."""
REST_AFTER_S = 3.0
"""The time without input and without a change after which the screen is at rest."""
GOING_AWAY, INTERNAL_ERROR = 1001, 1011
"""Close codes of a websocket."""

ACK, QUALITY = 0, 1
"""The first byte of messages of a viewer."""
FIRST_WINDOW, MIN_WINDOW, MAX_WINDOW = 6, 2, 20
"""The first, the lowest and the highest limit of frames that are sent before the viewer has painted them."""
LATE_S = 0.15
"""A frame that takes this much longer than the fastest frame was delayed by the network."""
STUCK_S = 10.0
"""A viewer who has not painted a sent frame for this time is disconnected."""

STRIPE_HEAD = struct.Struct(">BBHH")
"""The head of a stripe: the constant 4; the codec, whose last bit marks an independent stripe; the number of the frame;
the upper row."""


def frame_of(stripe: bytes) -> int:
    """The number of the frame to which a stripe belongs."""
    return STRIPE_HEAD.unpack_from(stripe)[2]


class Pace:
    """Selects the stripes for one viewer, from the start of the stream."""

    def __init__(self) -> None:
        self.needs_key_frame = True
        self._window = FIRST_WINDOW
        self._fastest_s = float("inf")
        self._in_flight: deque[tuple[int, float]] = deque()
        """The number and the time of each sent frame that the viewer has not painted."""
        self._rows: set[int] = set()
        """The upper rows of the stripes that the viewer can decode."""
        self._frame = -1
        self._takes_frame = False

    @property
    def is_ready(self) -> bool:
        """True if another frame may be sent."""
        return len(self._in_flight) < self._window

    def should_send(self, stripe: bytes, now: float) -> bool:
        """True if this stripe must be sent to the viewer."""
        _, kind, frame, row = STRIPE_HEAD.unpack_from(stripe)
        if frame != self._frame:
            self._frame, self._takes_frame = frame, self.is_ready
        if not self._takes_frame:
            self._rows.clear()
        elif kind & 1:
            self._rows.add(row)
            self.needs_key_frame = False
        if row not in self._rows:
            self.needs_key_frame = True
            return False
        if not self._in_flight or self._in_flight[-1][0] != frame:
            self._in_flight.append((frame, now))
        return True

    def record_painted(self, frame: int, now: float) -> None:
        """Record that the viewer has painted this frame and all earlier frames. An unknown number is ignored."""
        if all(sent_frame != frame for sent_frame, _ in self._in_flight):
            return
        sent_frame, sent_s = self._in_flight.popleft()
        while sent_frame != frame:
            sent_frame, sent_s = self._in_flight.popleft()
        self._fastest_s = min(self._fastest_s, now - sent_s)
        step = -1 if now - sent_s > self._fastest_s + LATE_S else 1
        self._window = max(MIN_WINDOW, min(MAX_WINDOW, self._window + step))

    def is_stuck(self, now: float) -> bool:
        """True if the viewer has not painted a sent frame for `STUCK_S`."""
        return bool(self._in_flight) and now - self._in_flight[0][1] > STUCK_S


class Viewer:
    """A viewer of the stream. `close_code` is set when the viewer must be disconnected."""

    def __init__(self, writer: asyncio.StreamWriter, *, may_choose: bool) -> None:
        self.writer = writer
        self.may_choose = may_choose  # the quality, which applies to all viewers
        self.pace = Pace()
        self.close_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end_stream(self, code: int) -> None:
        """Disconnect the viewer with this close code."""
        if not self.close_code.done():
            self.close_code.set_result(code)


class Video:
    """The encoder and its viewers. `rfb_connections` is the number of open RFB connections."""

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self.rfb_connections = 0
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._started: deque[float] = deque(maxlen=MAX_STARTS)
        self._requests: asyncio.StreamWriter | None = None
        """The standard input of the encoder; encoder.py lists the requests."""
        self._is_frame_requested = False
        self._last_activity_s = 0.0
        self._is_at_rest = False

    async def answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request for stream/. Return False if the connection cannot be used for another request."""
        if request.headers.get("upgrade", "").lower() != "websocket":
            begins_with = "video" if os.environ.get("GREENROOM_PICTURE") == "video" else "light"
            reply(writer, "200 OK", json.dumps({"video": HAS_LIBRARY, "default": begins_with}).encode())
            return True
        if not HAS_LIBRARY:
            reply(writer, "404 Not Found", b"")
        elif self.rfb_connections == 0 or not self._start():
            reply(writer, "503 Service Unavailable", b"", "application/json", f"Retry-After: {STARTS_WITHIN_S:g}")
        else:
            accept(request, writer)
            await self._watch(reader, writer, may_choose=not is_view_only(request))
        return False

    def display_opened(self) -> None:
        """Record that a viewer has opened an RFB connection to the X server."""
        self.rfb_connections += 1

    def display_closed(self) -> None:
        """Record that an RFB connection has ended. With the last one, end all streams."""
        self.rfb_connections -= 1
        if self.rfb_connections == 0:
            self._end_all(GOING_AWAY)

    def record_activity(self) -> None:
        """Record that there was input, or that the screen has changed."""
        self._last_activity_s = time.monotonic()
        if self._is_at_rest and self._requests:
            self._is_at_rest = False
            self._requests.write(b"w")

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_choose: bool) -> None:
        viewer = Viewer(writer, may_choose=may_choose)
        self.viewers.add(viewer)
        self._changed.set()
        listening = asyncio.create_task(self._listen(viewer, reader))
        try:
            await asyncio.wait({listening, viewer.close_code}, return_when=asyncio.FIRST_COMPLETED)
            if viewer.close_code.done():
                writer.write(frame(CLOSE, struct.pack(">H", viewer.close_code.result())))
            elif not listening.exception():
                writer.write(frame(CLOSE, listening.result()))
        finally:
            self.viewers.discard(viewer)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._changed.set()

    async def _listen(self, viewer: Viewer, reader: asyncio.StreamReader) -> bytes:
        """Read the messages of a viewer until the viewer closes the websocket. Return the close code."""
        while True:
            opcode, data = await read_frame(reader)
            if opcode == CLOSE:
                return data[:2]
            if opcode == PING:
                viewer.writer.write(frame(PONG, data))
            elif opcode == TEXT:
                viewer.writer.write(frame(TEXT, data))
            elif opcode == BINARY and len(data) == 3 and data[0] == ACK:
                viewer.pace.record_painted(int.from_bytes(data[1:]), time.monotonic())
                self._changed.set()
            elif not viewer.may_choose:
                continue
            elif opcode == BINARY and len(data) == 2 and data[0] == QUALITY and data[1] <= 9 and self._requests:
                self._requests.write(b"%d" % data[1])

    def _start(self) -> bool:
        """Start the encoder if it does not run. Return False if it was started too often."""
        if self._running is not None and not self._running.done():
            return True
        if self._was_started_too_often():
            return False
        self._started.append(time.monotonic())
        self._running = asyncio.create_task(self._run())
        return True

    def _was_started_too_often(self) -> bool:
        return len(self._started) == MAX_STARTS and time.monotonic() - self._started[0] < STARTS_WITHIN_S

    async def _run(self) -> None:
        """Start the encoder, forward its output, and end it when there are no viewers."""
        with LOG.open("wb") as log:
            encoder = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-E", str(ENCODER), os.environ.get("MAX_FRAME_RATE", "60")),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert encoder.stdin
        assert encoder.stdout
        self._requests = encoder.stdin
        requesting = asyncio.create_task(self._request_frames(encoder.stdin))
        forwarding = asyncio.create_task(self._forward_stripes(encoder.stdout))
        try:
            done, _ = await asyncio.wait({requesting, forwarding}, return_when=asyncio.FIRST_COMPLETED)
            if forwarding in done:
                code = await encoder.wait()
                rest = "; it is not started again for a minute" if self._was_started_too_often() else ""
                print(f"the video encoder has ended with {code}; viewers get the light picture{rest}", file=sys.stderr)
        finally:
            self._requests = None
            for task in (requesting, forwarding):
                task.cancel()
            await asyncio.gather(requesting, forwarding, return_exceptions=True)
            encoder.stdin.close()
            self._end_all(INTERNAL_ERROR)
            await encoder.wait()

    async def _request_frames(self, requests: asyncio.StreamWriter) -> None:
        """Request the next frame whenever a viewer is ready for a frame, until there was no viewer for `GRACE_S`.

        The fastest viewer sets the pace; slower viewers miss frames and continue with a whole picture.
        """
        self._is_frame_requested = False
        key_frame_requested_s = time.monotonic()  # the encoder begins with a whole picture
        shows_pointer = self._is_at_rest = False
        self.record_activity()
        while True:
            now = time.monotonic()
            if not self._is_at_rest and now - self._last_activity_s > REST_AFTER_S:
                self._is_at_rest = True
                requests.write(b"r")
            if shows_pointer != (self.rfb_connections > 1):
                shows_pointer = not shows_pointer
                requests.write(b"+" if shows_pointer else b"-")
            for viewer in self.viewers:
                if viewer.pace.is_stuck(now):
                    viewer.end_stream(GOING_AWAY)
            ready = [viewer for viewer in self.viewers if viewer.pace.is_ready]
            if any(viewer.pace.needs_key_frame for viewer in ready) and now - key_frame_requested_s > KEY_FRAME_PAUSE_S:
                requests.write(b"k")
                key_frame_requested_s = now
            if ready and not self._is_frame_requested:
                self._is_frame_requested = True
                requests.write(b"n")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), KEY_FRAME_PAUSE_S if self.viewers else GRACE_S)
            except TimeoutError:
                if not self.viewers:
                    return

    async def _forward_stripes(self, stripes: asyncio.StreamReader) -> None:
        """Forward the stripes of the encoder to the viewers until the encoder ends."""
        frame_id = -1
        while True:
            try:
                (length,) = struct.unpack(">I", await stripes.readexactly(4))
                stripe = await stripes.readexactly(length)
            except asyncio.IncompleteReadError:
                return
            now = time.monotonic()
            for viewer in self.viewers:
                if viewer.pace.should_send(stripe, now):
                    viewer.writer.write(frame(BINARY, stripe))
            if (frame_number := frame_of(stripe)) != frame_id:
                frame_id, self._is_frame_requested = frame_number, False
                self._changed.set()
                self.record_activity()

    def _end_all(self, code: int) -> None:
        for viewer in self.viewers:
            viewer.end_stream(code)


