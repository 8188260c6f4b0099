"""The page of a watched session, which replaces gateway and container and answers with statistics of its stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from greenroom.api.desk.transport import LeaseDesk

VIEWER: Final = "10.0.0.9_1772443800.25::websocket"
FRAME: Final = {
    "frame": {"resx": 1280, "resy": 800, "changed": 100, "server_time": 14},
    "server_side": [
        {"process_name": "Encoding_total", "time": 14, "videoscaling": 0},
        {"process_name": "TightJPEGEncoder", "time": 11, "count": 6, "area": 786432},
    ],
    "client_side": [{"client": VIEWER, "client_time": 0, "ping": 3, "processes": []}],
}
BOTTLENECK: Final = {"kasm_user": {VIEWER: [9.9, 9.8, 10.0, 10.0]}}
MEASURED: Final[Mapping[str, Any]] = {"get_frame_stats": FRAME, "get_bottleneck_stats": BOTTLENECK}


class WatchedPage:
    """Replaces `app.state.desks`. Without `content` it returns `MEASURED`; `asked` are the received requests."""

    def __init__(self, status: int = 200, content: bytes | None = None) -> None:
        self.asked: list[httpx2.Request] = []
        self._status = status
        self._content = content

    async def page_of(self, session_id: str, token: str) -> LeaseDesk:
        """As in `Desks`."""
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answered))
        return LeaseDesk(http, session_id, f"https://gateway.example/desktop/1/{session_id}/", token, by_cookie=True)

    async def close(self) -> None:
        """As in `Desks`."""

    def _answered(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        content = self._content
        if content is None:
            content = json.dumps(MEASURED[request.url.path.rpartition("/")[2]]).encode()
        return httpx2.Response(self._status, stream=httpx2.ByteStream(content))
