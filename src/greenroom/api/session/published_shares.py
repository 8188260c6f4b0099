"""Sharing as the published interface has it: one link for users to watch, made with the session."""

from __future__ import annotations

from greenroom.api.published.calls import Call
from greenroom.api.session import share_service
from greenroom.api.session.share_schemas import JoinedView
from greenroom.api.session.share_service import Guest, Sharing
from greenroom.core.errors import Forbidden, NotFound, Refused
from greenroom.core.session.sharing import ShareWish
from greenroom.db.access.users import User
from greenroom.db.session import shares, views
from greenroom.db.session.shares import Share


async def shared(sharing: Sharing, call: Call, session_id: str) -> tuple[str | None, str | None]:
    """The id of the share that the session was launched with, or None and the reason why its user may not share. A
    repeated request gets the share that it made before.
    """
    session = await views.get_session(sharing.db, session_id)
    if session.share_id is not None:
        return session.share_id, None
    try:
        share = await share_service.create(sharing, call.caller, session, ShareWish(access="view", audience="users"))
    except (Forbidden, Refused) as refusal:
        return None, f"The session is not shared. {refusal.message}"
    return share.share_id, None


async def share_for_users(sharing: Sharing, share_id: str, user: User) -> Share:
    """The share that this user asks to join.

    Raises:
        NotFound: there is no such share for users, or it is over.
        Forbidden: the user is disabled or locked.
    """
    share = await shares.find_share(sharing.db, share_id)
    if share is None or share.is_over or share.audience not in ("users", "user"):
        raise NotFound(f"There is no share {share_id[:60]}; it may have ended with its session.")
    if user.disabled or user.locked:
        raise Forbidden(f"The user {user.username} is disabled or locked.")
    return share


async def joined(sharing: Sharing, share: Share, user: User) -> JoinedView:
    """Let a user in by a share. A user with a share by name gets the access of that share.

    Raises:
        Forbidden: this user may not join.
    """
    named = await shares.list_shares_with(sharing.db, user.user_id)
    given = next((one for one in named if one.session_id == share.session_id), share)
    return await share_service.join(sharing, given, Guest(user.username, user.user_id))
