"""The statistics of frames that KasmVNC measures, and their form in the published interface."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

Number = int | float


class FrameStage(Struct):
    """A stage of the work on a frame. `time` is in milliseconds."""

    process_name: str
    time: Number = 0
    count: Number = 0
    area: Number = 0
    videoscaling: Number = 0


class FrameClient(Struct):
    """The values of a frame for one viewer. Times are in milliseconds."""

    client: str
    client_time: Number = 0
    ping: Number = 0
    processes: list[FrameStage] = []


class Frame(Struct):
    """A frame: its size in pixels, the changed part in percent, and the time of the server in milliseconds."""

    resx: Number
    resy: Number
    changed: Number
    server_time: Number


class FrameStats(Struct):
    """The answer of the KasmVNC server to `get_frame_stats`."""

    frame: Frame
    server_side: list[FrameStage] = []
    client_side: list[FrameClient] = []


BottleneckStats = dict[str, dict[str, Annotated[list[Number], Meta(min_length=4, max_length=4)]]]
"""KasmVNC's `get_bottleneck_stats`: user → viewer → CPU now, on average, network now, on average; 0 to 10."""


def published_frame(measured: FrameStats) -> dict[str, Any]:
    """Return the answer to `get_kasm_frame_stats` of the published interface."""
    stages = {stage.process_name.lower(): stage for stage in measured.server_side}
    encoding = _stage(stages, "encoding_total")
    return {
        "frame": {
            **asdict(measured.frame),
            "clients": [viewer.client for viewer in measured.client_side],
            "analysis": _stage(stages, "analysis").time,
            "screenshot": _stage(stages, "screenshot").time,
            "encoding_total": encoding.time,
            "videoscaling": encoding.videoscaling,
            "tightjpegencoder": _encoder(_stage(stages, "tightjpegencoder")),
            "tightwebpencoder": _encoder(_stage(stages, "tightwebpencoder")),
        },
        "clients": [
            {
                "client": viewer.client,
                "client_time": viewer.client_time,
                "ping": viewer.ping,
                "processes": [
                    {"process_name": process.process_name, "time": process.time} for process in viewer.processes
                ],
            }
            for viewer in measured.client_side
        ],
    }


def _stage(stages: dict[str, FrameStage], name: str) -> FrameStage:
    return stages.get(name) or FrameStage(name)


def _encoder(stage: FrameStage) -> dict[str, Number]:
    return {"time": stage.time, "count": stage.count, "area": stage.area}
