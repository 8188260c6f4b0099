"""Session videos: their list, their segments for players, and their verification.

A caller first begins a *viewing*, which leaves one event of the audit. The answer contains a ticket for the segments.
Each segment comes with a new ticket, so that a viewing ends soon after the player stops.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field

from greenroom.api.bodies import Text, View
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.paging import MAX_SEARCH, Paging
from greenroom.api.problems import api_router
from greenroom.api.recording import session_videos as service
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Forbidden
from greenroom.core.listing import order_of, words_of
from greenroom.core.log_codes import LogCode
from greenroom.db import session_videos
from greenroom.db.session_videos import NEWEST_FIRST, VIDEOS, SessionVideo, StoredSegment

VIEW_PERMISSION: Final = "session_videos_view"
VIEWING_S: Final = 15 * 60
"""The time for which a viewing is valid after its begin, and after each segment."""
VIEWING_HEADER: Final = "X-Viewing"
"""The header of a segment with the ticket for the next segments."""

router = api_router("sessions")
Viewer = Annotated[Caller, requires(VIEW_PERMISSION)]
_MP4: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


class SessionVideoView(View, row=SessionVideo, without={"key_encrypted", "seal"}):
    """The video of a session."""

    session_id: UUID
    user_id: Annotated[UUID | None, Field(description="null = the user was deleted")]
    image_id: UUID | None
    latest: Annotated[datetime, Field(description="end of the last stored segment")]
    ended: Annotated[datetime | None, Field(description="null = the session runs, or the end of the video is missing")]
    is_over: Annotated[bool, Field(description="true = the recording has ended")]
    is_stored: Annotated[
        bool,
        Field(
            description="false = the first segment is missing: a restored backup did not contain it, or it was removed"
        ),
    ]
    segments: Annotated[int, Field(description="number of segments; they are numbered from 1")]
    duration_ms: Annotated[int, Field(description="total duration of the segments")]
    lost_ms: Annotated[int, Field(description="total duration of the segments that could not be stored")]
    size_bytes: Annotated[int, Field(description="total size of the encrypted segments")]


class VideoSegmentView(View, row=StoredSegment):
    """A segment of a video."""

    began: Annotated[datetime, Field(description="time of the first picture, by the clock of the Agent")]
    is_lost: Annotated[bool, Field(description="true = it could not be stored, and has no picture")]


class ViewingView(View):
    """A viewing of a video."""

    viewing: Annotated[str, Field(description="ticket for the segments of this video, valid for 15 minutes")]
    segments: list[VideoSegmentView]


class SessionVideoQuery(BaseModel):
    """The filter and the order of a list of videos."""

    session_id: Annotated[UUID | None, Field(description="only the video of this session")] = None
    username: Annotated[Text | None, Field(description="only the sessions of this user")] = None
    workspace: Annotated[Text | None, Field(description="only this workspace (friendly name)")] = None
    since: Annotated[AwareDatetime | None, Field(description="only videos with pictures after this time")] = None
    until: Annotated[AwareDatetime | None, Field(description="only videos that began before this time")] = None
    is_over: Annotated[
        bool | None, Field(description="true = only recordings that have ended; false = only those that continue")
    ] = None
    q: Annotated[
        str,
        Field(max_length=MAX_SEARCH, description="only videos with all these words; `user:ada` searches one column"),
    ] = ""
    sort: Annotated[str, Field(description="column; with - in front for descending order")] = str(NEWEST_FIRST)
    count: Annotated[
        bool, Field(description="return the number of videos in X-Total-Count; 10000+ = at least 10,000")
    ] = False


class VideoVerificationView(View):
    """The result of the verification of a video."""

    ok: Annotated[bool, Field(description="true = the video is complete and unchanged")]
    segments: int
    ended: datetime | None
    problems: Annotated[list[str], Field(description="what is wrong, as sentences that name the segments")]


@router.get("/session-videos")
async def list_session_videos(
    db: Db, page: Paging, _caller: Viewer, query: Annotated[SessionVideoQuery, Query()]
) -> list[SessionVideoView]:
    """List the videos of sessions, newest first unless the request sets another order."""
    words = words_of(query.q, VIDEOS.columns)
    conditions = VIDEOS.matching(words, **{name: getattr(query, name) for name in VIDEOS.filters})
    if query.count:
        page.set_total(await VIDEOS.count(db, conditions, "begun"))
    found = await page.read(db, VIDEOS, conditions, order_of(query.sort, VIDEOS.orders))
    return [SessionVideoView.model_validate(video) for video in found]


@router.get("/session-videos/{session_id}")
async def get_session_video(session_id: UUID, db: Db, _caller: Viewer) -> SessionVideoView:
    """Return the facts about the video of a session, without its pictures."""
    return SessionVideoView.model_validate(await session_videos.get_video(db, str(session_id)))


@router.post("/session-videos/{session_id}/viewings", status_code=201)
async def view_session_video(session_id: UUID, db: Db, logs: Logs, secrets: SecretsDep, caller: Viewer) -> ViewingView:
    """Begin a viewing of a video. Each viewing leaves one event of the audit."""
    video = await session_videos.get_video(db, str(session_id))
    logs.write(
        LogCode.SESSION_VIDEO_VIEWED,
        f"{caller.name} viewed the video of session {video.session_id} of {video.username}",
        session_id=video.session_id,
        user_id=caller.user_id,
        username=caller.username,
        details={"who": caller.name, "user": video.username, "workspace": video.image_friendly_name},
        object_kind="session-video",
        object_name=video.session_id,
        urgent=True,
    )
    segments = await session_videos.read_segments(db, video.session_id)
    return ViewingView(
        viewing=secrets.ticket(_viewing_text(caller, video.session_id)),
        segments=[VideoSegmentView.model_validate(segment) for segment in segments],
    )


@router.get(
    "/session-videos/{session_id}/segments/{number}",
    response_class=Response,
    responses={
        200: {
            "content": {"video/mp4": _MP4},
            "description": "the segment as a fragmented MP4 file",
            "headers": {VIEWING_HEADER: {"schema": {"type": "string"}, "description": "the ticket for next segments"}},
        }
    },
)
async def get_video_segment(
    session_id: UUID,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the segment")],
    viewing: Annotated[str, Query(description="ticket of a viewing of this video", max_length=2000)],
    db: Db,
    secrets: SecretsDep,
    caller: Viewer,
) -> Response:
    """Return a segment, for a viewing of the caller. The header `X-Viewing` renews the viewing.

    Raises Forbidden: the ticket is not valid.
    """
    viewing_text = _viewing_text(caller, str(session_id))
    if secrets.read_ticket(viewing, VIEWING_S) != viewing_text:
        raise Forbidden("The viewing is not valid or has expired; begin another viewing of this video.")
    video = await session_videos.get_video(db, str(session_id))
    data = await service.read_segment(db, secrets, video, number)
    headers = {"Cache-Control": "no-store", VIEWING_HEADER: secrets.ticket(viewing_text)}
    return Response(data, media_type="video/mp4", headers=headers)


@router.get("/session-videos/{session_id}/verification")
async def verify_session_video(session_id: UUID, db: Db, secrets: SecretsDep, _caller: Viewer) -> VideoVerificationView:
    """Check that the video is complete and unchanged. No picture is decrypted."""
    video = await session_videos.get_video(db, str(session_id))
    problems = await service.verify(db, secrets, video)
    return VideoVerificationView(ok=not problems, segments=video.segments, ended=video.ended, problems=problems)


def _viewing_text(caller: Caller, session_id: str) -> bytes:
    return f"session video|{session_id}|{caller.kind}|{caller.user_id or caller.key_id}".encode()
