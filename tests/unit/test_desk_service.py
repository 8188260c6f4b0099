"""Actions on the desk of a lease: the requests to the session's page, and the meaning of its answers and timeouts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx2
import msgspec
import pytest
from starlette.requests import ClientDisconnect, Request

from greenroom.api.desk import service, transport
from greenroom.api.desk.answers import ScreenState, ScreenStateCache
from greenroom.api.desk.transport import Desks, LeaseDesk, host_header, while_connected
from greenroom.core.actions.plan import Size
from greenroom.core.errors import (
    Forbidden,
    GreenroomError,
    Interrupted,
    Invalid,
    NotFound,
    TooManyRequests,
    Unavailable,
    WrongState,
)
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import ProxyFacts
from greenroom.db.lease.leases import LeaseRow, ProgramSession
from greenroom.kit.config import ApiConfig

Answer = Callable[[httpx2.Request], httpx2.Response]
LEASE = cast("LeaseRow", None)
SCREEN = {"width": 1280, "height": 800, "pointer": [5, 6], "held": 0}
CLICK = {"action": "left_click", "coordinate": [640, 400]}


class Page:
    """A session's page with a screen, which records its requests; `status` is that of its session."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.screen: dict[str, Any] = dict(SCREEN)
        self.asked: list[httpx2.Request] = []
        self.results: list[dict[str, Any]] | None = None
        self.screen_states = ScreenStateCache()
        self.status = SessionStatus.RUNNING
        self._answer = answer or self._as_page

    async def of(self, lease: LeaseRow) -> LeaseDesk:
        del lease
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._noted))
        return LeaseDesk(
            http, "s", "https://gateway.example:8443/desktop/1/s/desk/", "TOKEN", read_session=self._session
        )

    async def _session(self) -> ProgramSession:
        return ProgramSession(
            session_id="s",
            status=self.status,
            auth_epoch=0,
            image_friendly_name="Desktop",
            agent_id=None,
            proxy=ProxyFacts(),
            upstream_auth="",
            services=[],
        )

    @property
    def desks(self) -> Desks:
        return cast("Desks", self)

    def steps(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(one.content) for one in self.asked if one.url.path.endswith("/steps")]

    def _noted(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self._answer(request)
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=answer.stream
        )  # not read yet, as on a socket

    def _as_page(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/state"):
            return httpx2.Response(200, json=self.screen)
        body = msgspec.json.decode(request.content)
        if body["expected"] not in (None, self.screen):
            return httpx2.Response(409, json={"code": "changed", "state": self.screen})
        results = self.results or [{"done": True, "ms": 1.5} for _ in body["actions"]]
        return httpx2.Response(200, json={"results": results, "state": self.screen})


async def test_steps_are_planned_without_asking_for_the_screen_again():
    page = Page()
    for _ in range(3):
        await service.act(page.desks, LEASE, [CLICK])
    assert [one.url.path.rpartition("/")[2] for one in page.asked] == ["state", "steps", "steps", "steps"]
    assert page.asked[-1].headers["authorization"] == "Bearer TOKEN"
    assert page.steps()[0]["actions"][0][0] == {"step": "pointer", "buttons": 0, "x": 640, "y": 400}


async def test_where_the_screen_has_changed_steps_are_planned_anew():
    page = Page()
    page.screen_states.put("s", ScreenState(640, 400, (0, 0), 0))
    acted = await service.act(page.desks, LEASE, [{"action": "left_click"}])
    assert [one["expected"]["width"] for one in page.steps()] == [640, 1280]
    assert page.steps()[1]["actions"][0][0] == {"step": "pointer", "buttons": 0, "x": 5, "y": 6}
    assert acted.results[0].done


async def test_a_place_is_outside_only_if_it_is_on_the_screen_as_it_is_now():
    page = Page()
    page.screen_states.put("s", ScreenState(640, 400, (0, 0), 0))
    await service.act(page.desks, LEASE, [{"action": "mouse_move", "coordinate": [1279, 799]}])
    page.screen["width"] = 800
    with pytest.raises(Invalid, match=r"actions\[0\]\.coordinate: \[1280, 5\] is outside the screen of 800 x 800"):
        await service.act(page.desks, LEASE, [{"action": "mouse_move", "coordinate": [1280, 5]}])


async def test_a_pointer_that_is_moved_all_the_time_does_not_prevent_actions():
    page = Page()

    def moved(request: httpx2.Request) -> httpx2.Response:
        page.screen["pointer"] = [page.screen["pointer"][0] + 1, 6]
        return page._as_page(request)

    page._answer = moved
    assert (await service.act(page.desks, LEASE, [CLICK])).results[0].done
    assert [one["expected"] is None for one in page.steps()] == [False, False, True]


async def test_a_button_that_is_held_stays_so_in_the_plan():
    page = Page()
    page.screen["held"] = 1
    await service.act(page.desks, LEASE, [{"action": "mouse_move", "coordinate": [9, 9]}])
    assert page.steps()[0]["actions"][0][0]["buttons"] == 1


async def test_what_follows_a_failure_was_not_done():
    page = Page()
    page.results = [{"done": True}, {"done": False, "error": "it cannot be."}]
    acted = await service.act(page.desks, LEASE, [CLICK, {"type": "wait"}, {"action": "screenshot"}])
    assert [(one.action, one.error) for one in acted.results] == [
        ("left_click", None),
        ("wait", "it cannot be."),
        ("screenshot", "not done, because actions[1] failed."),
    ]


async def test_the_pointer_is_where_the_client_sees_it():
    page = Page()
    page.results = [{"done": True, "coordinate": [640, 400]}]
    acted = await service.act(page.desks, LEASE, [{"action": "cursor_position"}], display=Size(640, 400))
    assert acted.results[0].coordinate == (320, 200)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "é" * 23_000])
