"""Sharing of sessions for both HTTP interfaces: create, join, end, take control back, help.

Each action is a log row.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends

from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.security import Caller
from greenroom.api.session.authorized import settings_of
from greenroom.api.session.service import Streams, StreamUrls, frame_url, stream_url_of
from greenroom.api.session.share_schemas import JoinedView, ShareView
from greenroom.core.errors import Forbidden, NotFound, Refused
from greenroom.core.events import ChangeEvent
from greenroom.core.log_codes import LogCode
from greenroom.core.session.sharing import (
    MAX_SHARES,
    UNKNOWN_LINK,
    ShareWish,
    announcement,
    keeps_view_only,
    refusal_of_silence,
    refusal_of_viewer,
    refusal_to_join,
    refusal_to_share,
    share_ends,
    viewer_name,
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

ASSIST_S: Final = 8 * 3600
"""The time after which an administrator who helps has to join again."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A person who joins; `user_id` None = without an account."""

    name: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sharing:
    """The parts that sharing needs, for one request."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    streams: StreamUrls


async def _sharing(db: Db, logs: Logs, secrets: SecretsDep, streams: Streams) -> Sharing:
    return Sharing(db, logs, secrets, streams)


SharingDep = Annotated[Sharing, Depends(_sharing)]


def link_of(share: Share, secrets: Secrets) -> str:
    """Return the address to join by, relative to the deployment. The secret follows #, so browsers do not send it."""
    return f"/join/{share.share_id}#{secrets.share_token(share.share_id, share.session_id)}"


def share_view(share: Share, secrets: Secrets) -> ShareView:
    """Return a share as its owner sees it."""
    return ShareView.of(share, connect_url=link_of(share, secrets))


async def create(
    sharing: Sharing, caller: Caller, session: Session, wish: ShareWish, user: User | None = None
) -> Share:
    """Share a session with `user`, or with people who have the link.

    Raises:
        Forbidden: the settings of the session's user do not allow it.
        Refused: the session cannot be shared in this way, or there are too many shares.
    """
    settings = await settings_of(sharing.db, session.user_id)
    known = keeps_view_only(session.status, session.steps)
    if session.user_id is None:
        raise Refused("A staged session has no user, so it cannot be shared.")
    if reason := refusal_to_share(wish, settings, status=session.status, keeps_view_only=known):
        raise Forbidden(reason)
    if user is not None and user.user_id == session.user_id:
        raise Refused("The session belongs to this user.")
    if user is not None and (user.disabled or user.locked):
        raise Refused(f"The user {user.username} is disabled or locked.")
    if len(await shares.list_shares(sharing.db, session.session_id, silent=True)) >= MAX_SHARES:
        raise Refused(f"The session already has {MAX_SHARES} shares. End one of them first.")
    new = NewShare(
        session_id=session.session_id,
        access=wish.access,
        audience=wish.audience,
        user_id=user.user_id if user else None,
        made_by=caller.name,
        expires=share_ends(wish, settings, datetime.now(UTC)),
    )
    return await _stored(sharing, caller, session, new)


async def _stored(sharing: Sharing, caller: Caller, session: Session, new: NewShare) -> Share:
    async with sharing.db.transaction() as connection:
        share_id = await shares.insert_share(connection, new)
    share = await existing(sharing.db, session.session_id, share_id)
    await sharing.db.notify(ChangeEvent.session(session.session_id))
    others = {
        "user": f"user {share.username}",
        "users": "users who have the link",
        "guests": "guests who have the link",
    }
    what = "control" if share.access == "control" else "watch"
    until = f" until {share.expires:%Y-%m-%d %H:%M} UTC" if share.expires else ""
    _log(
        sharing.logs,
        LogCode.SHARE_CREATED,
        f"{caller.name} shared session {session.session_id} of {session.username} with"
        f" {others.get(share.audience, share.username)} to {what}{until}",
        caller,
        session,
    )
    return share


