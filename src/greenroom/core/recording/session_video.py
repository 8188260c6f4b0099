"""Session videos: recordings of the screens of people's sessions.

The Agent of a session reads pictures from the session, and cuts them into *segments*, which begin with an independent
picture. The api encrypts and stores the segments. Each segment has a keyed hash of its data and of all earlier segments
(`chain`), and a complete video has a signature of its end (`seal`). A removed, replaced or changed segment is therefore
detected, also if the database was changed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from greenroom.core.errors import Invalid

SETTING: Final = "record_sessions"
"""The setting of a group, and the field of a workspace, that require a recording."""
SEGMENT_S: Final = 25.0
"""The minimum duration of a segment. The session sends an independent picture every 30 s."""
MAX_SEGMENT_S: Final = 90.0
"""The maximum time between two independent pictures: later, the recorder does not see the screen any more."""
MAX_FRAME_BYTES: Final = 8_000_000
"""A picture of random pixels on two 4K screens has 7 MB at the lowest quality. The session sends no larger picture."""
LARGE_SEGMENT_BYTES: Final = 1_500_000
"""A larger segment is cut at the next independent picture. The session sends one soon after 2 MB of changes."""
MAX_SEGMENT_BYTES: Final = 9_000_000
"""The maximum size of the file of a segment (`Cutter`)."""
MAX_REQUEST_BYTES: Final = MAX_SEGMENT_BYTES * 4 // 3 + 10_000
"""The maximum size of the request with a segment, in base64. The api and the gateways accept requests of this size."""
RECORDER_LIMIT_S: Final = 30.0
"""The time without a sign of life of the recorder after which the session is ended."""
STORE_WARNING_S: Final = 15.0
"""The time after which a segment that waits for the api is reported. An api that restarts answers again before."""
STORE_LIMIT_S: Final = 600.0
"""The time for which segments may wait for the api. Afterwards no user can see the session until they are stored."""
LOSS_LIMIT_S: Final = 60.0
"""The time in which all segments may be lost. Afterwards no user can see the session until a segment is stored."""
_FILE_HEAD_BYTES, _PICTURE_HEAD_BYTES = 1_000, 12
"""The sizes in the file of a segment that its pictures do not contain (`core.recording.mp4`)."""

CHANGE, INDEPENDENT, SIGN_OF_LIFE = 0, 1, 2
"""The kinds of frames, as in `recorder.py` of the session."""
_HEAD: Final = struct.Struct(">BHHI")

ClientSettings = Mapping[str, bool | int | float | str]
"""The settings that a session stores (`core.access.group_settings.ClientSettings`)."""
Sign = Callable[[bytes], bytes]
"""Returns the keyed hash of data."""


def with_workspace_policy(settings: ClientSettings, workspace_records: bool) -> ClientSettings:
    """Return the settings that a session stores, given those of the user's groups: the session is recorded if the
    groups or the workspace require it."""
    return {**settings, SETTING: is_recorded(settings) or workspace_records}


def is_recorded(settings: ClientSettings) -> bool:
    """Return True if a session that stores these settings must be recorded."""
    return bool(settings.get(SETTING))


@dataclass(frozen=True, slots=True)
class RecorderFrame:
    """A picture of the screen in H.264 (Annex B), or a sign of life without data. `at_s` is the time of its arrival."""

    at_s: float
    kind: int
    width: int = 0
    height: int = 0
    data: bytes = b""


class FrameReader:
    """Splits the stream of a session into frames. The session is not trusted."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes, at_s: float) -> Iterator[RecorderFrame]:
        """Yield the frames that are complete with `data`, which arrived at `at_s`. Raises Invalid: the stream is not
        valid."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            kind, width, height, length = _HEAD.unpack_from(self._buffer)
            if kind not in (CHANGE, INDEPENDENT, SIGN_OF_LIFE) or length > MAX_FRAME_BYTES:
                raise Invalid("The recorder of the session sent an invalid frame.")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            frame = RecorderFrame(at_s, kind, width, height, bytes(self._buffer[_HEAD.size : end]))
            del self._buffer[:end]
            yield frame


@dataclass(frozen=True, slots=True)
class Cut:
    """The frames of a segment, and its end. The first frame is independent."""

    frames: Sequence[RecorderFrame]
    end_s: float

    @property
    def durations_ms(self) -> list[int]:
        """The duration of each frame."""
        times_s = [*(frame.at_s for frame in self.frames), self.end_s]
        first_s = times_s[0]
        return [round((after - first_s) * 1000) - round((at - first_s) * 1000) for at, after in pairwise(times_s)]


class Cutter:
    """Cuts the frames of a stream into segments, at independent frames. The file of a segment has at most
    `MAX_SEGMENT_BYTES`: changes that would exceed this size are left out until the next independent frame, and the
    picture before them remains."""

    def __init__(self) -> None:
        self._frames: list[RecorderFrame] = []
        self._bytes = _FILE_HEAD_BYTES
        self._is_full = False
        self._last_s = 0.0

    def add(self, frame: RecorderFrame) -> Cut | None:
        """Add a frame. Return the segment that ended before it; None = the segment continues. Raises Invalid: the
        frames cannot become a segment."""
        self._last_s = frame.at_s
        if self._frames and frame.kind != INDEPENDENT and frame.at_s - self._frames[0].at_s > MAX_SEGMENT_S:
            raise Invalid(f"The recorder of the session sent no independent picture for {MAX_SEGMENT_S:g} s.")
        if frame.kind == SIGN_OF_LIFE:
            return None
        cut = self.finish() if self._must_cut_before(frame) else None
        if not self._frames and frame.kind != INDEPENDENT:
            raise Invalid("The stream of the recorder did not begin with an independent picture.")
        self._is_full = self._is_full or self._bytes + _file_bytes(frame) > MAX_SEGMENT_BYTES
        if not self._is_full:
            self._frames.append(frame)
            self._bytes += _file_bytes(frame)
        elif not self._frames:
            raise Invalid("The recorder of the session sent a picture that is too large.")
        return cut

    def _must_cut_before(self, frame: RecorderFrame) -> bool:
        if not self._frames or frame.kind != INDEPENDENT:
            return False
        first = self._frames[0]
        return (
            frame.at_s - first.at_s >= SEGMENT_S
            or (frame.width, frame.height) != (first.width, first.height)
            or self._is_full
            or self._bytes > LARGE_SEGMENT_BYTES
            or self._bytes + _file_bytes(frame) > MAX_SEGMENT_BYTES
        )

    def finish(self) -> Cut | None:
        """Return the frames that are not in a segment yet; None = there are none."""
        cut = Cut(self._frames, self._last_s) if self._frames else None
        self._frames, self._bytes, self._is_full = [], _FILE_HEAD_BYTES, False
        return cut


def _file_bytes(frame: RecorderFrame) -> int:
    """Return the maximum size of a frame in the file of its segment, where each unit of H.264 begins with its length
    instead of a start code of 3 bytes or more."""
    return len(frame.data) + frame.data.count(b"\0\0\1") + _PICTURE_HEAD_BYTES


_WAITS: Final = f"Its video could not be stored for {STORE_LIMIT_S / 60:g} minutes."
_LOST: Final = f"All parts of its video were lost for {LOSS_LIMIT_S:g} seconds."
_FILLS_MEMORY: Final = "Its video could not be stored, and too much data of videos waits in the memory of its Agent."


def refusal_of_viewers(*, waits_s: float, lost_s: float, fills_memory: bool) -> str:
    """Return the reason why no user may see a session that must be recorded, as a sentence; empty = viewers may see it.

    `waits_s` is the time for which its oldest segment waits for the api. `lost_s` is the time since the first of the
    segments that were lost after the last stored one. Both are 0 if there is none. `fills_memory`: too many segments of
    all sessions wait, and this session has the most.
    """
    reasons = ((waits_s > STORE_LIMIT_S, _WAITS), (fills_memory, _FILLS_MEMORY), (lost_s > LOSS_LIMIT_S, _LOST))
    return next((reason for applies, reason in reasons if applies), "")


def waits_for_storage(refusal: str) -> bool:
    """Return True if a session that no user sees for this reason is recorded again when its segments are stored. A
    session whose segments were lost continues to be recorded, until one is stored."""
    return refusal in (_WAITS, _FILLS_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """A stored segment without its data. `sha256` is the stored hash of the encrypted data, and `actual_sha256` is the
    hash of the data that the database contains now. `is_lost`: this data contains no picture."""

    number: int
    began: datetime
    duration_ms: int
    sha256: bytes
    chain: bytes
    actual_sha256: bytes
    is_lost: bool = False


def chain_of(
    sign: Sign, session_id: str, *, number: int, began: datetime, duration_ms: int, sha256: bytes, previous: bytes
) -> bytes:
    """Return the keyed hash of a segment and of all earlier segments; `previous` is empty for the first segment."""
    parts = (session_id, number, began.astimezone(UTC).isoformat(), duration_ms, sha256.hex(), previous.hex())
    return sign("|".join(map(str, parts)).encode())


def seal_of(sign: Sign, session_id: str, segments: int, chain: bytes) -> bytes:
    """Return the signature of the end of a complete video."""
    return sign(f"{session_id}|end|{segments}|{chain.hex()}".encode())


def problems_of(
    sign: Sign, session_id: str, entries: Sequence[SegmentEntry], *, segments: int, seal: bytes | None, is_over: bool
) -> list[str]:
    """Return what is wrong with a video, as sentences; empty if it is complete and unchanged.

    `entries` are its segments by number. `segments` is the stored number of segments. `seal` None = the video has no
    end, which is wrong only if its session `is_over`.
    """
    lost = [f"Segment {entry.number} could not be stored, and is lost." for entry in entries if entry.is_lost]
    problems: list[str] = []
    previous: bytes | None = b""
    expected = 1
    for entry in entries:
        if entry.number != expected:
            problems.append(_missing(expected, entry.number - 1))
            previous = None
        if entry.actual_sha256 != entry.sha256:
            problems.append(f"Segment {entry.number} was changed: its data does not match its hash.")
        if previous is not None and entry.chain != chain_of(
            sign,
            session_id,
            number=entry.number,
            began=entry.began,
            duration_ms=entry.duration_ms,
            sha256=entry.sha256,
            previous=previous,
        ):
            problems.append(f"Segment {entry.number} was replaced, or its time was changed.")
        previous, expected = entry.chain, entry.number + 1
    if expected <= segments:
        problems.append(_missing(expected, segments))
    if seal is None:
        ends = ["The end of the video is missing; later segments may be missing."] if is_over else []
        return [*lost, *problems, *ends]
    if not problems and seal != seal_of(sign, session_id, len(entries), previous or b""):
        problems.append("The end of the video was changed, or segments at the end are missing.")
    return [*lost, *problems]


def _missing(first: int, last: int) -> str:
    return f"Segment {first} is missing." if first == last else f"Segments {first} to {last} are missing."
