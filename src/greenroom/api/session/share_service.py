"""Sharing of sessions, for `/api/v1` and the published interface: create and end shares, join, record viewers.

Each action writes a log row.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends
from pydantic import AfterValidator, Field, StringConstraints

from greenroom.api.bodies import Body, Line, Name, Secret, Text, View
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.security import Caller
from greenroom.api.session.authorized import settings_of
from greenroom.api.session.schemas import LeaseId, Recorded, RecordedData, Watermark
from greenroom.api.session.service import Streams, StreamUrls, frame_url, stream_url_of
from greenroom.core.access.accounts import username_problem
from greenroom.core.errors import Forbidden, NotFound, Refused
from greenroom.core.events import ChangeEvent
from greenroom.core.log_codes import LogCode
from greenroom.core.recording.session_video import is_recorded
from greenroom.core.session.sharing import (
    MAX_SHARES,
    Audience,
    ShareRequest,
    announcement,
    has_view_only_mode,
    reason_against_joining,
    reason_against_new_share,
    share_end_time,
    viewer_name,
    watermark_of,
)
from greenroom.core.session.streams import Access
from greenroom.db.access.users import User
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session import shares, viewers, views
from greenroom.db.session.shares import NewShare, Share
from greenroom.db.session.viewers import ViewerRow
from greenroom.db.session.views import Session
from greenroom.kit.secrets import Secrets

MAX_SECONDS = 366 * 86400


class ShareCreate(Body):
    """A new share.

    With `user_id` or `username`, the share is for that user. With `guest`, it is for people without an account who have
    the link. Otherwise, it is for users who have the link.
    """

    access: Annotated[Access, Field(description="view = watch only, control = also use keyboard and pointer")]
    user_id: UUID | None = None
    username: Name | None = None
    guest: bool = False
    seconds: Annotated[
        int | None,
        Field(ge=1, le=MAX_SECONDS, description="duration; null = the maximum, `max_share_seconds`"),
    ] = None
    name: Annotated[
        Line, Field(max_length=60, description="name of the share for its owner, such as of a link; empty = none")
    ] = ""


class ShareView(View):
    """A share; `connect_url` is the link, relative to the deployment."""

    share_id: str
    session_id: UUID
    name: Annotated[str, Field(description="name that the owner gave; empty = none")]
    access: Access
    audience: Annotated[
        Audience,
        Field(
            description="user = the named user, users = users with the link, guests = anyone with the link,"
            " assistant = an administrator who helps"
        ),
    ]
    user_id: Annotated[UUID | None, Field(description="named user")]
    username: str | None
    connect_url: str
    made_by: str
    created: datetime
    expires: Annotated[datetime | None, Field(description="null = end of the session")]
    present: Annotated[int, Field(description="number of viewers who joined by it and are connected")]


class SharingView(View):
    """The ways in which the owner of a session may share it."""

    allowed: bool
    reason: Annotated[str | None, Field(description="reason why the session cannot be shared, as a sentence")]
    view: Annotated[
        bool, Field(description="true = the page of the session refuses input from viewers who may only watch")
    ]
    control: bool
    guests: bool
    max_seconds: Annotated[int, Field(description="0 = until the session ends")]


class CandidateView(View):
    """A user to share a session with."""

    user_id: UUID
    username: str
    first_name: str
    last_name: str


class ShareLinkBody(Body):
    """The secret part of the link of a share."""

    token: Annotated[Secret, Field(description="part of the link after #")]


class InvitationView(View):
    """The session that a link leads to, before the caller joins."""

    share_id: str
    owner: str
    image_friendly_name: str
    access: Access
    audience: Audience
    expires: datetime | None
    needs_log_in: Annotated[bool, Field(description="true = the link is for users, who must log in first")]
    reason: Annotated[str | None, Field(description="reason why joining is not possible now, as a sentence")]


def _guest_name(name: str) -> str:
    if name and (problem := username_problem(name, noun="name")):
        raise ValueError(problem)
    return name


class JoinBody(ShareLinkBody):
    """A request to join by a link.

    `name` is the name of a guest for the other viewers, who see it with `(guest)` after it.
    """

    name: Annotated[Text, StringConstraints(strip_whitespace=True, max_length=60), AfterValidator(_guest_name)] = ""


class ReturnBody(Body):
    """The return of a viewer who joined before."""

    session_token: Annotated[Secret, Field(description="token from the first join")]


class JoinedView(View):
    """The access of a viewer to the session."""

    viewer_id: UUID
    share_id: str
    session_id: UUID
    lease_id: LeaseId
    record: RecordedData
    owner: str | None
    image_friendly_name: str
    name: str
    access: Access
    expires: datetime | None
    session_token: Annotated[str, Field(description="opens the stream for this viewer until the share ends")]
    frame_url: Annotated[str | None, Field(description="address for a frame; null = the session has no Agent yet")]
    watermark: Watermark
    recorded: Recorded
    websocket_path: Annotated[
        str | None,
        Field(description="path of the websocket with RFB (VNC), at the host of frame_url; it needs authorization"),
    ]


class SharedWithMe(View):
    """A session that another user shares with the caller by name."""

    share_id: str
    session_id: UUID
    owner: str | None
    image_friendly_name: str
    access: Access
    expires: datetime | None
    connect_url: str


class AssistOrder(Body):
    """A request of an administrator to join and help; `silent` = the user is not informed."""

    access: Access = "view"
    silent: bool = False


@dataclass(frozen=True, slots=True)
class JoiningPerson:
    """A person who joins; `user_id` None = without an account. `address` is that of a person who joins by a link."""

    name: str
    user_id: str | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class SharingParts:
    """The parts of the api that sharing needs, for one request."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    streams: StreamUrls


