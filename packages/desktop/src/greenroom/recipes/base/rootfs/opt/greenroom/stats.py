"""Statistics of the session's streams, measured on request and answered in the format of KasmVNC's server.

    GET api/get_frame_stats?client=auto   the time that the X server takes for a whole picture, and the round-trip time
                                          to viewers; `client`: auto (the first viewer), all, none, or a viewer's name
    GET api/get_bottleneck_stats          four scores for each viewer, from 0 (always waiting) to 10 (never): the X
                                          server waits for the processor, now and since the viewer connected; the
                                          stream waits for the network, now and since the viewer connected

Times are whole milliseconds. Without a viewer the answer is 503, as from KasmVNC.
"""

import asyncio
import contextlib
import json
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

import rfb
from protocol import PING, Request, frame, reply
from watching import OutputRelay, ViewOnlyFilter

FRAME_STATS, BOTTLENECK_STATS = "get_frame_stats", "get_bottleneck_stats"
FOLDER = "api"
LOCK = Path("/tmp/.X1-lock")  # noqa: S108 -- the file in which X servers write their pid
CURRENT_S = 0.25
"""The time for which the current scores are measured."""
PONG_TIMEOUT_S = 2.0
PICTURE_TIMEOUT_S = 10.0
TIGHT, LAST_RECTANGLE, QUALITY_8 = 7, -224, -24
"""Encodings of RFB."""
MAX_SCORE = 10.0


class WaitTimes(NamedTuple):
    """The accumulated times for which the X server waited for the processor (`cpu_s`) and the stream of a viewer waited
    for the network (`network_s`), until the time `at` of `time.monotonic`."""

    at: float
    cpu_s: float
    network_s: float

    def since(self, before: "WaitTimes") -> tuple[float, float]:
        """The scores of the processor and of the network since `before`, from 0 (always waiting) to 10 (never)."""
        elapsed_s = max(self.at - before.at, 1e-6)
        waits = (self.cpu_s - before.cpu_s, self.network_s - before.network_s)
        cpu, network = (round(MAX_SCORE * (1 - min(1.0, max(0.0, wait_s) / elapsed_s)), 1) for wait_s in waits)
        return cpu, network


class Stream:
    """The stream to one viewer. It replaces the writer of the connection, and measures how long it waits for the
    network. `begun` has the times at the start of the stream."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        address = (writer.get_extra_info("peername") or ("",))[0]
        self.name = f"{address}_{time.time():.6f}::websocket"
        self._writer = writer
        self._waited_s = 0.0
        self._waits_since: float | None = None
        self._pings: dict[bytes, asyncio.Future[float]] = {}
        self.begun = self.wait_times()

    def write(self, data: bytes) -> None:
        """Write, as `StreamWriter.write`."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Drain, as `StreamWriter.drain`, and measure the time."""
        self._waits_since = time.monotonic()
        try:
            await self._writer.drain()
        finally:
            self._waited_s += time.monotonic() - self._waits_since
            self._waits_since = None

    def wait_times(self) -> WaitTimes:
        """The accumulated waiting times now."""
        now = time.monotonic()
        waiting_s = now - self._waits_since if self._waits_since is not None else 0.0
        return WaitTimes(now, waited_for_processor_s(), self._waited_s + waiting_s)

    async def ping_ms(self) -> int:
        """Measure the round-trip time of a ping in milliseconds; 0 if no answer arrived within `PONG_TIMEOUT_S`."""
        data, begun = os.urandom(8), time.monotonic()
        self._pings[data] = answer = asyncio.get_running_loop().create_future()
        self._writer.write(frame(PING, data))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PONG_TIMEOUT_S):
                return max(1, round(1000 * (await answer - begun)))
        del self._pings[data]
        return 0

    def record_pong(self, data: bytes) -> None:
        """Record that the answer to the ping with this payload has arrived."""
        if (answer := self._pings.pop(data, None)) and not answer.done():
            answer.set_result(time.monotonic())


