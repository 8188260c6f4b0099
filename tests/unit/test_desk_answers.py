"""Answers of a session's page can be anything: a program in the session may have replaced it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx2
import msgspec
import pytest
from fastapi import FastAPI, Request
from tests.unit.test_desk_service import CLICK, Page

from greenroom.api import problems
from greenroom.api.desk import routes
from greenroom.api.lease.access import AuthorizedLease, AuthorizesLease
from greenroom.api.recording.recorder import Recorder
from greenroom.api.recording.request_recorder import StreamedOutputTail
from greenroom.core.session.states import SessionStatus

LEASE = "/api/v1/leases/6f1c1b1e-0000-4000-8000-000000000000"
DEEP = b"[" * 20_000 + b"]" * 20_000
LARGE = b"9" * 10_000
GARBAGE = {
    "nothing": b"",
    "no JSON": b"<html>Hello</html>",
    "no text": b"\xff\xfe\x00\x01",
    "half of it": b'{"state": {"width": 1',
    "another type": b"7",
    "a list": b"[]",
    "null": b"null",
    "no fields": b"{}",
    "deep": DEEP,
    "deep in a field": b'{"results": %b, "state": %b, "places": %b, "elements": %b, "path": %b}' % ((DEEP,) * 5),
    "large numbers": b'{"results": [], "state": {"width": %b, "height": 1e400, "pointer": [0, 0], "held": 0}}' % LARGE,
    "no UTF-8": b'{"path": "\xff", "places": {"\xff": "\xff"}, "elements": [{"ref": "\xff"}]}',
    "half a character": b'{"path": "\\ud800", "places": "\\ud800", "elements": "\\ud800", "state": "\\ud800"}',
    "no screen": b'{"results": [{"done": true}], "state": {"width": 0, "height": 0, "pointer": [0, 0], "held": 0}}',
    "no place": b'{"results": [{"done": true}], "state": {"width": 9, "height": 9, "pointer": [-1, 0], "held": 0}}',
    "no results": b'{"results": [], "state": {"width": 9, "height": 9, "pointer": [0, 0], "held": 0}}',
    "more results than actions": b'{"results": [{"done": true}, {"done": true}],'
    b' "state": {"width": 9, "height": 9, "pointer": [0, 0], "held": 0}}',
}
ACT = ("POST", "/actions", {"actions": [CLICK]})
AT = ("POST", "/actions", {"actions": [{"action": "left_click", "ref": "1.2-3"}]})
TREE = ("GET", "/tree", None)
ASKED = {
    "state": ("/state", 503, ACT),
    "steps": ("/steps", 409, ACT),
    "places": ("/tree", 503, AT),
    "screenshot": ("/screenshot", 503, ("GET", "/screenshot", None)),
    "tree": ("/tree", 503, TREE),
    "listing": ("/files", 503, ("GET", "/files", None)),
    "written": ("/files", 503, ("PUT", "/files/a", None)),
    "exec": ("/exec", 409, ("POST", "/exec", {"command": ["true"]})),
}
"""By the place where an answer is read: its origin, the status that garbage becomes, and the request that leads
there."""


class Leased(Page):
    """A page whose command writes this amount, and is interrupted by the end of the lease."""

    def __init__(self, written: bytes, *, neatly: bool = False) -> None:
        super().__init__(lambda _: httpx2.Response(200, stream=Ends(self, written, neatly=neatly)))


class Ends(httpx2.AsyncByteStream):
    """The data of a connection that ends with the lease."""

    def __init__(self, page: Page, written: bytes, *, neatly: bool) -> None:
        self._page = page
        self._written = written
        self._neatly = neatly

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._written
        self._page.status = SessionStatus.DELETING
        if not self._neatly:
            raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")


class Session(Page):
    """A page that answers garbage in one place."""

    def __init__(self, path: str, garbage: bytes, status: int = 200, **headers: str | bytes) -> None:
        super().__init__(self._anything)
        self._path = path
        self._garbage = garbage
        self._status = status
        self._headers = [("content-type", "text/html"), *headers.items()]

    def _anything(self, request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith(self._path):
            answer = self._as_page(request)
            return httpx2.Response(answer.status_code, stream=Pieces(answer.content))
        return httpx2.Response(self._status, headers=self._headers, stream=Pieces(self._garbage))


class Pieces(httpx2.AsyncByteStream):
    """The data of a connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 1 << 16):
            yield self._content[start : start + (1 << 16)]


@cache
def _app() -> FastAPI:
    app = FastAPI()
    problems.add_error_handlers(app)
    app.include_router(routes.router)
    app.include_router(routes.commands_and_files_router)
    app.state.logs = SimpleNamespace(write=lambda *_, **__: None)
    app.state.recorder = Recorder(cast("Any", None), lambda: app.state.desks, cast("Any", None), cast("Any", None))
    return app


async def send_request(page: Page, request: tuple[str, str, Any]) -> httpx2.Response:
    """The answer to a client; a foreign error is raised."""
    app = _app()
    app.state.desks = page
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.request(request[0], LEASE + request[1], json=request[2])


@pytest.fixture(autouse=True)
def leased(monkeypatch: pytest.MonkeyPatch) -> None:
    async def anyone(self: AuthorizesLease, request: Request, lease_id: UUID) -> Any:
        del self, request, lease_id
        names = ("holder", "session_id", "zone_name", "user_id", "username", "lease_id")
        return AuthorizedLease(cast("Any", SimpleNamespace(**dict.fromkeys(names, "x"), record="none")), None)

    monkeypatch.setattr(AuthorizesLease, "__call__", anyone)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize(("path", "status", "request_"), ASKED.values(), ids=ASKED)