async def _sharing_parts(db: Db, logs: Logs, secrets: SecretsDep, streams: Streams) -> SharingParts:
    return SharingParts(db, logs, secrets, streams)


SharingDep = Annotated[SharingParts, Depends(_sharing_parts)]


def link_of(share: Share, secrets: Secrets) -> str:
    """Return the address at which people join, relative to the deployment. The secret is after #, so that browsers do
    not send it."""
    return f"/join/{share.share_id}#{secrets.share_token(share.share_id, share.session_id)}"


def share_view(share: Share, secrets: Secrets) -> ShareView:
    """Return a share as its owner sees it."""
    return ShareView.of(share, connect_url=link_of(share, secrets))


async def create(
    sharing: SharingParts, caller: Caller, session: Session, share_request: ShareRequest, user: User | None = None
) -> Share:
    """Share a session with `user`, or with people who have the link.

    Raises:
        Forbidden: the settings of the session's user do not allow it.
        Refused: the session cannot be shared in this way, or there are too many shares.
    """
    settings = await settings_of(sharing.db, session.user_id)
    has_mode = has_view_only_mode(session.status, session.steps)
    if session.user_id is None:
        raise Refused("A staged session has no user, so it cannot be shared.")
    if reason := reason_against_new_share(share_request, settings, status=session.status, has_view_only_mode=has_mode):
        raise Forbidden(reason)
    if user is not None and user.user_id == session.user_id:
        raise Refused("The session belongs to this user.")
    if user is not None and (user.disabled or user.locked):
        raise Refused(f"The user {user.username} is disabled or locked.")
    if len(await shares.list_shares(sharing.db, session.session_id, silent=True)) >= MAX_SHARES:
        raise Refused(f"The session already has {MAX_SHARES} shares. End one of them first.")
    new = NewShare(
        session_id=session.session_id,
        access=share_request.access,
        audience=share_request.audience,
        user_id=user.user_id if user else None,
        name=share_request.name,
        made_by=caller.name,
        expires=share_end_time(share_request, settings, datetime.now(UTC)),
    )
    return await _create_share(sharing, caller, session, new)


async def _create_share(sharing: SharingParts, caller: Caller, session: Session, new: NewShare) -> Share:
    async with sharing.db.transaction() as connection:
        share_id = await shares.insert_share(connection, new)
    share = await get_open_share(sharing.db, session.session_id, share_id)
    await sharing.db.notify(ChangeEvent.session(session.session_id))
    audiences = {
        "user": f"user {share.username}",
        "users": "users who have the link",
        "guests": "guests who have the link",
    }
    purpose = "control" if share.access == "control" else "watch"
    until = f" until {share.expires:%Y-%m-%d %H:%M} UTC" if share.expires else ""
    log_share(
        sharing.logs,
        LogCode.SHARE_CREATED,
        f"{caller.name} shared session {session.session_id} of {session.username} with"
        f" {audiences.get(share.audience, share.username)} to {purpose}{until}",
        caller,
        session,
    )
    return share


