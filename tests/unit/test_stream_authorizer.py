"""The Agent's answers to nginx, with a simulated table of sessions and a simulated api."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace as replace_fields
from starlette.applications import Starlette
from tests.support.played_pages import Pages
from tests.support.waiting import eventually

from greenroom.agent.concurrency import Signal
from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.stream.authorizer import StreamAuthorizer
from greenroom.agent.stream.gateways import Gateways
from greenroom.agent.stream.viewers import StreamEvents
from greenroom.core.errors import Unavailable
from greenroom.core.session.streams import AnyAccess
from greenroom.core.session.viewing import Connection
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.tcp import StreamTerminator
from greenroom.wire.messages import Authorised
from greenroom.wire.viewers import StreamRequest, StreamVerdict, ViewerReport

A = "0f6e8a52-0000-4000-8000-00000000000a"
B = "0f6e8a52-0000-4000-8000-00000000000b"
PATH = f"/desktop/1a2b3c4d/{A}/"
OK_ORIGIN = "https://127.0.0.1:8445"
SPEC = SessionSpec(
    image="i", image_id="i", credential="s3cret", allow_origin=("127.0.0.1",), upstream_auth="auth.example:8443"
)


@dataclass
class Table:
    rows: dict[str, SessionSnapshot] = field(default_factory=dict[str, SessionSnapshot])
    authorised_changed: Signal[str] = field(default_factory=Signal[str])

    def get(self, session_id: str) -> SessionSnapshot | None:
        return self.rows.get(session_id)

    def put(self, session_id: str, user: str | None = "u", epoch: int = 1, **changes: object) -> None:
        row = SessionSnapshot(
            session_id=session_id,
            spec=SPEC,
            address="127.0.0.1:32768",
            authorised=Authorised(user_id=user, epoch=epoch) if user else None,
            handed_over=True,
        )
        self.rows[session_id] = replace(row, **changes)
        self.authorised_changed.emit(session_id)


@dataclass
class Api:
    """Admits the token `good` of user u; `away`: does not answer."""

    away: bool = False
    epoch: int = 1
    shows: str = ""
    path: str = ""
    leased: bool = False
    asked: list[tuple[str, StreamRequest]] = field(default_factory=list[tuple[str, StreamRequest]])
    guests: dict[str, tuple[str, AnyAccess]] = field(default_factory=dict[str, tuple[str, AnyAccess]])
    """Token → viewer id and permission."""
    reported_viewers: list[ViewerReport] = field(default_factory=list[ViewerReport])

    async def report(self, address: str, bearer: str, report: ViewerReport) -> None:
        assert (address, bearer) == ("auth.example:8443", "Bearer id.credential")
        if self.away:
            raise Unavailable("The api is away.")
        self.reported_viewers.append(report)

    async def ask(self, address: str, bearer: str, question: StreamRequest) -> StreamVerdict:
        assert bearer == "Bearer id.credential"
        self.asked.append((address, question))
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable(f"The request to the Upstream Auth Address {address} failed: timeout")
        allowed = StreamVerdict(allow=True, user_id="u", epoch=self.epoch, leased=self.leased)
        if question.token in self.guests:
            viewer_id, access = self.guests[question.token]
            return replace_fields(allowed, viewer_id=viewer_id, access=access)
        if question.token != "good" or question.username not in ("", "ann"):
            return StreamVerdict(allow=False, reason="The token does not open this session.")
        return replace_fields(allowed, session_id=self.shows, path=self.path)


class Cuts(StreamTerminator):
    def __init__(self) -> None:
        super().__init__()
        self.cut: list[tuple[str, str]] = []

    def cut_soon(self, session_id: str, address: str) -> None:
        self.cut.append((session_id, address))

    def cut_clients_soon(self, session_id: str, clients: Sequence[Connection]) -> None:
        self.cut += [(session_id, f"{client.address}:{client.port}") for client in clients]


class Who:
    agent_id = "1a2b3c4d-0000-4000-8000-000000000000"
    route = "1a2b3c4d"
    bearer = "Bearer id.credential"


class Agent:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table, self.api, self.cuts, self.pages = Table(), Api(), Cuts(), Pages()
        self.now = 1000.0
        self.fresh: float | None = None
        self.reported: list[str] = []
        self.opened: list[tuple[str, str, str]] = []
        self.closed: list[tuple[str, str, str]] = []
        self.table.put(A)
        self.restart()

    def restart(self) -> None:
        self.table.authorised_changed = Signal[str]()
        parts = (self.table, Who(), self.api, self.cuts, self.folder)
        authorizer = StreamAuthorizer(
            *parts,
            pages=self.pages,
            gateways=Gateways(Who(), self.table, acting=lambda: True, clock=lambda: self.now),
            events=StreamEvents(
                refused=lambda sentence, _session_id: self.reported.append(sentence),
                opened=lambda *event: self.opened.append(event),
                closed=lambda *event: self.closed.append(event),
            ),
            last_fresh=lambda: self.fresh,
            clock=lambda: self.now,
        )
        self.table.authorised_changed.subscribe(authorizer.authorised_changed)
        self.guest_presence, self.handed_over = authorizer.guest_presence, authorizer.handed_over
        self.streams_closed = authorizer.closed
        app = Starlette(routes=authorizer.routes)
        self._client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://agent")

    async def ask(
        self,
        uri: str = PATH,
        *,
        origin: str | None = None,
        websocket: bool = False,
        cookie: str = "",
        to: str = "authorise",
        client: tuple[str, str] = ("192.0.2.7", ""),
        port: str = "",
        method: str = "GET",
        length: str = "",
        bearer: str = "",
    ) -> httpx2.Response:
        headers = {"X-Original-URI": uri, "X-Original-Upgrade": "websocket" if websocket else "", "Cookie": cookie}
        headers |= dict(zip(("X-Original-Client", "X-Original-Forwarded-For"), client, strict=True))
        headers |= {"X-Original-Client-Port": port} if port else {}
        headers |= {"X-Original-Method": method, "X-Original-Length": length, "Authorization": f"Bearer {bearer}"}
        return await self._client.get(f"/{to}", headers={**headers, **({"Origin": origin} if origin else {})})

    async def status(self, **request: object) -> int:
        return (await self.ask(**{"cookie": "greenroom_viewer=good", **request})).status_code


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


async def test_the_viewer_is_led_to_the_container_with_its_credential(agent: Agent):
    reply = await agent.ask(cookie="a=1; greenroom_viewer=good; b=2")
    assert reply.status_code == 200
    assert reply.headers["X-Greenroom-Upstream"] == "https://127.0.0.1:32768"
    assert base64.b64decode(reply.headers["X-Greenroom-Authorization"].removeprefix("Basic ")) == b"kasm_user:s3cret"
    assert agent.api.asked[0][0] == "auth.example:8443"


async def test_the_page_learns_how_long_its_viewer_may_be_idle_and_what_they_may_upload(agent: Agent):
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, idle_disconnect_s=90.0, max_upload_mb=7))
    reply = await agent.ask(cookie="greenroom_viewer=good")
    assert reply.headers["X-Greenroom-Idle-Disconnect-S"] == "90"
    assert reply.headers["X-Greenroom-Max-Upload-Mb"] == "7"


@pytest.mark.parametrize("websocket", [False, True])
@pytest.mark.parametrize(("length", "admitted"), [("2000000", True), ("2000001", False), ("", False)])
async def test_an_upload_over_the_limit_of_the_sessions_user_is_refused(
    agent: Agent, length: str, admitted: bool, websocket: bool
):
    """This also holds for a request for a websocket: only the answer decides that it becomes one."""
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, max_upload_mb=2))
    reply = await agent.ask(
        cookie="greenroom_viewer=good", origin=OK_ORIGIN, websocket=websocket, method="PUT", length=length
    )
    answered = (reply.status_code, reply.headers.get("X-Greenroom-Too-Large"))
    assert answered == ((200, None) if admitted else (403, "1"))
    assert admitted or "up to 2 MB may be uploaded" in reply.json()["error_message"]


async def test_the_limit_of_uploads_is_sent_to_the_sessions_viewers_alone(agent: Agent):
    agent.table.put(A, authorised=Authorised(user_id="u", epoch=1, max_upload_mb=1))
    reply = await agent.ask(cookie="greenroom_viewer=bad", method="PUT", length="2000000")
    assert (reply.status_code, "X-Greenroom-Too-Large" in reply.headers) == (401, False)


async def test_a_first_open_turns_the_token_into_a_cookie_for_its_path(agent: Agent):
    reply = await agent.ask(f"{PATH}vnc.html?a=1&token=good&b=%20", to="enter")
    assert reply.status_code == 303
    assert reply.headers["Location"] == f"{PATH}vnc.html?a=1&b=%20"
    assert reply.headers["Set-Cookie"] == f"greenroom_viewer=good; Path={PATH}; HttpOnly; Secure; SameSite=Strict"
    refused = await agent.ask(f"{PATH}?token=bad", to="enter")
    assert refused.status_code == 401
    assert "Set-Cookie" not in refused.headers


async def test_programs_send_the_token_in_a_cookie_or_in_the_address(agent: Agent):
    assert await agent.status(cookie="username=ann; session_token=good", websocket=True, origin=OK_ORIGIN) == 200
    assert await agent.status(uri=f"{PATH}websockify?token=good", cookie="", websocket=True, origin=OK_ORIGIN) == 200
    assert await agent.status(cookie="session_token=other; username=bob") == 401
    agent.restart()
    agent.table.put(A, epoch=2)
    agent.api.epoch = 2
    assert await agent.status(cookie="session_token=good; username=bob") == 401


async def test_without_or_with_a_wrong_token_it_is_401_with_the_reason(agent: Agent):
    bad: dict[str, Any] = {"cookie": "greenroom_viewer=bad", "websocket": True, "origin": OK_ORIGIN}
    none: dict[str, Any] = {"cookie": ""}
    for request in (none, bad):
        reply = await agent.ask(**request)
        assert reply.status_code == 401
        assert reply.json()["error_message"] == reply.headers["X-Greenroom-Reason"] != ""


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "https://127.0.0.1.evil", "https://x127.0.0.1", "http://127.0.0.1"]
)
async def test_a_websocket_of_another_origin_is_403_even_with_the_token(agent: Agent, origin: str | None):
    assert await agent.status(websocket=True, origin=origin) == 403
    assert agent.api.asked == []


async def test_who_opened_a_stream_from_where_is_written_once_in_ten_minutes(agent: Agent):
    stream = {"websocket": True, "origin": OK_ORIGIN}
    assert [await agent.status(), await agent.status(**stream, cookie="greenroom_viewer=bad")] == [200, 401]
    assert agent.opened == [], "a page is no stream, and who is refused opens none"
    for _ in range(3):
        assert await agent.status(**stream) == 200
    assert agent.opened == [(f"The stream of session {A} was opened from 192.0.2.7", A, "u")]
    await agent.status(**stream, client=("192.0.2.9", "2001:db8::7"))
    await agent.status(**stream, client=("192.0.2.7", "none"))
    assert [sentence.partition("from ")[2] for sentence, _, _ in agent.opened[1:]] == [
        "2001:db8::7 (reported by 192.0.2.9)"
    ]
    agent.now += 600
    await agent.status(**stream)
    assert len(agent.opened) == 3


async def test_a_foreign_route_or_session_is_403(agent: Agent):
    assert await agent.status(uri=f"/desktop/99999999/{A}/") == 403
    assert await agent.status(uri=f"/desktop/1a2b3c4d/{B}/") == 403
    assert await agent.status(uri="/etc/passwd") == 403


async def test_a_staged_session_without_user_is_shown_to_no_viewer(agent: Agent):
    agent.table.put(A, user=None)
    assert await agent.status() == 401


async def test_another_users_session_stays_closed_although_the_api_allows_it(agent: Agent):
    agent.table.put(A, user="another user")
    assert await agent.status() == 401


async def test_nothing_is_shown_before_the_hand_over_and_without_a_container(agent: Agent):
    agent.table.put(A, handed_over=False)
    assert await agent.status() == 403
    agent.table.put(A, address=None)
    assert await agent.status() == 403
    agent.table.put(A)
    assert await agent.status() == 200


async def test_a_known_viewer_is_not_asked_about_again(agent: Agent):
    for _ in range(3):
        assert await agent.status() == 200
    assert len(agent.api.asked) == 1


async def test_equal_questions_at_one_time_are_asked_once(agent: Agent):
    assert set(await asyncio.gather(*(agent.status() for _ in range(8)))) == {200}
    assert len(agent.api.asked) == 1


async def test_without_managers_only_known_viewers_return_for_ten_minutes(agent: Agent):
    assert await agent.status() == 200
    agent.api.away = True
    agent.restart()
    agent.now += 599
    assert await agent.status() == 200
    assert await agent.status(cookie="session_token=good2") == 503
    agent.now += 2
    assert await agent.status() == 503
    assert "auth.example:8443" in agent.reported[-1]


async def test_a_fresh_answer_of_a_manager_confirms_known_viewers(agent: Agent):
    assert await agent.status() == 200
    agent.api.away = True
    agent.now += 86400
    agent.fresh = agent.now - 5
    assert await agent.status() == 200


async def test_after_a_restart_of_the_machine_viewers_are_asked_about_again(agent: Agent):
    assert await agent.status() == 200
    agent.now, agent.api.away = 3.0, True
    agent.restart()
    assert await agent.status() == 503


async def test_a_higher_epoch_forgets_the_viewer_and_cuts_their_streams(agent: Agent):
    assert await agent.status() == 200
    agent.table.put(A, epoch=2)
    assert await agent.status() == 401  # the api still answers for epoch 1
    await agent.streams_closed(A)
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]


async def test_a_revocation_that_came_while_the_agent_was_down_cuts_too(agent: Agent):
    assert await agent.status() == 200
    agent.restart()
    agent.table.put(A, epoch=2)
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]


async def test_a_full_disk_excludes_no_viewer_and_keeps_no_revoked_one(agent: Agent):
    (agent.folder / "viewers.json.new").mkdir()
    assert await agent.status() == 200
    agent.table.put(A, epoch=2)
    await agent.streams_closed(A)
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]
    assert await agent.status() == 401


async def test_the_page_closes_its_websockets_with_the_reason_before_they_are_cut(agent: Agent):
    assert await agent.status() == 200
    agent.pages.answers.clear()
    del agent.table.rows[A]
    agent.table.authorised_changed.emit(A)
    closed = asyncio.create_task(agent.streams_closed(A))
    await eventually(lambda: agent.pages.closed)
    assert agent.pages.closed == [("https://127.0.0.1:32768", 4410, "The session has ended.")]
    assert agent.cuts.cut == []
    assert not closed.done(), "the container is removed only after this"
    agent.pages.answers.set()
    await closed
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]


async def test_a_page_that_cannot_close_its_websockets_is_cut(agent: Agent):
    agent.api.leased = agent.pages.is_foreign = True
    assert await agent.status() == 200
    del agent.table.rows[A]
    agent.table.authorised_changed.emit(A)
    await agent.streams_closed(A)
    assert agent.pages.closed == [("https://127.0.0.1:32768", 4410, "The lease of this session has ended.")]
    assert agent.cuts.cut == [(A, "127.0.0.1:32768")]


async def test_an_unchanged_list_cuts_nothing(agent: Agent):
    assert await agent.status() == 200
    agent.table.put(A)
    assert agent.cuts.cut == []


async def test_a_successor_session_is_shown_at_the_old_address(agent: Agent):
    agent.table.put(A, user=None)
    agent.table.put(B, address="127.0.0.1:40000")
    agent.api.shows = B
    reply = await agent.ask(cookie="greenroom_viewer=good")
    assert reply.headers["X-Greenroom-Upstream"] == "https://127.0.0.1:40000"
    agent.table.put(B, epoch=2, address="127.0.0.1:40000")
    await agent.streams_closed(B)
    assert agent.cuts.cut == [(B, "127.0.0.1:40000")]


async def test_a_successor_on_another_host_is_named(agent: Agent):
    agent.api.shows = B
    reply = await agent.ask(cookie="greenroom_viewer=good")
    assert (reply.status_code, "another host" in reply.headers["X-Greenroom-Reason"]) == (403, True)


async def test_a_page_is_sent_to_the_agent_that_runs_the_successor(agent: Agent):
    agent.api.shows, agent.api.path = B, f"/desktop/99999999/{B}/"
    reply = await agent.ask(f"{PATH}vnc.html?quality=9&token=good", to="enter")
    assert reply.status_code == 303
    assert reply.headers["Location"] == f"/desktop/99999999/{B}/vnc.html?quality=9&token=good"
    assert "Set-Cookie" not in reply.headers
    websocket = await agent.ask(f"{PATH}websockify", cookie="greenroom_viewer=good", websocket=True, origin=OK_ORIGIN)
    assert (websocket.status_code, "another address" in websocket.headers["X-Greenroom-Reason"]) == (403, True)


@pytest.mark.parametrize("path", ["https://evil.example/", "//evil.example/x/", "/desktop/x\r\nSet-Cookie: a=b/"])
async def test_what_is_no_address_of_a_stream_is_followed_nowhere(agent: Agent, path: str):
    agent.api.shows, agent.api.path = B, path
    reply = await agent.ask(f"{PATH}?token=good", to="enter")
    assert (reply.status_code, reply.headers.get("Location")) == (403, None)


async def test_an_api_that_cannot_be_asked_is_named(agent: Agent):
    agent.api.away = True
    reply = await agent.ask(cookie="greenroom_viewer=good")
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5"), "a 401 would be a verdict"
    assert "auth.example:8443" in reply.headers["X-Greenroom-Reason"]
    assert await agent.status() == 503
    agent.api.away = False
    assert await agent.status() == 200


async def test_no_token_is_written_to_the_disk(agent: Agent):
    assert await agent.status() == 200
    assert b"good" not in (agent.folder / "viewers.json").read_bytes()
