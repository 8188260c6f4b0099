"""Sharing of sessions: the shares of a user, joining by a link, viewers, and the help of an administrator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Query, Request
from pydantic import Field

from greenroom.api.access.failed_attempts import FailedAttempts
from greenroom.api.bodies import MatchesPattern, View
from greenroom.api.deps import Db, FailedAttemptsDep, SecretsDep, SnapshotDep
from greenroom.api.hardening import LOGIN_COOKIE
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, client_address, login_caller, public_route, requires
from greenroom.api.session import share_service
from greenroom.api.session.authorized import kind_of, session_caller_of, settings_of, verdict_on
from greenroom.api.session.service import SessionAct, session_act_for
from greenroom.api.session.share_service import (
    AssistOrder,
    CandidateView,
    InvitationView,
    JoinBody,
    JoinedView,
    JoiningPerson,
    ReturnBody,
    ShareCreate,
    SharedWithMe,
    ShareLinkBody,
    ShareView,
    SharingDep,
    SharingParts,
    SharingView,
)
from greenroom.core.access.permissions import USER
from greenroom.core.errors import Forbidden, Invalid, NotFound, Refused, Unauthenticated
from greenroom.core.log_codes import LogCode
from greenroom.core.session.authorization import Act
from greenroom.core.session.sharing import (
    UNKNOWN_LINK,
    ShareRequest,
    announcement,
    has_view_only_mode,
    needs_log_in,
    reason_against_joining,
    reason_against_sharing,
    reason_against_silence,
    reason_against_viewer,
    viewer_name,
)
from greenroom.db.access import users
from greenroom.db.access.users import User
from greenroom.db.database import Database
from greenroom.db.session import shares, viewers
from greenroom.db.session.shares import NewShare, Share
from greenroom.db.session.viewers import ViewerRow
from greenroom.db.session.views import Session
from greenroom.kit.secrets import Secrets, is_same, secret_digest

router = api_router("sharing")

ShareId = Annotated[str, Path(), MatchesPattern(r"[0-9a-f]{8}", "eight of the characters 0-9 and a-f")]
MAX_CANDIDATES: Final = 20
ASSIST_S: Final = 8 * 3600
"""The time after which an administrator who assists must join again."""
SeeAct = Annotated[SessionAct, session_act_for(Act.SEE)]
ShareAct = Annotated[SessionAct, session_act_for(Act.SHARE)]
"""For the user of the session, or a program that acts for users."""
UnshareAct = Annotated[SessionAct, session_act_for(Act.UNSHARE)]


def _may_see_silent_assistants(caller: Caller) -> bool:
    return caller.may("sessions_assist_silent")


class ViewerView(View, row=ViewerRow, without={"session_id", "silent", "present"}):
    """A viewer of a session other than its user."""

    viewer_id: UUID
    user_id: Annotated[UUID | None, Field(description="null = guest")]
    announcement: Annotated[str, Field(description="sentence for the other viewers")]
    since: Annotated[datetime, Field(description="time at which the stream was opened")]
    seen_from: Annotated[str | None, Field(description="client address")]


@router.get("/sessions/{session_id}/sharing")
async def get_sharing(db: Db, act: SeeAct) -> SharingView:
    """Return the ways in which the user of a session may share it, by the settings of their groups."""
    settings = await settings_of(db, act.session.user_id)
    reason = reason_against_sharing(settings)
    return SharingView(
        allowed=reason is None,
        reason=reason,
        view=has_view_only_mode(act.session.status, act.session.steps) is not False,
        control=bool(settings["allow_shared_control"].value),
        guests=bool(settings["allow_guest_links"].value),
        max_seconds=int(settings["max_share_seconds"].value),
    )


@router.post("/sessions/{session_id}/shares", status_code=201)
async def create_share(body: ShareCreate, sharing: SharingDep, snapshot: SnapshotDep, act: ShareAct) -> ShareView:
    """Share a session: to watch or to control, with a user, with users who have the link, or with guests.

    The user with `username` must be one of the `share-candidates`. For any other user, the answer is the same as for a
    user who does not exist.
    """
    user = await _recipient(sharing.db, body, act.session, finds_all=_may_find_all_users(act.caller, snapshot))
    audience = "user" if user else "guests" if body.guest else "users"
    share_request = ShareRequest(access=body.access, audience=audience, seconds=body.seconds, name=body.name)
    share = await share_service.create(sharing, act.caller, act.session, share_request, user)
    return share_service.share_view(share, sharing.secrets)


def _may_find_all_users(caller: Caller, snapshot: SettingsSnapshot) -> bool:
    return caller.may("users_view") or snapshot.installation.share_outside_groups


async def _recipient(db: Database, body: ShareCreate, session: Session, *, finds_all: bool) -> User | None:
    """Return the user named in the body; None = the body names no user. Raises Invalid: the body has several of
    user_id, username and guest. Raises NotFound: there is no such user, or without `finds_all`, `username` is not
    in a group of the session's user."""
    if sum((body.user_id is not None, body.username is not None, body.guest)) > 1:
        raise Invalid("A share is for one user or for guests. Set exactly one of user_id, username and guest.")
    if body.user_id is None and body.username is None:
        return None
    if body.user_id is not None:  # ids cannot be guessed, so the answer does not reveal accounts
        if (user := await users.find_user_by_id(db, str(body.user_id))) is None:
            raise NotFound(f"There is no user {body.user_id}.")
        return user
    user = await users.find_user(db, str(body.username))
    owner = session.user_id or ""
    is_found = user is not None and (
        finds_all
        or user.user_id == owner
        or await viewers.have_common_group(db, owner, user.user_id, all_users=users.ALL_USERS)
    )
    if user is None or not is_found:
        raise NotFound(f"There is no user {body.username} in the groups of the session's user.")
    return user


