"""Sharing as the published interface has it: one link for users to watch, made with the session."""

from __future__ import annotations

from greenroom.api.published.calls import Call
from greenroom.api.session import share_service
from greenroom.api.session.service import settings_of
from greenroom.api.session.share_schemas import JoinedView
from greenroom.api.session.share_service import Guest, Sharing
from greenroom.core.errors import Forbidden, NotFound
from greenroom.core.session.sharing import ShareWish, may_share
from greenroom.db.access.users import User
from greenroom.db.database import Database
from greenroom.db.session import shares, views


async def require_sharing(db: Database, user_id: str | None) -> None:
    """Raises Forbidden: this user may share nothing, so that no session is launched for it; None = a new user."""
    if reason := may_share(await settings_of(db, user_id)):
        raise Forbidden(reason)


async def shared(sharing: Sharing, call: Call, session_id: str) -> str:
    """The id of the share that the session was launched with; a repeated request gets the one it made before."""
    session = await views.get_session(sharing.db, session_id)
    if session.share_id is not None:
        return session.share_id
    wish = ShareWish(access="view", audience="users")
    return (await share_service.create(sharing, call.caller, session, wish)).share_id


async def joined(sharing: Sharing, share_id: str, user: User) -> JoinedView:
    """Let a user in by a share for users. Who was given more than that by name has what they were given.

    Raises:
        NotFound: there is no such share, or it is over.
        Forbidden: this user may not join.
    """
    share = await shares.find_share(sharing.db, share_id)
    if share is None or share.is_over or share.audience not in ("users", "user"):
        raise NotFound(f"There is no share {share_id[:60]}; it may have ended with its session.")
    if user.disabled or user.locked:
        raise Forbidden(f"The user {user.username} is disabled or locked.")
    named = await shares.list_shares_with(sharing.db, user.user_id)
    given = next((one for one in named if one.session_id == share.session_id), share)
    return await share_service.join(sharing, given, Guest(user.username, user.user_id))