async def test_what_can_be_typed_in_time_is_taken(text: str):
    page = Page()
    await service.act(page.desks, LEASE, [{"action": "type", "text": text}])
    assert page.asked[-1].extensions["timeout"]["read"] > 100


@pytest.mark.parametrize(
    "actions",
    [
        [{"action": "type", "text": "日" * 30_000}],
        [{"action": "open_address", "url": "https://example.org/"}] * 11,
    ],
)
async def test_what_takes_longer_than_gateways_wait_is_refused(actions: list[dict[str, Any]]):
    page = Page()
    with pytest.raises(Invalid, match="the maximum is 100 s"):
        await service.act(page.desks, LEASE, actions)
    assert not page.steps()


REFUSED = [
    (400, {"error_message": "region: no."}, Invalid, "region: no."),
    (401, {"error_message": "The token does not open this session."}, WrongState, "does not open"),
    (404, {"error_message": "There is no file x."}, NotFound, "no file x"),
    (429, {"error_message": "Too many requests wait."}, TooManyRequests, "wait"),
    (403, {"error_message": "Nothing may be copied."}, Forbidden, "Nothing may be copied"),
    (502, {"detail": "The desktop does not answer.", "code": "unavailable"}, Unavailable, "does not answer"),
    (503, {"detail": "The Agent does not answer.", "code": "unavailable"}, Unavailable, "Agent does not answer"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSED, ids=[str(one[0]) for one in REFUSED])
async def test_a_refusal_on_the_way_is_one_here(
    status: int, body: dict[str, str], kind: type[GreenroomError], words: str
):
    page = Page(lambda _: httpx2.Response(status, json=body))
    with pytest.raises(kind, match=words):
        await service.screenshot(page.desks, LEASE)


async def test_what_the_agent_says_of_a_session_is_its_state():
    reason = {"X-Greenroom-Reason": "The desktop is not running."}
    page = Page(lambda _: httpx2.Response(403, json={"error_message": "The desktop is not running."}, headers=reason))
    with pytest.raises(WrongState, match="not running"):
        await service.screenshot(page.desks, LEASE)


async def test_a_page_without_a_desk_is_of_an_older_image():
    page = Page(lambda _: httpx2.Response(404))
    with pytest.raises(WrongState, match="its image is older"):
        await service.screenshot(page.desks, LEASE)


def failing(error: type[httpx2.TransportError]) -> Answer:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=SCREEN)
        raise error("broken", request=request)

    return answer