@router.get("/sessions/{session_id}/shares")
async def list_shares(db: Db, secrets: SecretsDep, act: SeeAct) -> list[ShareView]:
    """List the shares of a session that are not over, oldest first."""
    rows = await shares.list_shares(db, act.session.session_id, silent=_may_see_silent_assistants(act.caller))
    may_share = await _may_share(db, act)
    return [_view_for_caller(share, secrets, may_share=may_share) for share in rows]


@router.get("/sessions/{session_id}/shares/{share_id}")
async def get_share(share_id: ShareId, db: Db, secrets: SecretsDep, act: SeeAct) -> ShareView:
    """Return one share of a session."""
    share = await _get_visible_share(db, act.caller, act.session, share_id)
    return _view_for_caller(share, secrets, may_share=await _may_share(db, act))


@router.delete("/sessions/{session_id}/shares", status_code=204)
async def end_shares(sharing: SharingDep, act: UnshareAct) -> None:
    """End all shares of a session. The streams of all viewers who joined by them end at once."""
    await share_service.end(sharing, act.caller, act.session)


@router.delete("/sessions/{session_id}/shares/{share_id}", status_code=204)
async def end_share(share_id: ShareId, sharing: SharingDep, act: UnshareAct) -> None:
    """End one share. The streams of all viewers who joined by it end at once."""
    await _get_visible_share(sharing.db, act.caller, act.session, share_id)
    await share_service.end(sharing, act.caller, act.session, share_id)


@router.post("/sessions/{session_id}/take-control", status_code=204)
async def take_control_back(sharing: SharingDep, act: UnshareAct) -> None:
    """Limit all other viewers of the session to watching."""
    async with sharing.db.transaction() as connection:
        events = await shares.resend_permitted_viewers(connection, act.session.session_id)
        changed = await shares.reduce_to_view(connection, act.session.session_id)
        if has_view_only_mode(act.session.status, act.session.steps) is False:  # the page accepts their input
            for share in changed:
                await shares.end_shares(connection, act.session.session_id, share.share_id)
    await sharing.db.notify(*events)
    if changed:
        message = f"{act.caller.name} took control back in session {act.session.session_id} of {act.session.username}"
        share_service.log_share(sharing.logs, LogCode.CONTROL_TAKEN_BACK, message, act.caller, act.session)


