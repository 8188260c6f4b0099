"""Leases, and a program's requests to its desktop; the desktop itself is simulated."""

from __future__ import annotations

from typing import Any, Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.database.api.client import Client
from tests.database.api.examples.sessions import runs
from tests.database.api.examples.step import Scene, Step, Wrong, step

from greenroom.api.desk.answers import ScreenStateCache
from greenroom.api.desk.transport import LeaseDesk
from greenroom.db.lease.leases import LeaseRow

SCREEN: Final = {"width": 1280, "height": 800, "pointer": [640, 400], "held": 0}
TREE: Final = {
    "elements": [
        {
            "ref": "2:0",
            "role": "frame",
            "name": "Notes",
            "states": ["active"],
            "place": [0, 0, 800, 600],
            "children": [{"ref": "2:0:1", "role": "push button", "name": "Save", "place": [700, 20, 80, 30]}],
        }
    ],
    "left_out": 0,
}
LISTING: Final = {
    "path": "Documents",
    "files": [{"name": "notes.txt", "size_bytes": 1204, "modified": 1772443800.0}],
    "folders": [{"name": "drafts", "modified": 1772440200.0}],
    "left_out": 0,
}
LINES: Final = b'{"stdout": "notes.txt\\n"}\n{"exit_code": 0}\n'


class Page:
    """A server on this host that replaces the gateway and the container of a leased session."""

    def __init__(self) -> None:
        self.screen_states = ScreenStateCache()
        self.app = Starlette(routes=[Route("/desk/{name}", answered, methods=["GET", "PUT", "DELETE", "POST"])])
        self.address = ""
        self._http = httpx2.AsyncClient(trust_env=False)

    async def of(self, lease: LeaseRow) -> LeaseDesk:
        return LeaseDesk(self._http, lease.session_id, f"http://{self.address}/desk/", "TOKEN")

    async def close(self) -> None:
        await self._http.aclose()


async def answered(request: Request) -> Response:
    match f"{request.method} {request.path_params['name']}":
        case "POST steps":
            asked: list[Any] = (await request.json())["actions"]
            content = {"results": [{"done": True, "ms": 12.5} for _ in asked], "state": SCREEN}
        case "PUT files":
            content = {"path": request.query_params["path"]}
        case name:
            content = ANSWERS.get(name, b"")
    return Response(content, 200) if isinstance(content, bytes) else JSONResponse(content)


ANSWERS: Final[dict[str, Any]] = {
    "GET state": SCREEN,
    "GET screenshot": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\x80\0\0\1\x90",
    "GET tree": TREE,
    "GET files": LISTING,
    "POST exec": LINES,
}
"""The answers of a session's page; all others are empty."""


async def desk(scene: Scene) -> None:
    await runs(scene)
    scene.app.state.desks = scene.ids["page"]
    scene.ids["session_token"] = scene.ids["urls"]["page"].rpartition("/")[2]
    program: Client = scene.clients["program"]
    program.headers["Authorization"] = f"Bearer {scene.ids['token']}"


async def pictured(scene: Scene) -> None:
    """Find the number of a row that has a picture."""
    await scene.app.state.recorder.wait_until_idle()
    (row,) = await scene.db.fetch("SELECT min(number) AS number FROM recording_pictures")
    scene.ids["number"] = row["number"]


LEASES: Final[list[Step]] = [
    step(
        "create_lease",
        {
            "workspace": "Desktop",
            "seconds": 3600,
            "user_id": "{ada_id}",
            "tags": {"job": "nightly"},
            "record": "pictures",
        },
        saves=("lease_id", "session_id", "token", "urls"),
        headers={"Idempotency-Key": "nightly-2026-03-02"},
        wrong=Wrong(body={"workspace": "Typewriter"}),
    ),
    step("list_leases", query={"tag": "job=nightly"}),
    step("get_lease", by="program", before=desk),
    step("extend_lease", {"seconds": 7200}, by="program", wrong=Wrong(body={"seconds": 5})),
    step(
        "act",
        {
            "actions": [
                {"action": "left_click", "coordinate": [640, 400]},
                {"action": "type", "text": "Dear Ada,"},
                {"action": "key", "text": "ctrl+s"},
            ]
        },
        by="program",
        wrong=Wrong(body={"actions": [{"action": "left_click", "coordinate": [5000, 5000]}]}),
    ),
    step("get_desk_screenshot", query={"width": 640}, by="program", wrong=Wrong(query={"width": 1})),
    step("run", {"command": ["ls", "Documents"], "timeout_s": 10}, by="program", wrong=Wrong(body={"command": []})),
    step("list_home", by="program"),
    step("get_file", by="program"),
    step("put_file", b"Dear Ada,", by="program", headers={"Content-Type": "application/octet-stream"}),
    step("delete_file", by="program"),
    step("get_tree", query={"depth": 5}, by="program"),
    step("get_control", by="program"),
    step("change_control", {"holder": "person"}, by="ada", wrong=Wrong(body={"holder": "admin"})),
    step(
        "change_control_by_token",
        {
            "session_id": "{session_id}",
            "user_id": "{ada_id}",
            "session_token": "{session_token}",
            "holder": "program",
        },
        by="anonymous",
        wrong=Wrong(body={"session_token": "revoked"}),
    ),
    step("release_lease", by="program"),
    step("list_recordings", query={"session_id": "{session_id}"}, by="ada"),
    step("get_recording", by="ada", wrong=Wrong(by="program")),
    step("list_recorded_rows", query={"limit": 3}, by="ada", wrong=Wrong(by="bob")),
    step("get_recorded_picture", by="ada", before=pictured),
    step("export_recording", by="ada"),
    step("delete_recording", wrong=Wrong(by="ada")),
]
