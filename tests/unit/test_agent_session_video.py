"""The Agent records the video of a session that must be recorded, disconnects its viewers, or ends the session."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.scripted_manager import spec
from tests.support.waiting import eventually

from greenroom.agent.session import video, video_segments
from greenroom.agent.session.journal import Journal
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.video import SessionVideos
from greenroom.agent.stream.admission import MAX_SENT_SEGMENTS, UpstreamAuth
from greenroom.core.errors import Invalid, Unavailable
from greenroom.core.recording import session_video
from greenroom.runtimes.contract import Capacity, RuntimeUnavailable, StartError
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.wire.messages import Answer, Authorised, Desired, LogLine
from greenroom.wire.viewers import VideoSegment, ViewerReport

SESSION, SPEC = str(uuid.uuid4()), spec()
PICTURE = b"\0\0\0\1" + bytes.fromhex("6742c028") + b"\0\0\0\1" + bytes.fromhex("68ce0472") + b"\0\0\0\1\x65picture"
FRAME = struct.pack(">BHHI", 1, 640, 480, len(PICTURE)) + PICTURE
ENDED = "The session was ended because it must be recorded: "


@dataclass
class VideoApi:
    """Stores segments; `away`: it does not answer, or fails with this error; `refuses`: it refuses data; `refuses_all`:
    also other segments."""

    away: Exception | bool = False
    refuses: bool = False
    refuses_all: bool = False
    stored: list[VideoSegment] = field(default_factory=list[VideoSegment])
    refused: list[VideoSegment] = field(default_factory=list[VideoSegment])

    async def store(self, address: str, bearer: str, segment: VideoSegment) -> None:
        assert (address, bearer) == (SPEC.upstream_auth, "Bearer agent")
        if self.away:
            raise self.away if isinstance(self.away, Exception) else Unavailable("The api is away.")
        if self.refuses and (segment.data or self.refuses_all):
            self.refused.append(segment)
            raise Invalid("The segment is too large.")
        self.stored.append(segment)


class Identity:
    bearer = "Bearer agent"


class Recorder(httpx2.AsyncByteStream):
    """Sends frames; then ends, or waits for `over`."""

    def __init__(self, over: asyncio.Event | None) -> None:
        self._over = over

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield FRAME
        if self._over is not None:
            await self._over.wait()


@dataclass
class Recording:
    """A host with a session that must be recorded."""

    sessions: Sessions
    runtime: SimulatedRuntime
    api: VideoApi
    over: asyncio.Event
    """The end of the stream of the recorder."""
    status: int = 200
    """The answer of the page; 0 = it refuses connections."""
    requests: int = 0

    @property
    def failure(self) -> str:
        return self.sessions.observed.journal_facts(SESSION).failure

    rows: list[LogLine] = field(default_factory=list[LogLine])

    @property
    def closed(self) -> str:
        """The reason why no user may see the session."""
        session = self.sessions.get(SESSION)
        return session.closed if session is not None else ""

    def logged(self, code: str) -> list[str]:
        """The log rows with this code."""
        self.rows += self.sessions.outbox.take_log_lines()
        return [row.message for row in self.rows if row.code == code]

    def is_open(self) -> bool:
        """True if viewers are admitted."""
        session = self.sessions.get(SESSION)
        return session is not None and session.handed_over

    def accept(self, *desired: Desired) -> None:
        answer = Answer(
            db_epoch="e", zone_id="z", term=1, answered_by="m", fresh=True, acked_seq=0, desired=list(desired)
        )
        assert self.sessions.accept(answer)


@asynccontextmanager
async def recording(
    folder: Path, *, status: int = 200, away: Exception | bool = False, ends: bool = False, **limits: Any
) -> AsyncGenerator[Recording]:
    """See `Recording`; `ends`: the recorder ends at once."""
    runtime = SimulatedRuntime("installation", "agent-1", folder=folder)
    await runtime.open()
    journal = Journal(folder / "journal")
    journal.open()
    host = Recording(Sessions(journal), runtime, VideoApi(away), asyncio.Event(), status)
    await runtime.create(SESSION, SPEC)
    host.sessions.observed.store_inventory([await runtime.start(SESSION)])
    host.sessions.observed.store_first_frame(SESSION)
    authorised = Authorised(user_id="u", epoch=1, recorded=True)
    host.accept(Desired(session_id=SESSION, generation=2, want="running", spec=asdict(SPEC), authorised=authorised))

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/session-video"
        host.requests += 1
        if host.status == 0:
            raise httpx2.ConnectError("refused")
        stream = Recorder(None if ends else host.over)
        return httpx2.Response(host.status, stream=stream if host.status == 200 else None)

    videos = SessionVideos(host.sessions, Identity(), host.api, lambda: runtime, **limits)
    await videos.close()
    videos.http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    running = asyncio.create_task(videos.run())
    try:
        yield host
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await videos.close()
        journal.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((video, "RETRY_S"), (video, "POLL_S"), (video_segments, "STORE_RETRY_S")):
        monkeypatch.setattr(module, name, 0.01)


async def test_viewers_are_admitted_during_the_recording_and_the_end_is_stored(tmp_path: Path):
    async with recording(tmp_path) as host:
        assert not host.is_open()
        await eventually(host.is_open)
        host.accept()
        host.over.set()
        await eventually(lambda: any(segment.is_last for segment in host.api.stored))
        first, last = host.api.stored
        assert (first.session_id, first.data[4:8], first.is_last) == (SESSION, b"ftyp", False)
        assert (last.data, last.is_last) == (b"", True)
        assert host.failure == ""


async def test_a_session_whose_image_has_no_recorder_is_ended(tmp_path: Path):
    async with recording(tmp_path, status=404) as host:
        await eventually(lambda: host.failure)
        assert host.failure == f"{ENDED}its image has no recorder."
        assert not host.is_open()


async def test_a_session_whose_recorder_ends_repeatedly_is_ended(tmp_path: Path):
    async with recording(tmp_path, ends=True) as host:
        await eventually(lambda: host.failure)
        assert host.failure == f"{ENDED}its recorder ended 4 times within 300 s."


async def test_a_session_whose_recorder_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    async with recording(tmp_path, status=200, ends=True, recorder_limit_s=0.0) as host:
        await eventually(lambda: host.failure)
        assert host.failure.startswith(f"{ENDED}its recorder")


@pytest.mark.parametrize(
    ("error", "reason"), [(Unavailable("The api is away."), "The api is away."), (KeyError("x"), "KeyError: 'x'")]
)
async def test_segments_that_wait_are_stored_in_their_order_when_the_api_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    monkeypatch.setattr(video_segments, "STORE_WARNING_S", 0.0)
    async with recording(tmp_path, away=error, ends=True) as host:
        await eventually(lambda: host.requests >= 4)
        await eventually(lambda: host.logged("session-video-not-stored"))
        host.api.away = False
        await eventually(lambda: len(host.api.stored) >= 4)
        begins = [segment.began for segment in host.api.stored]
        assert begins == sorted(begins)
        assert all(segment.data for segment in host.api.stored)
        (row,) = host.logged("session-video-not-stored")
        assert row.startswith(f"Session {SESSION}: its video waits in the memory of its Agent. ")
        assert reason in row
        await eventually(lambda: host.logged("session-video-stored"))


async def test_viewers_are_disconnected_while_a_video_cannot_be_stored_and_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    monkeypatch.setattr(session_video, "STORE_LIMIT_S", 0.1)
    async with recording(tmp_path, away=True, ends=True) as host:
        await eventually(lambda: host.closed)
        assert host.closed == "Its video could not be stored for 10 minutes."
        requests = host.requests
        await eventually(lambda: len(host.logged("session-not-recorded")) == 1)
        assert not host.is_open()
        host.api.away = False
        await eventually(lambda: host.requests > requests)
        await eventually(lambda: host.closed == "")
        assert host.failure == ""


async def test_a_segment_that_the_api_refuses_is_lost_and_the_later_ones_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    async with recording(tmp_path, ends=True) as host:
        host.api.refuses = True
        await eventually(lambda: len(host.api.stored) >= 2)
        host.api.refuses = False
        await eventually(lambda: any(segment.data for segment in host.api.stored))
        assert host.api.stored[0].data == b""
        assert not host.api.stored[0].is_last
        assert host.api.stored[0].began == host.api.refused[0].began
        ids = [segment.segment_id for segment in host.api.refused]
        assert len(set(ids)) == len(ids), "no refused request is repeated"
        assert len(ids) == sum(not segment.data for segment in host.api.stored)
        (row,) = host.logged("session-video-not-stored")
        assert row == f"Session {SESSION}: 0 s of its video are lost. The segment is too large."


async def test_viewers_are_disconnected_while_all_segments_are_lost_and_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    monkeypatch.setattr(session_video, "LOSS_LIMIT_S", 0.1)
    async with recording(tmp_path, ends=True) as host:
        host.api.refuses = True
        await eventually(lambda: host.closed)
        assert host.closed == "All parts of its video were lost for 60 seconds."
        assert host.failure == ""
        host.api.refuses = False
        await eventually(lambda: host.closed == "")


async def test_segments_follow_one_without_data_that_the_api_refuses(tmp_path: Path):
    async with recording(tmp_path) as host:
        host.api.refuses = host.api.refuses_all = True
        await eventually(host.is_open)
        host.accept()
        host.over.set()
        await eventually(lambda: len(host.api.refused) == 3)
        first, times, last = host.api.refused
        assert (bool(first.data), bool(times.data), last.is_last) == (True, False, True)


@pytest.mark.parametrize("status", [0, 401, 502, 503])
async def test_a_page_that_refuses_for_some_time_ends_no_session(tmp_path: Path, status: int):
    async with recording(tmp_path, status=status) as host:
        await eventually(lambda: host.requests > 2 * video.MAX_BREAKS)
        assert host.failure == ""
        assert not host.is_open()
        host.status = 200
        await eventually(host.is_open)


async def test_a_page_that_refuses_for_too_long_ends_the_session(tmp_path: Path):
    async with recording(tmp_path, status=503, recorder_limit_s=0.2) as host:
        await eventually(lambda: host.failure)
        assert host.failure == f"{ENDED}its page answered 503 to the request for its recorder."


@pytest.mark.parametrize(("can_pause", "expected"), [(True, "stopped"), (False, "removed")])
async def test_a_session_that_is_not_recorded_is_stopped_although_docker_refuses_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_pause: bool, expected: str
):
    errors, ended = [StartError("Docker refused."), RuntimeUnavailable()], list[str]()

    async def capacity(_runtime: SimulatedRuntime) -> Capacity:
        return Capacity(cores=1, memory_bytes=1, can_pause=can_pause)

    async def fail_first(_runtime: SimulatedRuntime, _session_id: str, _grace_s: float) -> None:
        if errors:
            raise errors.pop()
        ended.append("stopped")

    async def remove(_runtime: SimulatedRuntime, _session_id: str) -> None:
        ended.append("removed")

    for name, method in (("capacity", capacity), ("stop", fail_first), ("remove", remove)):
        monkeypatch.setattr(SimulatedRuntime, name, method)
    async with recording(tmp_path, status=404):
        await eventually(lambda: ended)
        assert ended[0] == expected


async def test_viewers_are_disconnected_if_too_much_data_of_videos_waits_for_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    async with recording(tmp_path, away=True, ends=True, max_waiting_bytes=2000) as host:
        await eventually(lambda: host.closed)
        assert host.closed.startswith("Its video could not be stored, and too much data of videos waits")
        assert host.failure == ""


async def test_an_api_that_stores_too_slowly_disconnects_viewers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "MAX_BREAKS", 1000)
    monkeypatch.setattr(session_video, "STORE_LIMIT_S", 0.3)

    async def store_slowly(*_args: object) -> None:
        await asyncio.sleep(0.15)

    monkeypatch.setattr(VideoApi, "store", store_slowly)
    async with recording(tmp_path, ends=True) as host:
        await eventually(lambda: host.closed)
        assert host.failure == ""


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, None),
        *((status, Invalid) for status in (400, 409, 413, 422)),
        *((status, Unavailable) for status in (401, 403, 404, 429, 500, 502)),
    ],
)
async def test_a_refused_segment_is_repeated_only_if_its_content_was_not_the_reason(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception] | None
):
    async def post(_client: httpx2.AsyncClient, url: str, **_options: object) -> httpx2.Response:
        assert url == "https://api.example/api/internal/session-video"
        return httpx2.Response(status, json={"detail": "No."} if status != 204 else None)

    monkeypatch.setattr(httpx2.AsyncClient, "post", post)
    api, segment = UpstreamAuth(None), VideoSegment(session_id=SESSION, segment_id=SESSION, began=0.0)
    expected = pytest.raises(error, match=f"api.example returned {status}: No.") if error else nullcontext()
    with expected:
        await api.store("api.example", "Bearer agent", segment)
    await api.close()


async def test_segments_leave_connections_for_viewers():
    opened, over = list[asyncio.StreamWriter](), asyncio.Event()

    async def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await over.wait()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname())
    api, segment = UpstreamAuth(None), VideoSegment(session_id=SESSION, segment_id=SESSION, began=0.0)
    tasks = [asyncio.create_task(api.store(address, "Bearer agent", segment)) for _ in range(MAX_SENT_SEGMENTS + 5)]
    try:
        await eventually(lambda: len(opened) == MAX_SENT_SEGMENTS)
        tasks.append(
            asyncio.create_task(api.report(address, "Bearer agent", ViewerReport(session_id=SESSION, watchers=[])))
        )
        await eventually(lambda: len(opened) == MAX_SENT_SEGMENTS + 1)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        over.set()
        server.close()
        await api.close()