class Stats:
    """All streams of a session."""

    def __init__(self, rfb_socket: str, user: str) -> None:
        self._rfb_socket = rfb_socket
        self._user = user
        self._streams: dict[str, Stream] = {}
        self._measuring = asyncio.Lock()

    @contextlib.contextmanager
    def counted(self, request: Request, writer: asyncio.StreamWriter):
        """Yield the stream of a viewer, which is measured until the end of the block. A connection of the Agent,
        which does not come from the gateway, is not measured."""
        stream = Stream(writer)
        if "x-forwarded-prefix" in request.headers:
            self._streams[stream.name] = stream
        try:
            yield stream
        finally:
            self._streams.pop(stream.name, None)

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Answer a request below api/."""
        name = "/".join(request.parts[1:])
        if request.method != "GET" or name not in (FRAME_STATS, BOTTLENECK_STATS):
            reply(writer, "404 Not Found", b"")
        elif not self._streams:
            reply(writer, "503 Service Unavailable", b"")
        else:
            async with self._measuring:  # several whole pictures at the same time would slow down the X server
                measured = await (self._frame(request) if name == FRAME_STATS else self._bottleneck())
            reply(writer, "200 OK", json.dumps(measured).encode())

    async def _frame(self, request: Request) -> dict[str, object]:
        viewers = request.query.get("client", "auto")
        names = {"auto": list(self._streams)[:1], "all": list(self._streams), "none": []}.get(viewers, [viewers])
        streams = [self._streams[name] for name in names if name in self._streams]
        picture = await whole_picture(self._rfb_socket)
        pings = await asyncio.gather(*(stream.ping_ms() for stream in streams))
        no_time = {"time": 0, "count": 0, "area": 0}
        return {
            "frame": {"resx": picture.width, "resy": picture.height, "changed": 100, "server_time": picture.ms},
            "server_side": [
                {"process_name": "Analysis", "time": 0},
                {"process_name": "Screenshot", "time": 0},
                {"process_name": "Encoding_total", "time": picture.ms, "videoscaling": 0},
                {"process_name": "TightJPEGEncoder", **picture.jpeg},
                {"process_name": "TightWEBPEncoder", **no_time},
            ],
            "client_side": [
                {"client": stream.name, "client_time": 0, "ping": ping, "processes": []}
                for stream, ping in zip(streams, pings, strict=True)
            ],
        }

    async def _bottleneck(self) -> dict[str, object]:
        before = {name: stream.wait_times() for name, stream in self._streams.items()}
        await asyncio.sleep(CURRENT_S)
        scores: dict[str, list[float]] = {}
        for name, stream in self._streams.items():
            after = stream.wait_times()
            cpu, network = after.since(before.get(name, stream.begun))
            cpu_since, network_since = after.since(stream.begun)
            scores[name] = [cpu, cpu_since, network, network_since]
        return {self._user: scores}


class Picture(NamedTuple):
    """A whole picture of the screen: its size, the time until it was received, and the number and the area of its
    rectangles in JPEG. Sizes are in pixels."""

    width: int
    height: int
    ms: int
    jpeg_rectangles: int
    jpeg_area: int

    @property
    def jpeg(self) -> dict[str, int]:
        """The statistics of JPEG; `time` is the share of `ms` that corresponds to the share of the area."""
        share = self.jpeg_area / (self.width * self.height)
        return {"time": round(self.ms * share), "count": self.jpeg_rectangles, "area": self.jpeg_area}


async def whole_picture(rfb_socket: str) -> Picture:
    """Request a whole picture from the X server by RFB, as viewers do, and measure the time.

    Raises:
        OSError, EOFError, TimeoutError: the X server does not answer.
    """
    reader, writer = await asyncio.open_unix_connection(rfb_socket)
    try:
        async with asyncio.timeout(PICTURE_TIMEOUT_S):
            begin = await rfb.shake_hands(reader, writer)
            width, height = struct.unpack(">HH", begin[:4])
            encodings = (TIGHT, LAST_RECTANGLE, QUALITY_8)
            writer.write(struct.pack(f">BxH{len(encodings)}i", rfb.ENCODINGS, len(encodings), *encodings))
            requested_at = time.monotonic()
            writer.write(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
            view_filter = ViewOnlyFilter(begin[4:20])
            while await view_filter.message(OutputRelay(reader, Discarding())) != 0:
                pass
            ms = round(1000 * (time.monotonic() - requested_at))
            return Picture(width, height, max(1, ms), view_filter.jpeg_rectangles, view_filter.jpeg_area)
    finally:
        writer.close()


class Discarding:
    """A writer that discards the data for a viewer."""

    def write(self, data: bytes) -> None:
        """Do nothing."""

    async def drain(self) -> None:
        """Do nothing."""


def waited_for_processor_s() -> float:
    """The time for which the X server has waited for a processor since its start; 0 if the kernel does not report
    it."""
    try:
        pid = int(LOCK.read_text())
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
