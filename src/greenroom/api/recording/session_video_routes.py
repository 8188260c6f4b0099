"""Session videos: their list, their segments for players, and their verification.

A caller first begins a *viewing*, which leaves one event of the audit. The answer contains a ticket for the segments.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Query
from fastapi.responses import Response
from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.recording import session_videos as service
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Forbidden
from greenroom.core.log_codes import LogCode
from greenroom.db import session_videos
from greenroom.db.session_videos import VIDEOS, SessionVideo, StoredSegment

VIEW_PERMISSION: Final = "session_videos_view"
VIEWING_S: Final = 12 * 3600
"""The time for which a viewing is valid."""

router = api_router("sessions")
Viewer = Annotated[Caller, requires(VIEW_PERMISSION)]
_MP4: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}


class SessionVideoView(View, row=SessionVideo, without={"key_encrypted", "seal", "is_over"}):
    """The video of a session."""

    session_id: UUID
    user_id: Annotated[UUID | None, Field(description="null = the user was deleted")]
    image_id: UUID | None
    latest: Annotated[datetime, Field(description="end of the last stored segment")]
    ended: Annotated[datetime | None, Field(description="null = the session runs, or the end of the video is missing")]
    segments: Annotated[int, Field(description="number of segments; they are numbered from 1")]
    duration_ms: Annotated[int, Field(description="total duration of the segments")]
    size_bytes: Annotated[int, Field(description="total size of the encrypted segments")]


class VideoSegmentView(View, row=StoredSegment):
    """A segment of a video."""

    began: Annotated[datetime, Field(description="time of the first picture, by the clock of the Agent")]


class ViewingView(View):
    """A viewing of a video."""

    viewing: Annotated[str, Field(description="ticket for the segments of this video, valid for 12 hours")]
    segments: list[VideoSegmentView]


class VideoVerificationView(View):
    """The result of the verification of a video."""

    ok: Annotated[bool, Field(description="true = the video is complete and unchanged")]
    segments: int
    ended: datetime | None
    problems: Annotated[list[str], Field(description="what is wrong, as sentences that name the segments")]


@router.get("/session-videos")
async def list_session_videos(
    db: Db,
    page: Paging,
    _caller: Viewer,
    username: Annotated[str | None, Query(description="only the sessions of this user", max_length=300)] = None,
    workspace: Annotated[str | None, Query(description="only this workspace (friendly name)", max_length=300)] = None,
    since: Annotated[datetime | None, Query(description="only videos with pictures after this time")] = None,
    until: Annotated[datetime | None, Query(description="only videos that began before this time")] = None,
) -> list[SessionVideoView]:
    """List the videos of sessions, newest first."""
    conditions = VIDEOS.matching(username=username, workspace=workspace, since=since, until=until)
    return [SessionVideoView.model_validate(video) for video in await page.read(db, VIDEOS, conditions)]


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
    responses={200: {"content": {"video/mp4": _MP4}, "description": "the segment as a fragmented MP4 file"}},
)
async def get_video_segment(
    session_id: UUID,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the segment")],
    viewing: Annotated[str, Query(description="ticket of a viewing of this video", max_length=2000)],
    db: Db,
    secrets: SecretsDep,
    caller: Viewer,
) -> Response:
    """Return a segment, for a viewing of the caller. Raises Forbidden: the ticket is not valid."""
    if secrets.read_ticket(viewing, VIEWING_S) != _viewing_text(caller, str(session_id)):
        raise Forbidden("The viewing is not valid or has expired; begin another viewing of this video.")
    video = await session_videos.get_video(db, str(session_id))
    data = await service.read_segment(db, secrets, video, number)
    return Response(data, media_type="video/mp4", headers={"Cache-Control": "no-store"})


@router.get("/session-videos/{session_id}/verification")
async def verify_session_video(session_id: UUID, db: Db, secrets: SecretsDep, _caller: Viewer) -> VideoVerificationView:
    """Check that the video is complete and unchanged. No picture is decrypted."""
    video = await session_videos.get_video(db, str(session_id))
    problems = await service.verify(db, secrets, video)
    return VideoVerificationView(ok=not problems, segments=video.segments, ended=video.ended, problems=problems)


def _viewing_text(caller: Caller, session_id: str) -> bytes:
    return f"session video|{session_id}|{caller.kind}|{caller.user_id or caller.key_id}".encode()
