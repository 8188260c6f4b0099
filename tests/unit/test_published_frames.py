"""The format of a stream server's measurements in the published interface."""

from __future__ import annotations

import msgspec
import pytest

from greenroom.interfaces.public.frames import BottleneckStats, FrameStats, published_frame

MEASURED = b"""{
  "frame": {"resx": 1280, "resy": 800, "changed": 100, "server_time": 12},
  "server_side": [
    {"process_name": "Analysis", "time": 1},
    {"process_name": "Encoding_total", "time": 9, "videoscaling": 2},
    {"process_name": "TightJPEGEncoder", "time": 7, "count": 3, "area": 4096}
  ],
  "client_side": [
    {"client": "10.0.0.9_1.5::websocket", "client_time": 20, "ping": 4,
     "processes": [{"process_name": "scan", "time": 3}]}
  ]
}"""


def test_a_frame_has_the_published_fields():
    name = "10.0.0.9_1.5::websocket"
    assert published_frame(msgspec.json.decode(MEASURED, type=FrameStats)) == {
        "frame": {
            "resx": 1280,
            "resy": 800,
            "changed": 100,
            "server_time": 12,
            "clients": [name],
            "analysis": 1,
            "screenshot": 0,
            "encoding_total": 9,
            "videoscaling": 2,
            "tightjpegencoder": {"time": 7, "count": 3, "area": 4096},
            "tightwebpencoder": {"time": 0, "count": 0, "area": 0},
        },
        "clients": [{"client": name, "client_time": 20, "ping": 4, "processes": [{"process_name": "scan", "time": 3}]}],
    }


@pytest.mark.parametrize("numbers", [b"[10, 10, 9.5]", b"[10, 10, 9.5, null]", b"7"])
def test_a_viewer_has_four_numbers(numbers: bytes):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kasm_user": {"a": %b}}' % numbers, type=BottleneckStats)
