"""Records the videos of sessions that must be recorded (`core.recording.session_video`).

The Agent reads the frames of the recorder in the session, cuts them into segments, and sends the segments to the api.
Nothing is stored on this host. Viewers are admitted while the recorder sends frames. The session is ended if there is
no sign of life for `RECORDER_LIMIT_S`, if the recorder ends `MAX_BREAKS` times within `BREAKS_WITHIN_S`, or if a
segment waits for the api for `STORE_LIMIT_S`.
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
from greenroom.agent.stream.nginx_requests import page_authorization
from greenroom.core.errors import GreenroomError, Invalid, Unavailable
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.mp4 import mp4_of
from greenroom.core.recording.session_video import (
    RECORDER_LIMIT_S,
    STORE_LIMIT_S,
    Cut,
    Cutter,
    FrameReader,
)
from greenroom.kit.concurrency import convert_item_error, wait_for, warn_of_item_error
from greenroom.runtimes.contract import Containers
from greenroom.wire.viewers import VideoSegment

log = structlog.get_logger(__name__)

PATH: Final = "/session-video"
POLL_S: Final = 1.0
RETRY_S: Final = 1.0
STORE_RETRY_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 12.0
"""The recorder sends a sign of life every 4 s."""
STOP_GRACE_S: Final = 1.0
MAX_BREAKS: Final = 4
BREAKS_WITHIN_S: Final = 300.0
LAST_STORE_LIMIT_S: Final = 60.0
"""The time for which the last segments of a session that is over wait for the api."""


class VideoStore(Protocol):
    """Stores segments at the api (agent.stream.admission)."""

    async def store(self, address: str, bearer: str, segment: VideoSegment) -> None:
        """Store a segment. Raises Unavailable: it is not stored."""
        ...


class Bearer(Protocol):
    """The identity of this Agent (`agent.fleet.identity`)."""

    @property
    def bearer(self) -> str: ...


class SessionVideos:
    """Records all sessions of this Agent that must be recorded. `runtime` returns the runtime; None = it is not
    open."""

    def __init__(
        self,
        sessions: Sessions,
        identity: Bearer,
        store: VideoStore,
        runtime: Callable[[], Containers | None],
        *,
        recorder_limit_s: float = RECORDER_LIMIT_S,
        store_limit_s: float = STORE_LIMIT_S,
    ) -> None:
        self.sessions = sessions
        self.recorder_limit_s = recorder_limit_s
        self.store_limit_s = store_limit_s
        self._identity = identity
        self._store = store
        self._runtime = runtime
        self._changed = asyncio.Event()
        self._recordings: dict[str, asyncio.Task[None]] = {}
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
        """Start the recording of each session that must be recorded, forever."""
        async with asyncio.TaskGroup() as group:
            while True:
                for session_id in self.sessions.desired.entries:
                    if session_id not in self._recordings and self.must_record(session_id) is not None:
                        task = group.create_task(self._record(session_id), name=f"video:{session_id}")
                        self._recordings[session_id] = task
                        task.add_done_callback(lambda _, key=session_id: self._recordings.pop(key, None))
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

    def is_present(self, session_id: str) -> bool:
        """Return True if the session is not over: its container may also be stopped or paused."""
        return (
            self.sessions.get(session_id) is not None and not self.sessions.observed.journal_facts(session_id).failure
        )

    async def store(self, address: str, segment: VideoSegment) -> None:
        """Store a segment. Raises Unavailable: it is not stored."""
        await self._store.store(address, self._identity.bearer, segment)

    async def end_session(self, session_id: str, reason: str) -> None:
        """End a session that cannot be recorded."""
        sentence = f"The session was ended because it must be recorded: {reason}"
        await self.sessions.observed.update_record_durably(session_id, failure=sentence)
        self.sessions.outbox.log_line(LogCode.SESSION_NOT_RECORDED, f"Session {session_id}: {sentence}", session_id)
        runtime = self._runtime()
        if runtime is None or self.sessions.observed.container(session_id) is None:
            return
        try:
            with convert_item_error("session", session_id):
                await runtime.stop(session_id, STOP_GRACE_S)
        except GreenroomError as error:  # the reconciler stops the container of a failed session
            log.warning(
                "a session that is not recorded could not be stopped", session_id=session_id, reason=error.message
            )


class _Recording:
    """The recording of one session, until the session is over."""

    def __init__(self, videos: SessionVideos, session_id: str) -> None:
        self._videos = videos
        self._session_id = session_id
        self._waiting: deque[VideoSegment] = deque()
        self._waiting_since_s: float | None = None
        self._queued = asyncio.Event()
        self._stored = asyncio.Event()
        """Set while no segment waits for the api."""
        self._upstream: str | None = None
        """The Upstream Auth Address of the session; None = nothing was recorded."""
        self._alive_s = time.monotonic()
        """The last time at which the session need not be recorded, or the recorder gave a sign of life."""
        self._problem = "its recorder did not answer."
        self._breaks: deque[float] = deque(maxlen=MAX_BREAKS)
        """The times at which the recorder ended while the session had to be recorded."""

    async def record(self) -> None:
        """Record until the session is over."""
        storing = asyncio.create_task(self._store_segments())
        try:
            while self._videos.is_present(self._session_id):
                if reason := self._reason_to_end():
                    await self._videos.end_session(self._session_id, reason)
                elif session := self._videos.must_record(self._session_id):
                    await self._read_frames(session)
                    await asyncio.sleep(RETRY_S)
                else:
                    self._alive_s = time.monotonic()
                    await asyncio.sleep(POLL_S)
            await self._finish()
        finally:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)

    def _reason_to_end(self) -> str:
        now = time.monotonic()
        if self._waiting_since_s is not None and now - self._waiting_since_s > self._videos.store_limit_s:
            return f"the video could not be stored for {self._videos.store_limit_s:g} s."
        if now - self._alive_s > self._videos.recorder_limit_s:
            return self._problem
        if len(self._breaks) == MAX_BREAKS and now - self._breaks[0] < BREAKS_WITHIN_S:
            return f"its recorder ended {MAX_BREAKS} times within {BREAKS_WITHIN_S:g} s."
        return ""

    async def _read_frames(self, session: SessionSnapshot) -> None:
        """Record until the recorder ends or the session need not be recorded any more."""
        self._upstream = session.spec.upstream_auth
        reader, cutter = FrameReader(), Cutter()
        offset_s = time.time() - time.monotonic()
        try:
            headers = {"Authorization": page_authorization(session.spec)}
            url = f"{session.spec.protocol}://{session.address}{PATH}"
            async with self._videos.http.stream("GET", url, headers=headers) as answer:
                if answer.status_code != 200:
                    self._problem, self._alive_s = "its image has no recorder.", -math.inf
                    return
                async for data in answer.aiter_raw():
                    for frame in reader.feed(data, time.monotonic()):
                        self._queue(cutter.add(frame), offset_s)
                        self._alive_s = frame.at_s
                        self._videos.sessions.set_recorded(self._session_id, recorded=True)
                    if self._videos.must_record(self._session_id) is None or self._reason_to_end():
                        break
            self._problem = f"its recorder ended, and did not start again within {self._videos.recorder_limit_s:g} s."
        except (httpx2.HTTPError, Invalid) as error:
            self._problem = f"its recorder failed: {str(error) or type(error).__name__}"
            log.warning("the recording of a session was interrupted", session_id=self._session_id, reason=self._problem)
        finally:
            self._videos.sessions.set_recorded(self._session_id, recorded=False)
            self._queue_last(cutter, offset_s)
        if self._videos.must_record(self._session_id) is not None:
            self._breaks.append(time.monotonic())

    def _queue_last(self, cutter: Cutter, offset_s: float) -> None:
        try:
            self._queue(cutter.finish(), offset_s)
        except Invalid as error:
            log.warning("a segment of a video is not valid", session_id=self._session_id, reason=error.message)

    def _queue(self, cut: Cut | None, offset_s: float) -> None:
        """Queue a segment for the api. Raises Invalid: it is no valid video."""
        if cut is None:
            return
        segment = VideoSegment(
            session_id=self._session_id,
            segment_id=str(uuid.uuid4()),
            began=cut.frames[0].at_s + offset_s,
            duration_ms=sum(cut.durations_ms),
            data=mp4_of(cut),
        )
        self._append(segment)

    def _append(self, segment: VideoSegment) -> None:
        self._waiting.append(segment)
        self._waiting_since_s = self._waiting_since_s or time.monotonic()
        self._queued.set()
        self._stored.clear()

    async def _store_segments(self) -> None:
        """Store the queued segments in their order, forever."""
        while True:
            await self._queued.wait()
            while self._waiting:
                try:
                    await self._videos.store(self._upstream or "", self._waiting[0])
                except Unavailable as error:
                    log.warning(
                        "a segment of a video could not be stored", session_id=self._session_id, reason=error.message
                    )
                    await asyncio.sleep(STORE_RETRY_S)
                else:
                    self._waiting.popleft()
                    self._waiting_since_s = time.monotonic() if self._waiting else None
            self._queued.clear()
            self._stored.set()

    async def _finish(self) -> None:
        """Store the end of the video, unless the api does not answer within `LAST_STORE_LIMIT_S`."""
        if self._upstream is None:
            return
        self._append(
            VideoSegment(session_id=self._session_id, segment_id=str(uuid.uuid4()), began=time.time(), is_last=True)
        )
        if not await wait_for(self._stored, LAST_STORE_LIMIT_S):
            log.error("the end of a video could not be stored", session_id=self._session_id)