async def test_what_was_not_begun_can_be_repeated_and_what_was_broken_off_cannot():
    with pytest.raises(Unavailable, match=r"gateway of this session, gateway\.example:8443, cannot be reached.*broken"):
        await service.act(Page(failing(httpx2.ConnectError)).desks, LEASE, [CLICK])
    for error in (httpx2.ReadError, httpx2.ReadTimeout):
        with pytest.raises(Interrupted, match="number of completed actions is unknown"):
            await service.act(Page(failing(error)).desks, LEASE, [CLICK])
    page = Page(lambda request: httpx2.Response(200, json=SCREEN) if request.method == "GET" else httpx2.Response(502))
    with pytest.raises(Interrupted):
        await service.act(page.desks, LEASE, [CLICK])


@pytest.mark.parametrize("status", [SessionStatus.DELETING, SessionStatus.DELETED])
async def test_what_is_broken_off_by_the_end_of_the_lease_says_so(status: SessionStatus):
    def ends(way: httpx2.Response | type[httpx2.TransportError]) -> Answer:
        def answer(request: httpx2.Request) -> httpx2.Response:
            if request.url.path.endswith("/state"):
                return httpx2.Response(200, json=SCREEN)
            page.status = status
            if isinstance(way, httpx2.Response):
                return way
            raise way("broken", request=request)

        return answer

    for way in (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ConnectError, httpx2.Response(502)):
        page = Page(ends(way))
        with pytest.raises(WrongState, match=f"^The lease is over: its session is {status}"):
            await service.act(page.desks, LEASE, [CLICK])
        page = Page(ends(way))
        with pytest.raises(WrongState, match=f"^The lease is over: its session is {status}"):
            await service.screenshot(page.desks, LEASE)


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_without_end_is_not_kept(status: int, monkeypatch: pytest.MonkeyPatch):
    """A program in the session may have replaced the page."""
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1 << 16)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 24:
            sent += 1 << 14
            yield bytes(1 << 14)

    page = Page(lambda _: httpx2.Response(status, content=endless()))
    with pytest.raises(Unavailable, match="more than 65536 bytes"):
        await service.screenshot(page.desks, LEASE)
    assert sent < 1 << 18
    page = Page(
        lambda request: (
            httpx2.Response(200, json=SCREEN) if request.method == "GET" else httpx2.Response(status, content=endless())
        )
    )
    sent = 0
    with pytest.raises(Interrupted, match="number of completed actions is unknown"):
        await service.act(page.desks, LEASE, [CLICK])


async def test_the_work_ends_with_the_client_that_asked():
    ended = asyncio.Event()
    leave = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def receive() -> dict[str, Any]:
        await leave.wait()
        return {"type": "http.disconnect"}

    waiting = asyncio.create_task(while_connected(Request({"type": "http"}, receive), work()))
    await asyncio.sleep(0)
    leave.set()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert ended.is_set()


async def test_the_result_comes_while_the_client_waits():
    async def work() -> int:
        return 7

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()

    assert await while_connected(Request({"type": "http"}, receive), work()) == 7


@pytest.mark.parametrize(
    ("gateway", "is_proxied", "host"),
    [("kasm-proxy:8443", True, "desk.example:8443"), ("kasm-proxy:8443", False, ""), ("", True, "")],
)
def test_a_gateway_with_an_api_address_is_asked_by_the_name_of_the_deployment(
    *, gateway: str, is_proxied: bool, host: str
):
    """An edge gateway behind it serves no other name."""
    proxy = ProxyFacts(proxy_connections=is_proxied, edge_url="https://edge.example:8445")
    session = ProgramSession(
        session_id="s",
        status=SessionStatus.RUNNING,
        auth_epoch=1,
        image_friendly_name="Desktop",
        agent_id="a",
        proxy=proxy,
        upstream_auth="desk.example:8443",
        services=[],
    )
    config = ApiConfig.model_construct(gateway_address=gateway, public_url="https://desk.example:8443")
    assert host_header(session, config) == host