async def test_garbage_is_a_sentence(path: str, status: int, request_: tuple[str, str, Any], garbage: bytes):
    reply = await send_request(Session(path, garbage), request_)
    assert reply.status_code == status, reply.text
    said = reply.json()["detail"]
    assert "cannot be read" in said or "closed the connection" in said or "is no reference" in said


@pytest.mark.parametrize("status", [101, 204, 301, 400, 403, 404, 409, 423, 429, 500, 502, 599])
@pytest.mark.parametrize("garbage", [*GARBAGE.values(), b'{"error_message": {}, "code": 1e400}'], ids=[*GARBAGE, "x"])
async def test_a_refusal_that_is_garbage_is_a_sentence(status: int, garbage: bytes):
    for request in (ACT, TREE):
        path = "/steps" if request is ACT else "/tree"
        reply = await send_request(Session(path, garbage, status), request)
        assert 400 <= reply.status_code < 600
        assert reply.status_code != 500
        assert reply.json()["detail"]


async def test_what_a_refusal_says_besides_is_no_header_and_no_number_without_end():
    more = b'{"detail": "Wait.", "retry_after_s": "1\\r\\nx: y", "most": 7, "deep": [[]], "large": 9%b}' % (b"9" * 100)
    reply = await send_request(Session("/steps", more, 429), ACT)
    assert (reply.status_code, reply.headers["retry-after"], reply.json()["detail"]) == (429, "1", "Wait.")
    assert reply.json()["most"] == 7
    assert not {"retry_after_s", "deep", "large"} & reply.json().keys()


async def test_a_screen_that_is_always_another_is_an_end():
    state = b'{"code": "changed", "state": {"width": 9, "height": 9, "pointer": [0, 0], "held": 0}}'
    moving = ("POST", "/actions", {"actions": [{"action": "left_click"}]})
    page = Session("/steps", state, 409)
    reply = await send_request(page, moving)
    assert (reply.status_code, len(page.steps())) == (409, 3)


async def test_a_picture_is_a_png_and_nothing_else_is_called_so():
    reply = await send_request(Session("/screenshot", b"\x89PNG\r\n\x1a\nrest"), ASKED["screenshot"][2])
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")


async def test_a_file_has_only_headers_that_can_be_sent():
    page = Session(
        "/files", b"text", **{"content-disposition": "attachment", "etag": b"\xff\xfe", "accept-ranges": "bytes"}
    )
    reply = await send_request(page, ("GET", "/files/a", None))
    assert (reply.content, reply.headers["content-type"]) == (b"text", "application/octet-stream")
    assert (reply.headers["accept-ranges"], "etag" in reply.headers) == ("bytes", False)


async def test_the_name_of_a_file_may_contain_line_breaks():
    headers: dict[str, Any] = {"content-disposition": "attachment"}
    page = Session("/files", b"text", **headers)
    assert (await send_request(page, ("GET", "/files/two%0Alines%0A", None))).content == b"text"


async def test_what_a_command_wrote_is_kept_where_garbage_follows():
    for garbage in GARBAGE.values():
        written = b'{"stdout": "begun"}\n' + garbage + b"\n"
        reply = await send_request(Session("/exec", written), ASKED["exec"][2])
        assert reply.status_code == 200
        assert (reply.json()["stdout"], reply.json()["exit_code"]) == ("begun", None)
        assert "closed the connection" in reply.json()["error"]


LEASE_OVER = "The lease is over: its session is deleting."


@pytest.mark.parametrize("neatly", [False, True])
async def test_a_command_that_the_end_of_the_lease_broke_off_says_so(neatly: bool):
    reply = await send_request(Leased(b"{}\n", neatly=neatly), ASKED["exec"][2])
    assert (reply.status_code, reply.json()["code"], reply.json()["detail"]) == (409, "wrong-state", LEASE_OVER)
    reply = await send_request(Leased(b'{"stdout": "begun"}\n', neatly=neatly), ASKED["exec"][2])
    assert (reply.status_code, reply.json()["stdout"], reply.json()["error"]) == (200, "begun", LEASE_OVER)


async def test_the_last_line_of_output_that_the_end_of_the_lease_broke_off_says_so():
    for written in (b"", b'{"stdout": "begun"}\n', b'{"stdout": "be'):
        reply = await send_request(Leased(written), ("POST", "/exec", {"command": ["true"], "stream": True}))
        assert reply.content.startswith(written)
        assert msgspec.json.decode(reply.content.splitlines()[-1]) == {"exit_code": None, "error_message": LEASE_OVER}


async def test_elements_and_files_are_handed_on_as_the_page_says_them():
    elements = [
        {"ref": "1.2-3", "role": "button", "name": "Öffnen", "children": [{"ref": "1", "role": "r", "name": ""}]}
    ]
    said: dict[str, Any] = {"elements": elements, "left_out": 0}
    assert (await send_request(Session("/tree", httpx2.Response(200, json=said).content), TREE)).json() == said
    listing = {"path": "", "files": [{"name": "a", "size_bytes": 1, "modified": 1.5}], "folders": [], "left_out": 0}
    page = Session("/files", httpx2.Response(200, json=listing).content)
    assert (await send_request(page, ASKED["listing"][2])).json() == listing


@pytest.mark.parametrize("garbage", [*GARBAGE.values(), b'{"exit_code": 1e400}', b'{"exit_code": "0"}'])
def test_the_end_of_a_command_may_be_anything(garbage: bytes):
    assert StreamedOutputTail(b'{"output": "eA=="}\n' + garbage[-4000:]).exit_code is None
