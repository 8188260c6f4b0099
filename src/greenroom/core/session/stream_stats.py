"""What the server of a session's stream measured. Greenroom's page answers as KasmVNC's server does; the published
interface shows the same in another shape.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Number = int | float


class Process(Struct):
    """A part of the work on a frame; `time` in milliseconds."""

    process_name: str
    time: Number = 0
    count: Number = 0
    area: Number = 0
    videoscaling: Number = 0


class FrameClient(Struct):
    """What one viewer had of it; times in milliseconds."""

    client: str
    client_time: Number = 0
    ping: Number = 0
    processes: list[Process] = []


class Frame(Struct):
    """The frame: its size, how much of it had changed (in hundredths), and how long the server took."""

    resx: Number
    resy: Number
    changed: Number
    server_time: Number


class FrameStats(Struct):
    """As KasmVNC's server answers `get_frame_stats`."""

    frame: Frame
    server_side: list[Process] = []
    client_side: list[FrameClient] = []


BottleneckStats = dict[str, dict[str, Annotated[list[Number], Meta(min_length=4, max_length=4)]]]
"""Its `get_bottleneck_stats`: user → viewer → the processor now and on average, the network too; 0 to 10."""


def published_frame(measured: FrameStats) -> dict[str, Any]:
    """The answer to `get_kasm_frame_stats`."""
    parts = {part.process_name.lower(): part for part in measured.server_side}
    frame = measured.frame
    encoding = _part(parts, "encoding_total")
    return {
        "frame": {
            "resx": frame.resx,
            "resy": frame.resy,
            "changed": frame.changed,
            "server_time": frame.server_time,
            "clients": [viewer.client for viewer in measured.client_side],
            "analysis": _part(parts, "analysis").time,
            "screenshot": _part(parts, "screenshot").time,
            "encoding_total": encoding.time,
            "videoscaling": encoding.videoscaling,
            "tightjpegencoder": _encoder(_part(parts, "tightjpegencoder")),
            "tightwebpencoder": _encoder(_part(parts, "tightwebpencoder")),
        },
        "clients": [
            {
                "client": viewer.client,
                "client_time": viewer.client_time,
                "ping": viewer.ping,
                "processes": [{"process_name": one.process_name, "time": one.time} for one in viewer.processes],
            }
            for viewer in measured.client_side
        ],
    }


def _part(parts: dict[str, Process], name: str) -> Process:
    return parts.get(name) or Process(name)


def _encoder(part: Process) -> dict[str, Number]:
    return {"time": part.time, "count": part.count, "area": part.area}
