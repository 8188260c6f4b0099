"""Records the videos of sessions that must be recorded (`core.recording.session_video`).

The Agent reads the frames of the recorder in the session, cuts them into segments, and sends the segments to the api.
Nothing is stored on this host. Viewers are admitted while the recorder sends frames. The session is ended if its image
has no recorder, if there is no sign of life for `RECORDER_LIMIT_S`, or if a recorder that sent frames ends `MAX_BREAKS`
times within `BREAKS_WITHIN_S`.

If the segments of a session are not stored for a longer time (`refusal_of_viewers`), or take the most memory while
those of all sessions exceed `MAX_WAITING_BYTES`, its viewers are disconnected until they are stored: its programs
continue, and no user sees them.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import httpx2
import structlog

from greenroom.agent.session.observed import SessionSnapshot
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.video_segments import SegmentQueue
from greenroom.agent.stream.nginx_requests import page_authorization
from greenroom.core.errors import Invalid, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.mp4 import mp4_of
from greenroom.core.recording.session_video import (
    RECORDER_LIMIT_S,
    SIGN_OF_LIFE,
    STORE_LIMIT_S,
    Cut,
    Cutter,
    FrameReader,
    refusal_of_viewers,
    waits_for_storage,
)
from greenroom.kit.concurrency import convert_item_error, wait_for, warn_of_item_error
from greenroom.runtimes.contract import Runtime
from greenroom.wire.viewers import VideoSegment

log = structlog.get_logger(__name__)

PATH: Final = "/session-video"
POLL_S: Final = 1.0
RETRY_S: Final = 1.0
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 12.0
"""The recorder sends a sign of life every 4 s."""
STOP_GRACE_S: Final = 1.0
MAX_BREAKS: Final = 4
BREAKS_WITHIN_S: Final = 300.0
NOT_FOUND: Final = 404
"""The answer of a page without a recorder."""
MAX_WAITING_BYTES: Final = 500_000_000
"""The size of the segments of all sessions that may wait for the api in the memory of this Agent."""


class VideoStore(Protocol):
    """Stores segments at the api (agent.stream.admission)."""

    async def store(self, address: str, bearer: str, segment: VideoSegment) -> None:
        """Store a segment. Raises Unavailable: it is not stored. Raises Invalid: the api would refuse it again."""
        ...


class Bearer(Protocol):
    """The identity of this Agent (`agent.fleet.identity`)."""

    @property
    def bearer(self) -> str: ...


class SessionVideos:
    """Records all sessions of this Agent that must be recorded. `runtime` returns the runtime; None = it is not
    open. `count` counts the segments by outcome: `stored`, `waiting` (after each failed request) and `lost`."""

    def __init__(
        self,
        sessions: Sessions,
        identity: Bearer,
        store: VideoStore,
        runtime: Callable[[], Runtime | None],
        count: Callable[[str], None] = lambda _outcome: None,
        *,
        recorder_limit_s: float = RECORDER_LIMIT_S,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self.sessions = sessions
        self.count = count
        self.recorder_limit_s = recorder_limit_s
        self.max_waiting_bytes = max_waiting_bytes
        self.waiting_bytes: dict[str, int] = {}
        """The size of the segments of each session that wait for the api, except those of ended sessions."""
        self._identity = identity
        self._store = store
        self._runtime = runtime
        self._changed = asyncio.Event()
        self._recordings: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Task[None]] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # each container creates its certificate itself, and is on the loopback address
        context.verify_mode = ssl.CERT_NONE
        timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self.http = httpx2.AsyncClient(verify=context, timeout=timeout, limits=limits, trust_env=False)
        sessions.desired.changed.subscribe(lambda _: self._changed.set())

    async def close(self) -> None:
        await self.http.aclose()

    async def run(self) -> None:
        """Start the recording of each session that must be recorded, and stop each such session that has failed,
        forever."""
        async with asyncio.TaskGroup() as group:
            while True:
                for session_id in self.sessions.desired.entries:
                    if session_id not in self._recordings and self.must_record(session_id) is not None:
                        task = group.create_task(self._record(session_id), name=f"video:{session_id}")
                        self._recordings[session_id] = task
                        task.add_done_callback(lambda _, key=session_id: self._recordings.pop(key, None))
                    if session_id not in self._stops and self._must_stop(session_id):
                        task = group.create_task(self._stop(session_id), name=f"stop:{session_id}")
                        self._stops[session_id] = task
                        task.add_done_callback(lambda _, key=session_id: self._stops.pop(key, None))
                await wait_for(self._changed, POLL_S)
                self._changed.clear()

    async def _record(self, session_id: str) -> None:
        """Record a session until it is over. An unexpected error is logged, and `run` begins again."""
        with warn_of_item_error(log, "the recording of a session failed", "session", session_id, session_id=session_id):
            await _Recording(self, session_id).record()

    def must_record(self, session_id: str) -> SessionSnapshot | None:
        """Return the session if it must be recorded now; None = it has no user, no running container, or has
        failed."""
        session, desired = self.sessions.get(session_id), self.sessions.desired.get(session_id)
        container = self.sessions.observed.container(session_id)
        if session is None or desired is None or container is None or session.address is None:
            return None
        is_running = container.state == "running" and desired.want == "running"
        is_recorded = session.authorised is not None and session.authorised.recorded
        failed = self.sessions.observed.journal_facts(session_id).failure
        is_usable = self.sessions.observed.has_first_frame(session_id)
        return session if is_running and is_recorded and is_usable and not failed else None

    def _must_stop(self, session_id: str) -> bool:
        """Return True if a session that must be recorded has failed, so that it is not recorded, but still runs: its
        viewers may be connected. The reconciler changes no container of a failed session."""
        session, container = self.sessions.get(session_id), self.sessions.observed.container(session_id)
        if session is None or session.authorised is None or container is None:
            return False
        runs = container.state in ("running", "paused")
        failed = bool(self.sessions.observed.journal_facts(session_id).failure)
        return runs and failed and session.authorised.recorded

    async def _stop(self, session_id: str) -> None:
        """Stop the container of a session. It is removed if the runtime cannot stop containers, as in Kubernetes. An
        error is logged, and `run` tries again."""
        sentence = "a session that is not recorded could not be stopped"
        with warn_of_item_error(log, sentence, "session", session_id, session_id=session_id):
            runtime = self._runtime()
            if runtime is None:
                raise Unavailable("The container runtime is not open.")
            if (await runtime.capacity()).can_pause:
                await runtime.stop(session_id, STOP_GRACE_S)
            else:
                await runtime.remove(session_id)
        await asyncio.sleep(RETRY_S)

    def is_present(self, session_id: str) -> bool:
        """Return True if the session is not over: its container may also be stopped or paused."""
        return (
            self.sessions.get(session_id) is not None and not self.sessions.observed.journal_facts(session_id).failure
        )

    async def store(self, address: str, segment: VideoSegment) -> None:
        """Store a segment. Raises Unavailable: it is not stored. Raises Invalid: the api would refuse it again."""
        await self._store.store(address, self._identity.bearer, segment)

    async def end_session(self, session_id: str, reason: str) -> None:
        """Record the failure of a session that cannot be recorded; `run` then stops it."""
        sentence = f"The session was ended because it must be recorded: {reason}"
        await self.sessions.observed.update_record_durably(session_id, failure=sentence)
        self.sessions.outbox.log_line(LogCode.SESSION_NOT_RECORDED, f"Session {session_id}: {sentence}", session_id)
        self.waiting_bytes.pop(session_id, None)
        self._changed.set()


class _Recording:
    """The recording of one session, until the session is over."""

    def __init__(self, videos: SessionVideos, session_id: str) -> None:
        self._videos = videos
        self._session_id = session_id
        self._segments = SegmentQueue(videos.waiting_bytes, session_id, videos.sessions.outbox, videos.count)
        self._waits = False
        """True from the time at which viewers were disconnected because segments wait, until they are stored."""
        self._upstream: str | None = None
        """The Upstream Auth Address of the session; None = nothing was recorded."""
        self._alive_s = time.monotonic()
        """The last time at which the session need not be recorded, or the recorder gave a sign of life."""
        self._problem = "its recorder did not answer."
        self._breaks: deque[float] = deque(maxlen=MAX_BREAKS)
        """The times at which a recorder that had sent frames ended while the session had to be recorded."""

    async def record(self) -> None:
        """Record until the session is over."""
        storing = asyncio.create_task(self._segments.store_all(self._store))
        try:
            while self._videos.is_present(self._session_id):
                if reason := self._reason_to_end():
                    await self._videos.end_session(self._session_id, reason)
                elif (session := self._videos.must_record(self._session_id)) and not self._is_paused():
                    await self._read_frames(session)
                    await asyncio.sleep(RETRY_S)
                else:
                    self._alive_s = time.monotonic()
                    await asyncio.sleep(POLL_S)
            await self._finish()
        finally:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)
            self._videos.waiting_bytes.pop(self._session_id, None)

    async def _store(self, segment: VideoSegment) -> None:
        with convert_item_error("video", self._session_id):
            await self._videos.store(self._upstream or "", segment)

    def _reason_to_end(self) -> str:
        now = time.monotonic()
        if now - self._alive_s > self._videos.recorder_limit_s:
            return self._problem
        if len(self._breaks) == MAX_BREAKS and now - self._breaks[0] < BREAKS_WITHIN_S:
            return f"its recorder ended {MAX_BREAKS} times within {BREAKS_WITHIN_S:g} s."
        return ""

    def _refusal_of_viewers(self) -> str:
        """Return the reason why no user may see the session; empty = viewers may see it."""
        waiting = self._videos.waiting_bytes
        is_largest = waiting.get(self._session_id) == max(waiting.values(), default=0)
        return refusal_of_viewers(
            waits_s=self._segments.waits_s,
            lost_s=self._segments.lost_s,
            fills_memory=sum(waiting.values()) > self._videos.max_waiting_bytes and is_largest,
        )

    def _is_paused(self) -> bool:
        """Return True if the session is not recorded now, because no user sees it and its segments must be stored
        first."""
        if refusal := self._refusal_of_viewers():
            self._refuse_viewers(refusal)
            self._waits = self._waits or waits_for_storage(refusal)
        self._waits = self._waits and not self._segments.stored.is_set()
        return self._waits

    def _refuse_viewers(self, refusal: str) -> None:
        if self._videos.sessions.refuse_viewers(self._session_id, refusal):
            sentence = f"Session {self._session_id}: No user can see it until its video is stored again. {refusal}"
            self._videos.sessions.outbox.log_line(LogCode.SESSION_NOT_RECORDED, sentence, self._session_id)

    async def _read_frames(self, session: SessionSnapshot) -> None:
        """Record until the recorder ends or the session need not be recorded any more."""
        self._upstream = session.spec.upstream_auth
        reader, cutter = FrameReader(), Cutter()
        has_ended = True
        """True if the recorder ended by itself."""
        began_s: float | None = None
        """The time of the first frame of the segment, in seconds since 1970."""
        try:
            headers = {"Authorization": page_authorization(session.spec)}
            url = f"{session.spec.protocol}://{session.address}{PATH}"
            async with self._videos.http.stream("GET", url, headers=headers) as answer:
                if answer.status_code != 200:
                    self._record_refusal(answer.status_code)
                    return
                async for data in answer.aiter_raw():
                    for frame in reader.feed(data, time.monotonic()):
                        cut = cutter.add(frame)
                        if cut is not None or (began_s is None and frame.kind != SIGN_OF_LIFE):
                            cut_began_s, began_s = began_s or 0.0, time.time()
                            self._queue(cut, cut_began_s)
                        if began_s is not None:
                            self._alive_s = frame.at_s
                    must_record = self._videos.must_record(self._session_id) is not None
                    if not must_record or self._reason_to_end() or self._is_paused():
                        has_ended = False
                        break
                    if began_s is not None and not self._refusal_of_viewers():
                        self._videos.sessions.set_recorded(self._session_id, recorded=True)
            self._problem = f"its recorder ended, and did not start again within {self._videos.recorder_limit_s:g} s."
        except (httpx2.HTTPError, Invalid) as error:
            self._problem = f"its recorder failed: {str(error) or type(error).__name__}"
            log.warning("the recording of a session was interrupted", session_id=self._session_id, reason=self._problem)
        finally:
            self._videos.sessions.set_recorded(self._session_id, recorded=False)
            self._queue_last(cutter, began_s or 0.0)
        if has_ended and began_s is not None and self._videos.must_record(self._session_id) is not None:
            self._breaks.append(time.monotonic())

    def _record_refusal(self, status: int) -> None:
        """Record that the page refused to send frames. Other refusals than `NOT_FOUND` may be temporary."""
        if status == NOT_FOUND:
            self._problem, self._alive_s = "its image has no recorder.", -math.inf
        else:
            self._problem = f"its page answered {status} to the request for its recorder."
            log.warning("the recording of a session was refused", session_id=self._session_id, reason=self._problem)

    def _queue_last(self, cutter: Cutter, began_s: float) -> None:
        try:
            self._queue(cutter.finish(), began_s)
        except Invalid as error:
            log.warning("a segment of a video is not valid", session_id=self._session_id, reason=error.message)

    def _queue(self, cut: Cut | None, began_s: float) -> None:
        """Queue a segment for the api. Raises Invalid: it is no valid video."""
        if cut is None:
            return
        segment = VideoSegment(
            session_id=self._session_id,
            segment_id=str(uuid.uuid4()),
            began=began_s,
            duration_ms=sum(cut.durations_ms),
            data=mp4_of(cut),
        )
        self._segments.append(segment)

    async def _finish(self) -> None:
        """Store the end of the video, unless the api does not answer within `STORE_LIMIT_S`."""
        if self._upstream is None:
            return
        self._segments.append(
            VideoSegment(session_id=self._session_id, segment_id=str(uuid.uuid4()), began=time.time(), is_last=True)
        )
        if not await wait_for(self._segments.stored, STORE_LIMIT_S):
            self._segments.report_rest()
