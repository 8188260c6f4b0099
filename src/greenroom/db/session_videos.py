"""Session videos and their encrypted segments. A video remains after its session has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.core.recording.session_video import SETTING, SegmentEntry
from greenroom.db.database import Connection, Database, row_as
from greenroom.db.listing import ListColumn, ListDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionVideo:
    """The video of a session. `ended` None = the session runs, or the end of the video is missing; `is_over` is True
    if no further segment can arrive. `is_stored` is False if the first segment is missing."""

    session_id: str
    user_id: str | None
    username: str
    image_id: str | None
    image_friendly_name: str
    zone_name: str
    key_encrypted: bytes
    begun: datetime
    latest: datetime
    ended: datetime | None
    is_over: bool
    is_stored: bool
    seal: bytes | None
    segments: int
    duration_ms: int
    lost_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSegment:
    """A segment of a video, without its data. A segment is lost if the api refused its data."""

    number: int
    began: datetime
    duration_ms: int
    size_bytes: int
    is_lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSegment:
    """An encrypted segment with its hashes."""

    data: bytes
    sha256: bytes
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVideo:
    """A video that is locked, because its Agent continues it. `chain` is that of its last segment."""

    key_encrypted: bytes
    segments: int
    lost_ms: int
    chain: bytes
    ended: datetime | None
    username: str
    user_id: str | None


_IS_RECORDED: Final[LiteralString] = (
    "v.ended IS NULL AND EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = v.session_id AND s.status <> 'deleted')"
)
_IS_LOST: Final[LiteralString] = "(octet_length(data) = 28)"
"""Whether a segment contains no data, but only the nonce (12 bytes) and the tag (16 bytes) of AES-GCM."""
NEWEST_FIRST: Final = SortOrder("begun", descending=True)
VIDEOS: Final = ListDefinition(
    row_type=SessionVideo,
    noun="video of session",
    select=(
        "v.session_id::text, v.user_id::text, v.username, v.image_id::text, v.image_friendly_name, v.zone_name,"
        f" v.key_encrypted, v.begun, v.latest, v.ended, NOT ({_IS_RECORDED}) AS is_over, EXISTS (SELECT 1"
        "  FROM session_video_segments g WHERE g.session_id = v.session_id AND g.number = 1) AS is_stored,"
        " v.seal, v.segments, v.duration_ms, v.lost_ms, v.size_bytes"
    ),
    source="FROM session_videos v",
    key="v.session_id",
    columns={
        "begun": ListColumn("v.begun", "timestamptz"),
        "user": ListColumn("lower(v.username)", orders=False),
        "workspace": ListColumn("lower(v.image_friendly_name)", orders=False),
        "zone": ListColumn("lower(v.zone_name)", orders=False),
        "session": ListColumn("v.session_id::text", orders=False),
    },
    order=NEWEST_FIRST,
    filters={
        "session_id": "v.session_id = %(session_id)s",
        "username": "v.username = %(username)s",
        "workspace": "v.image_friendly_name = %(workspace)s",
        "since": "v.latest >= %(since)s",
        "until": "v.begun <= %(until)s",
        "is_over": f"({_IS_RECORDED}) <> %(is_over)s",
    },
)
get_video: Final = VIDEOS.get


async def videos_of(db: Database, session_ids: Sequence[str]) -> list[SessionVideo]:
    """Return the videos of these sessions; a session that was not recorded has none."""
    where: LiteralString = "WHERE v.session_id = ANY(%s::uuid[])"
    return await db.fetch_as(SessionVideo, f"{VIDEOS.query} {where}", (list(session_ids),))


VERIFIED_AT_ONCE: Final = 20
"""The number of segments whose hashes one statement computes, so that it ends within its time limit."""


async def create_video(connection: Connection, session_id: str, agent_id: str, key_encrypted: bytes) -> None:
    """Create the video of a session with this key, unless it exists, the session does not run on this Agent, or it need
    not be recorded."""
    await connection.execute(
        "INSERT INTO session_videos (session_id, user_id, username, image_id, image_friendly_name, zone_name, agent_id,"
        "  key_encrypted, begun, latest)"
        " SELECT s.session_id, u.user_id, u.username, i.image_id, i.friendly_name, z.zone_name, s.agent_id, %(key)s,"
        "  clock_timestamp(), clock_timestamp()"
        " FROM sessions s JOIN users u USING (user_id) JOIN images i USING (image_id)"
        " JOIN zones z ON z.zone_id = s.zone_id"
        " WHERE s.session_id = %(session_id)s AND s.agent_id = %(agent_id)s"
        f" AND (s.client_settings ->> '{SETTING}')::bool"
        " ON CONFLICT (session_id) DO NOTHING",
        {"key": key_encrypted, "session_id": session_id, "agent_id": agent_id},
    )


async def lock_video(connection: Connection, session_id: str, agent_id: str) -> OpenVideo | None:
    """Return and lock the video of a session; None = this Agent records no video of it."""
    cursor = await connection.execute(
        "SELECT key_encrypted, segments, lost_ms, chain, ended, username, user_id::text FROM session_videos"
        " WHERE session_id = %s AND agent_id = %s FOR NO KEY UPDATE",
        (session_id, agent_id),
    )
    return row_as(OpenVideo, await cursor.fetchone())


async def has_segment(connection: Connection, segment_id: str) -> bool:
    """Return True if a segment was stored by an earlier request with the same content."""
    cursor = await connection.execute("SELECT 1 FROM session_video_segments WHERE segment_id = %s", (segment_id,))
    return await cursor.fetchone() is not None


async def append_segment(
    connection: Connection,
    session_id: str,
    segment_id: str,
    *,
    number: int,
    began: datetime,
    duration_ms: int,
    segment: NewSegment,
    is_lost: bool,
) -> None:
    """Store a segment of a locked video. A lost segment has no picture: it does not make the video longer."""
    values = {
        "is_lost": is_lost,
        "session_id": session_id,
        "segment_id": segment_id,
        "number": number,
        "began": began,
        "duration_ms": duration_ms,
        "sha256": segment.sha256,
        "chain": segment.chain,
        "data": segment.data,
        "size_bytes": len(segment.data),
    }
    await connection.execute(
        "INSERT INTO session_video_segments (session_id, number, segment_id, began, duration_ms, sha256, chain, data)"
        " VALUES (%(session_id)s, %(number)s, %(segment_id)s, %(began)s, %(duration_ms)s, %(sha256)s, %(chain)s,"
        " %(data)s)",
        values,
    )
    await connection.execute(
        "UPDATE session_videos SET segments = %(number)s, chain = %(chain)s, size_bytes = size_bytes + %(size_bytes)s,"
        " duration_ms = duration_ms + CASE WHEN %(is_lost)s THEN 0 ELSE %(duration_ms)s END,"
        " lost_ms = lost_ms + CASE WHEN %(is_lost)s THEN %(duration_ms)s ELSE 0 END,"
        " begun = CASE WHEN segments = 0 THEN %(began)s ELSE begun END,"
        " latest = CASE WHEN %(is_lost)s THEN latest ELSE greatest(latest,"
        "  least(%(began)s + make_interval(secs => %(duration_ms)s / 1000.0), clock_timestamp())) END"
        " WHERE session_id = %(session_id)s",
        values,
    )


async def end_video(connection: Connection, session_id: str, seal: bytes) -> None:
    """Store the end of a locked video."""
    await connection.execute(
        "UPDATE session_videos SET ended = clock_timestamp(), seal = %s WHERE session_id = %s", (seal, session_id)
    )


async def read_segments(db: Database, session_id: str) -> list[StoredSegment]:
    """Return the segments of a video in their order."""
    return await db.fetch_as(
        StoredSegment,
        "SELECT number, began, duration_ms, octet_length(data) AS size_bytes,"
        f" {_IS_LOST} AS is_lost FROM session_video_segments"
        " WHERE session_id = %s ORDER BY number",
        (session_id,),
    )


async def read_segment_data(db: Database, session_id: str, number: int) -> bytes:
    """Return the encrypted data of a segment. Raises NotFound: the video has no such segment."""
    row = await db.fetch_one(
        "SELECT data FROM session_video_segments WHERE session_id = %s AND number = %s", (session_id, number)
    )
    return require_row(row, "segment", str(number))["data"]


async def read_entries(db: Database, session_id: str) -> list[SegmentEntry]:
    """Return the entries of a video for its verification; the database computes the hashes of the data."""
    entries: list[SegmentEntry] = []
    while True:
        found = await db.fetch_as(
            SegmentEntry,
            "SELECT number, began, duration_ms, sha256, chain, sha256(data) AS actual_sha256,"
            f" {_IS_LOST} AS is_lost FROM session_video_segments"
            " WHERE session_id = %s AND number > %s ORDER BY number LIMIT %s",
            (session_id, entries[-1].number if entries else 0, VERIFIED_AT_ONCE),
        )
        entries += found
        if len(found) < VERIFIED_AT_ONCE:
            return entries