@router.get("/sessions/{session_id}/viewers")
async def list_viewers(db: Db, act: SeeAct) -> list[ViewerView]:
    """List the viewers of a session other than its user, in the order in which they joined."""
    rows = await viewers.list_present_viewers(db, act.session.session_id, silent=_may_see_silent_assistants(act.caller))
    return [
        ViewerView.of(
            viewer, since=viewer.present, announcement=announcement(viewer.name, viewer.audience, viewer.access)
        )
        for viewer in rows
    ]


@router.delete("/sessions/{session_id}/viewers/{viewer_id}", status_code=204)
async def put_viewer_out(viewer_id: UUID, sharing: SharingDep, act: UnshareAct) -> None:
    """Disconnect one viewer. They can join again by a link that is still valid."""
    async with sharing.db.transaction() as connection:
        events = await shares.resend_permitted_viewers(connection, act.session.session_id)
        viewer = await viewers.end_viewer(connection, act.session.session_id, str(viewer_id))
    await sharing.db.notify(*events)
    name = viewer_name(viewer.name, viewer.audience)
    message = f"{act.caller.name} removed {name} from session {act.session.session_id} of {act.session.username}"
    share_service.log_share(sharing.logs, LogCode.VIEWER_LEFT, message, act.caller, act.session)


@router.get("/sessions/{session_id}/share-candidates")
async def list_candidates(
    db: Db,
    snapshot: SnapshotDep,
    act: ShareAct,
    q: Annotated[str, Query(min_length=1, max_length=255, description="part of a name")],
) -> list[CandidateView]:
    """List the users that the caller can name in a share.

    They are the members of the groups of the session's user, except All Users. With `users_view`, or with the setting
    `share_outside_groups`, they are all users.
    """
    rows = await viewers.find_share_candidates(
        db,
        act.session.user_id or "",
        q,
        everybody=_may_find_all_users(act.caller, snapshot),
        all_users=users.ALL_USERS,
        limit=MAX_CANDIDATES,
    )
    return [CandidateView.model_validate(candidate) for candidate in rows]


@router.post("/sessions/{session_id}/assist", status_code=201)
async def assist(
    body: AssistOrder,
    sharing: SharingDep,
    snapshot: SnapshotDep,
    act: Annotated[SessionAct, session_act_for(Act.ASSIST)],
) -> JoinedView:
    """Join the session of a user to help. The user is informed unless `silent` is set, which needs a permission.

    To join the session of a user with permissions that the caller lacks, the caller needs `users_modify_admin`.
    """
    caller, session, access, silent = act.caller, act.session, body.access, body.silent
    user_id = caller.own_user_id()
    if silent:
        caller.require("sessions_assist_silent")
        if reason := reason_against_silence(allowed=snapshot.installation.allow_silent_assist):
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
        await shares.resend_permitted_viewers(connection, session.session_id)
        await shares.end_assistance(connection, session.session_id, user_id)
        share_id = await shares.insert_share(connection, new)
    purpose, manner = "control" if access == "control" else "watch", "unannounced" if silent else "announced"
    message = f"{caller.name} joins session {session.session_id} of {session.username} to {purpose}, {manner}"
    share_service.log_share(sharing.logs, LogCode.SESSION_ASSISTED, message, caller, session)
    share = await share_service.get_open_share(sharing.db, session.session_id, share_id)
    return await share_service.join(sharing, share, JoiningPerson(caller.name, user_id))


@router.get("/me/shares")
async def list_shared_with_me(
    db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires(USER)]
) -> list[SharedWithMe]:
    """List the sessions that others share with the caller by name."""
    rows = await shares.list_shares_with(db, caller.own_user_id())
    return [SharedWithMe.of(share, connect_url=share_service.link_of(share, secrets)) for share in rows]


_WITH_LINK_SECRET = public_route("the secret of the share's link is checked here")


@router.post("/shares/{share_id}/invitation", dependencies=[_WITH_LINK_SECRET])
async def read_invitation(
    share_id: ShareId, body: ShareLinkBody, request: Request, sharing: SharingDep
) -> InvitationView:
    """Return the session that a link leads to, to anyone with the link."""
    share = await _share_of_link(request, sharing, share_id, body)
    user = await _logged_in_caller(request)
    must_log_in = needs_log_in(share.audience) and user is None
    return InvitationView.of(
        share,
        needs_log_in=must_log_in,
        reason=None if must_log_in else reason_against_joining(share.facts, user.user_id if user else None),
    )