async def existing(db: Database, session_id: str, share_id: str) -> Share:
    """Return a share of this session that is not over.

    Raises:
        NotFound: there is none with this id.
    """
    share = await shares.find_share(db, share_id)
    if share is None or share.session_id != session_id or share.is_over:
        raise NotFound(f"There is no share {share_id} of this session; it may have ended.")
    return share


async def end(sharing: Sharing, caller: Caller, session: Session, share_id: str | None = None) -> None:
    """End one share of a session, or all. The streams of the viewers who joined by them end at once."""
    async with sharing.db.transaction() as connection:
        events = await shares.instruct_agent(connection, session.session_id)
        ended = await shares.end_shares(connection, session.session_id, share_id)
    await sharing.db.notify(*events)
    for share in ended:
        _log(
            sharing.logs,
            LogCode.SHARE_ENDED,
            f"{caller.name} ended the share {share.share_id} of session {session.session_id} of {session.username}",
            caller,
            session,
        )


async def put_out(sharing: Sharing, caller: Caller, session: Session, viewer_id: str) -> None:
    """Disconnect one viewer; the share remains valid.

    Raises:
        NotFound: no viewer with this id is in the session.
    """
    async with sharing.db.transaction() as connection:
        events = await shares.instruct_agent(connection, session.session_id)
        viewer = await viewers.end_viewer(connection, session.session_id, viewer_id)
    await sharing.db.notify(*events)
    name = viewer_name(viewer.name, viewer.audience)
    message = f"{caller.name} removed {name} from session {session.session_id} of {session.username}"
    _log(sharing.logs, LogCode.VIEWER_LEFT, message, caller, session)


async def take_control_back(sharing: Sharing, caller: Caller, session: Session) -> None:
    """Limit all other viewers to watching. They are disconnected if the page cannot prevent them from typing."""
    async with sharing.db.transaction() as connection:
        events = await shares.instruct_agent(connection, session.session_id)
        changed = await shares.let_all_watch(connection, session.session_id)
        if keeps_view_only(session.status, session.steps) is False:
            for share in changed:
                await shares.end_shares(connection, session.session_id, share.share_id)
    await sharing.db.notify(*events)
    if changed:
        message = f"{caller.name} took control back in session {session.session_id} of {session.username}"
        _log(sharing.logs, LogCode.CONTROL_TAKEN_BACK, message, caller, session)


async def by_link(db: Database, secrets: Secrets, share_id: str, token: str) -> Share:
    """Return the share of a link.

    Raises:
        NotFound: one sentence for every reason, so that no one finds out which shares exist.
    """
    share = await shares.find_share(db, share_id)
    is_right = secrets.is_share_token(token, share_id, share.session_id if share else "")
    if share is None or not is_right or share.is_over:
        raise NotFound(UNKNOWN_LINK)
    return share


async def join(sharing: Sharing, share: Share, guest: Guest) -> JoinedView:
    """Admit a person by a share. A user who joins again is the same viewer.

    Raises:
        Forbidden: they may not join; the error contains the reason.
    """
    if reason := refusal_to_join(share.facts, guest.user_id):
        raise Forbidden(reason)
    async with sharing.db.transaction() as connection:
        events = await shares.instruct_agent(connection, share.session_id)
        viewer_id = await viewers.insert_viewer(
            connection, share, viewer_id=str(uuid.uuid4()), user_id=guest.user_id, name=guest.name
        )
    await sharing.db.notify(*events)
    sharing.logs.write(
        LogCode.VIEWER_JOINED,
        f"{viewer_name(guest.name, share.audience)} joined session {share.session_id} of {share.owner}"
        f" by share {share.share_id} of {share.made_by}",
        session_id=share.session_id,
        user_id=guest.user_id,
        username=guest.name if guest.user_id else None,
        details={"viewer_id": viewer_id, "access": share.access, "audience": share.audience},
    )
    return await _joined(sharing, share, viewer_id, guest.name)