async def get_open_share(db: Database, session_id: str, share_id: str) -> Share:
    """Return a share of this session that is not over. Raises NotFound: there is no such share."""
    share = await shares.find_share(db, share_id)
    if share is None or share.session_id != session_id or share.is_over:
        raise NotFound(f"There is no share {share_id} of this session; it may have ended.")
    return share


async def end(sharing: SharingParts, caller: Caller, session: Session, share_id: str | None = None) -> None:
    """End one share or all shares of a session. The streams of the viewers who joined by them end at once."""
    async with sharing.db.transaction() as connection:
        events = await shares.resend_permitted_viewers(connection, session.session_id)
        ended = await shares.end_shares(connection, session.session_id, share_id)
    await sharing.db.notify(*events)
    for share in ended:
        log_share(
            sharing.logs,
            LogCode.SHARE_ENDED,
            f"{caller.name} ended the share {share.share_id} of session {session.session_id} of {session.username}",
            caller,
            session,
        )


async def join(sharing: SharingParts, share: Share, person: JoiningPerson) -> JoinedView:
    """Admit a person by a share. A user who joins again keeps the viewer id. Raises Forbidden: the person may not join;
    the error contains the reason."""
    if reason := reason_against_joining(share.facts, person.user_id):
        raise Forbidden(reason)
    async with sharing.db.transaction() as connection:
        events = await shares.resend_permitted_viewers(connection, share.session_id)
        viewer_id = await viewers.insert_viewer(
            connection, share, viewer_id=str(uuid.uuid4()), user_id=person.user_id, name=person.name
        )
    await sharing.db.notify(*events)
    sharing.logs.write(
        LogCode.VIEWER_JOINED,
        f"{viewer_name(person.name, share.audience)} joined session {share.session_id} of {share.owner}"
        f" by share {share.share_id} of {share.made_by}",
        session_id=share.session_id,
        user_id=person.user_id,
        username=person.name if person.user_id else None,
        details={"viewer_id": viewer_id, "access": share.access, "audience": share.audience},
    )
    return await joined_view(sharing, share, viewer_id, person.name, person.address)


async def joined_view(sharing: SharingParts, share: Share, viewer_id: str, name: str, address: str) -> JoinedView:
    """Return the access of a viewer who joined, and who has this address."""
    session = await views.get_session(sharing.db, share.session_id)
    url = stream_url_of(session, sharing.streams)
    token = sharing.secrets.viewer_token(viewer_id)
    shown_address = address if share.audience == "guests" else ""
    return JoinedView.of(
        share,
        viewer_id=viewer_id,
        name=name,
        lease_id=session.lease_id,
        record=session.record,
        session_token=token,
        frame_url=frame_url(session, url, token) if url else None,
        recorded=is_recorded(session.client_settings),
        watermark=watermark_of(session.client_settings, viewer_name(name, share.audience), shown_address),
        websocket_path=f"{urlsplit(url).path}websockify" if url else None,
    )


async def store_present_viewers(
    db: Database, logs: LogWriter, agent_id: str, session_id: str, clients: dict[str, str]
) -> None:
    """Store the viewers of a session as its Agent reports them: viewer id → address. An event notifies its user."""
    async with db.transaction() as connection:
        arrived, departed = await viewers.store_present_viewer_rows(connection, agent_id, session_id, clients)
    if not arrived and not departed:
        return
    await db.notify(ChangeEvent.session(session_id))
    for viewer in arrived:
        _log_viewer(logs, LogCode.VIEWER_JOINED, viewer, f"joined session {session_id} from {viewer.seen_from}")
    for viewer in departed:
        _log_viewer(logs, LogCode.VIEWER_LEFT, viewer, f"left session {session_id}")


def _log_viewer(logs: LogWriter, code: LogCode, viewer: ViewerRow, event: str) -> None:
    logs.write(
        code,
        f"{announcement(viewer.name, viewer.audience, viewer.access)}: {event}",
        session_id=viewer.session_id,
        user_id=viewer.user_id,
        username=viewer.name if viewer.user_id else None,
        details={"viewer_id": viewer.viewer_id, "share_id": viewer.share_id},
    )


def log_share(logs: LogWriter, code: LogCode, message: str, caller: Caller, session: Session) -> None:
    """Write a log row. It is stored before the answer, because sharing gives access."""
    logs.write(
        code,
        message,
        zone_name=session.zone_name,
        session_id=session.session_id,
        user_id=caller.user_id,
        username=caller.username,
        urgent=True,
    )
