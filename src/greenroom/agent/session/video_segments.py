"""The segments of the video of a session that the api has not stored yet.

A segment that the api cannot store waits, and the later ones behind it. The api may also refuse the content of a
segment: the Agent then sends its times only, so that the video contains its loss, and no request is repeated forever.
The first segment that is not stored is logged.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from greenroom.agent.session.outbox import Outbox
from greenroom.core.errors import GreenroomError, Invalid
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.session_video import STORE_WARNING_S
from greenroom.wire.viewers import VideoSegment

log = structlog.get_logger(__name__)

STORE_RETRY_S: Final = 5.0


class SegmentQueue:
    """The queue of one session. `waiting_bytes` contains the size of the queue of each session. `count` counts the
    segments by outcome: `stored`, `waiting` (after each failed request) and `lost`."""

    def __init__(
        self, waiting_bytes: dict[str, int], session_id: str, outbox: Outbox, count: Callable[[str], None]
    ) -> None:
        self.stored = asyncio.Event()
        """Set while the queue is empty."""
        self.stored.set()
        self._waiting_bytes = waiting_bytes
        self._session_id = session_id
        self._outbox = outbox
        self._count = count
        self._waiting: deque[tuple[float, VideoSegment]] = deque()
        """The segments, each with the time since which it waits."""
        self._queued = asyncio.Event()
        self._lost_since_s: float | None = None
        """The time of the first loss of a segment after which no segment was stored."""
        self._is_reported = False
        """True if the log says that segments are not stored."""

    @property
    def waits_s(self) -> float:
        """The time for which the oldest segment waits; 0 = none waits."""
        return time.monotonic() - self._waiting[0][0] if self._waiting else 0.0

    @property
    def lost_s(self) -> float:
        """The time since the first loss after which no segment was stored; 0 = there is none."""
        return 0.0 if self._lost_since_s is None else time.monotonic() - self._lost_since_s

    def append(self, segment: VideoSegment) -> None:
        self._waiting.append((time.monotonic(), segment))
        self._add_bytes(len(segment.data))
        self._queued.set()
        self.stored.clear()

    async def store_all(self, store: Callable[[VideoSegment], Awaitable[None]]) -> None:
        """Store the segments in their order with `store` (`video.VideoStore`), forever."""
        while True:
            await self._queued.wait()
            while self._waiting:
                segment = self._waiting[0][1]
                try:
                    await store(segment)
                except Invalid as error:
                    self._lose(error.message)
                except GreenroomError as error:
                    self._count("waiting")
                    if self.waits_s > STORE_WARNING_S:
                        self._report(f"its video waits in the memory of its Agent. {error.message}")
                    await asyncio.sleep(STORE_RETRY_S)
                else:
                    self._remove_first()
                    if segment.data:
                        self._record_stored()
            self._queued.clear()
            self.stored.set()

    def report_rest(self) -> None:
        """Log that the segments in the queue are lost, because the session is over."""
        rest_s = sum(segment.duration_ms for _, segment in self._waiting) / 1000
        self._is_reported = False
        self._report(f"the last {rest_s:.0f} s of its video and its end are lost: the api did not store them.")

    def _record_stored(self) -> None:
        self._count("stored")
        self._lost_since_s = None
        if self._is_reported:
            self._is_reported = False
            self._log(LogCode.SESSION_VIDEO_STORED, "its video is stored again.")

    def _lose(self, reason: str) -> None:
        """Replace the first segment, whose data the api would refuse again, by its times. Remove it if it has no
        data."""
        since_s, segment = self._waiting[0]
        self._remove_first()
        if segment.data:
            self._count("lost")
            self._lost_since_s = self._lost_since_s or time.monotonic()
            times = msgspec.structs.replace(segment, segment_id=str(uuid.uuid4()), data=b"")
            self._waiting.appendleft((since_s, times))
        self._report(f"{segment.duration_ms / 1000:.0f} s of its video are lost. {reason}")

    def _remove_first(self) -> None:
        _, segment = self._waiting.popleft()
        self._add_bytes(-len(segment.data))

    def _add_bytes(self, added: int) -> None:
        self._waiting_bytes[self._session_id] = max(0, self._waiting_bytes.get(self._session_id, 0) + added)

    def _report(self, sentence: str) -> None:
        """Log that a segment is not stored, unless the log says so already."""
        log.warning("a segment of a video is not stored", session_id=self._session_id, reason=sentence)
        if not self._is_reported:
            self._is_reported = True
            self._log(LogCode.SESSION_VIDEO_NOT_STORED, sentence)

    def _log(self, code: LogCode, sentence: str) -> None:
        self._outbox.log_line(code, f"Session {self._session_id}: {sentence}", self._session_id)