async def back(sharing: Sharing, share_id: str, token: str) -> JoinedView:
    """Return the access to the session of a viewer who joined before, by their token.

    Raises:
        NotFound: the token does not belong to this share, or the viewer may not return.
    """
    viewer_id = sharing.secrets.viewer_of(token)
    joined = await viewers.find_joined(sharing.db, viewer_id) if viewer_id else None
    share = await shares.find_share(sharing.db, share_id)
    if viewer_id is None or joined is None or share is None or joined.share_id != share_id:
        raise NotFound(UNKNOWN_LINK)
    if reason := refusal_of_viewer(share.facts, user_enabled=joined.user_enabled, viewer_ended=joined.ended):
        raise NotFound(reason)
    return await _joined(sharing, share, viewer_id, joined.name)


async def _joined(sharing: Sharing, share: Share, viewer_id: str, name: str) -> JoinedView:
    session = await views.get_session(sharing.db, share.session_id)
    url = stream_url_of(session, sharing.streams)
    token = sharing.secrets.viewer_token(viewer_id)
    return JoinedView.of(
        share,
        viewer_id=viewer_id,
        name=name,
        lease_id=session.lease_id,
        record=session.record,
        session_token=token,
        frame_url=frame_url(session, url, token) if url else None,
        websocket_path=f"{urlsplit(url).path}websockify" if url else None,
    )


async def assist(
    sharing: Sharing, caller: Caller, session: Session, access: Access, *, silent: bool, silence_allowed: bool
) -> JoinedView:
    """Admit an administrator to a user's session to help.

    Raises:
        Forbidden: the session is the administrator's own; or `silent` is not permitted to them or in this installation.
        Refused: the session has no user.
    """
    user_id = caller.own_user_id()
    if silent:
        caller.require("sessions_assist_silent")
        if reason := refusal_of_silence(allowed=silence_allowed):
            raise Forbidden(reason)
    if session.user_id is None:
        raise Refused("A staged session has no user, so Assist is not possible.")
    new = NewShare(
        session_id=session.session_id,
        access=access,
        audience="assistant",
        user_id=user_id,
        made_by=caller.name,
        expires=datetime.now(UTC) + timedelta(seconds=ASSIST_S),
        silent=silent,
    )
    async with sharing.db.transaction() as connection:
        await shares.instruct_agent(connection, session.session_id)
        await shares.end_assistance(connection, session.session_id, user_id)
        share_id = await shares.insert_share(connection, new)
    what, how = "control" if access == "control" else "watch", "unannounced" if silent else "announced"
    _log(
        sharing.logs,
        LogCode.SESSION_ASSISTED,
        f"{caller.name} joins session {session.session_id} of {session.username} to {what}, {how}",
        caller,
        session,
    )
    share = await existing(sharing.db, session.session_id, share_id)
    return await join(sharing, share, Guest(caller.name, user_id))


async def report_present(
    db: Database, logs: LogWriter, agent_id: str, session_id: str, clients: dict[str, str]
) -> None:
    """Store the viewers of a session as its Agent reports them: viewer id → address. An event notifies its user."""
    async with db.transaction() as connection:
        came, left = await viewers.write_present(connection, agent_id, session_id, clients)
    if not came and not left:
        return
    await db.notify(ChangeEvent.session(session_id))
    for viewer in came:
        _log_viewer(logs, LogCode.VIEWER_JOINED, viewer, f"joined session {session_id} from {viewer.seen_from}")
    for viewer in left:
        _log_viewer(logs, LogCode.VIEWER_LEFT, viewer, f"left session {session_id}")


def _log_viewer(logs: LogWriter, code: LogCode, viewer: ViewerRow, what: str) -> None:
    logs.write(
        code,
        f"{announcement(viewer.name, viewer.audience, viewer.access)}: {what}",
        session_id=viewer.session_id,
        user_id=viewer.user_id,
        username=viewer.name if viewer.user_id else None,
        details={"viewer_id": viewer.viewer_id, "share_id": viewer.share_id},
    )


def _log(logs: LogWriter, code: LogCode, message: str, caller: Caller, session: Session) -> None:
    """Write a row that is stored before the answer, because sharing gives access."""
    logs.write(
        code,
        message,
        zone_name=session.zone_name,
        session_id=session.session_id,
        user_id=caller.user_id,
        username=caller.username,
        pressing=True,
    )
