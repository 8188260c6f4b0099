"""The statistics of frames that KasmVNC measures, and their shape in the published interface."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

Number = int | float


class FrameStage(Struct):
    """A stage in the processing of a frame. `time` is in milliseconds."""

    process_name: str
    time: Number = 0
    count: Number = 0
    area: Number = 0
    videoscaling: Number = 0


class FrameClient(Struct):
    """The times of a frame for one viewer, in milliseconds."""

    client: str
    client_time: Number = 0
    ping: Number = 0
    processes: list[FrameStage] = []


class Frame(Struct):
    """A frame: its size in pixels, the changed part in percent, and the time that the server took, in milliseconds."""

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
"""The answer of the KasmVNC server to `get_bottleneck_stats`: user → viewer → four scores from 0 to 10 (no bottleneck):
processor now and on average, network now and on average."""


def published_frame(stats: FrameStats) -> dict[str, Any]:
    """Return the answer to `get_kasm_frame_stats` of the published interface."""
    stages = {stage.process_name.lower(): stage for stage in stats.server_side}
    encoding = _stage(stages, "encoding_total")
    return {
        "frame": {
            **asdict(stats.frame),
            "clients": [viewer.client for viewer in stats.client_side],
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
            for viewer in stats.client_side
        ],
    }


def _stage(stages: dict[str, FrameStage], name: str) -> FrameStage:
    return stages.get(name) or FrameStage(name)


def _encoder(stage: FrameStage) -> dict[str, Number]:
    return {"time": stage.time, "count": stage.count, "area": stage.area}