@router.post("/shares/{share_id}/viewers", status_code=201, dependencies=[_WITH_LINK_SECRET])
async def join(share_id: ShareId, body: JoinBody, request: Request, sharing: SharingDep) -> JoinedView:
    """Join a session by a link: as the user who is logged in, or as a guest if the link is for guests."""
    share = await _share_of_link(request, sharing, share_id, body)
    user = await _logged_in_caller(request)
    if user is None and needs_log_in(share.audience):
        raise Unauthenticated("This session is shared with users. Log in first.")
    name = user.name if user else body.name
    if not name:
        raise Invalid("Enter your name. It is shown to the other viewers of the session.")
    person = JoiningPerson(name, user.user_id if user else None, client_address(request))
    return await share_service.join(sharing, share, person)


@router.post("/shares/{share_id}/return", dependencies=[public_route("the viewer's own token is checked here")])
async def come_back(
    share_id: ShareId, body: ReturnBody, request: Request, sharing: SharingDep, failed_attempts: FailedAttemptsDep
) -> JoinedView:
    """Open the session again for a viewer who joined before, by the `session_token` from the first join."""
    viewer_id = sharing.secrets.viewer_id_in(body.session_token.get_secret_value())
    joined = await viewers.find_joined_viewer(sharing.db, viewer_id) if viewer_id else None
    share = await shares.find_share(sharing.db, share_id)
    if viewer_id is None or joined is None or share is None or joined.share_id != share_id:
        reason = UNKNOWN_LINK
    else:
        reason = reason_against_viewer(share.facts, user_enabled=joined.user_enabled, viewer_ended=joined.ended)
        if reason is None:
            return await share_service.joined_view(sharing, share, viewer_id, joined.name, client_address(request))
    failed_attempts.count_wrong_key(request, f"by the token of a viewer of share {share_id}")
    raise NotFound(reason)


async def _share_of_link(request: Request, sharing: SharingParts, share_id: str, body: ShareLinkBody) -> Share:
    """Return the share of a link.

    Raises:
        NotFound: the link is not valid. The sentence is always the same, so that it does not show if the share exists.
        TooManyRequests: there were too many wrong links from this address.
    """
    failed_attempts: FailedAttempts = request.app.state.failed_attempts
    failed_attempts.admit(request, "link", f"by the link of share {share_id}")
    share = await shares.find_share(sharing.db, share_id)
    token, session_id = body.token.get_secret_value(), share.session_id if share else ""
    if not is_same(token, sharing.secrets.share_token(share_id, session_id)) or share is None or share.is_over:
        failed_attempts.count_failure(request, "link")
        request.app.state.refusals.log_wrong_share(request, share_id)
        raise NotFound(UNKNOWN_LINK)
    return share


async def _logged_in_caller(request: Request) -> Caller | None:
    """Return the user of the log-in cookie of the request; None = a guest. A user who must first change the password or
    enroll a second factor is a guest, too."""
    token = request.cookies.get(LOGIN_COOKIE)
    try:
        caller = await login_caller(request, secret_digest(token)) if token else None
    except Unauthenticated:
        return None
    return None if caller and (caller.must_change_password or caller.must_enroll) else caller


async def _get_visible_share(db: Database, caller: Caller, session: Session, share_id: str) -> Share:
    share = await share_service.get_open_share(db, session.session_id, share_id)
    if share.silent and not _may_see_silent_assistants(caller):
        raise NotFound(f"There is no share {share_id} of this session; it may have ended.")
    return share


async def _may_share(db: Database, act: SessionAct) -> bool:
    caller, user_id = act.caller, act.session.user_id
    session_caller = session_caller_of(caller, user_id, kind_of(caller, user_id))
    return not (await verdict_on(db, Act.SHARE, session_caller, act.session)).refused


def _view_for_caller(share: Share, secrets: Secrets, *, may_share: bool) -> ShareView:
    """Return the share. Only callers who may share the session get its link."""
    view = share_service.share_view(share, secrets)
    return view if may_share else view.model_copy(update={"connect_url": ""})
