"""Shares of a session: who may give others access, who may join, and what they may do then.

A *share* is what was given: to a named user, to all users with its link, to guests (people without an account), or to
an administrator who helps. Who joins by a share is a *viewer* with a token of their own. What a viewer may do is the
access of their share at that moment, and the Agent and the session's page enforce it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.access.group_settings import Resolved
from greenroom.core.access.permissions import allows
from greenroom.core.session.states import OVER, SessionStatus
from greenroom.core.session.streams import OPEN, Access

Audience = Literal["user", "users", "guests", "assistant"]
"""A named user; users who have the link; people without an account who have the link; an administrator who helps."""

SHAREABLE: Final = frozenset(SessionStatus) - OVER
MAX_SHARES: Final = 50
"""Of one session at a time."""
MAX_VIEWERS: Final = 100
"""Who joined by one share."""
UNKNOWN_LINK: Final = "This link opens nothing: it is wrong, or the session is not shared any more."


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWish:
    """What the owner of a session asks for; `seconds` None = as long as is allowed."""

    access: Access
    audience: Audience
    seconds: int | None = None


def may_share(settings: Mapping[str, Resolved]) -> str | None:
    """Why an owner with these settings may share nothing, as a sentence; None = they may."""
    allowed = settings["allow_kasm_sharing"]
    return None if allowed.value else f"Sessions may not be shared: {allowed.trace}."


def refusal_to_share(
    wish: ShareWish, settings: Mapping[str, Resolved], *, status: SessionStatus, keeps_view_only: bool | None
) -> str | None:
    """Why the owner may not share so, as a sentence; None = they may.

    `settings` are the owner's. `keeps_view_only`: whether the session's page keeps those who may only watch from
    typing; None = not known yet.
    """
    most_s = int(settings["max_share_seconds"].value)
    reasons = (
        (status not in SHAREABLE, f"The session is {status}; it cannot be shared any more."),
        (reason := may_share(settings), reason),
        (
            wish.audience == "guests" and not settings["allow_guest_links"].value,
            f"Guests may not be let in: {settings['allow_guest_links'].trace}.",
        ),
        (
            wish.access == "control" and not settings["allow_shared_control"].value,
            f"Others may only watch: {settings['allow_shared_control'].trace}.",
        ),
        (
            wish.access == "control" and wish.audience == "users",
            "Control is given to a named user; say which one, or share the link to watch.",
        ),
        (
            most_s and wish.seconds is not None and wish.seconds > most_s,
            f"A share may last {most_s} s at most: {settings['max_share_seconds'].trace}.",
        ),
        (wish.access == "view" and keeps_view_only is False, NO_VIEW_ONLY),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def reason_to_end(
    access: Access,
    audience: Audience,
    *,
    silent: bool,
    settings: Mapping[str, Resolved],
    permissions: Collection[str],
    silence_allowed: bool,
) -> str | None:
    """Why a share that is open may not go on, as a sentence; None = it may.

    `settings` are those of the session's user, `permissions` those of the administrator who helps. How long it lasts
    was decided when it was made.
    """
    if audience != "assistant":
        wish = ShareWish(access=access, audience=audience)
        return refusal_to_share(wish, settings, status=SessionStatus.RUNNING, keeps_view_only=None)
    if not allows(permissions, ("sessions_assist",)):
        return "The administrator who helped has no permission `sessions_assist` any more."
    if silent and not allows(permissions, ("sessions_assist_silent",)):
        return "The administrator who helped has no permission `sessions_assist_silent` any more."
    return refusal_of_silence(allowed=silence_allowed) if silent else None


NO_VIEW_ONLY: Final = (
    "This workspace has a page of its own, which keeps no one from typing: it cannot be shared to watch only."
)


def share_ends(wish: ShareWish, settings: Mapping[str, Resolved], now: datetime) -> datetime | None:
    """When the share is over by itself; None = with the session."""
    seconds = wish.seconds or int(settings["max_share_seconds"].value)
    return now + timedelta(seconds=seconds) if seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFacts:
    """A share at the moment when someone wants to join, or to open the stream again."""

    access: Access
    audience: Audience
    user_id: str | None
    """The user it names."""
    is_over: bool
    """It was ended, or its time is over."""
    status: SessionStatus
    owner_id: str | None
    owner_enabled: bool
    keeps_view_only: bool | None
    viewers: int = 0


def refusal_to_join(share: ShareFacts, user_id: str | None) -> str | None:
    """Why this user (None = a guest) may not join, as a sentence; None = they may."""
    reasons = (
        (share.is_over or share.owner_id is None or not share.owner_enabled, UNKNOWN_LINK),
        (share.user_id is not None and share.user_id != user_id, UNKNOWN_LINK),
        (user_id is not None and user_id == share.owner_id, "This is your own session; open it from the launcher."),
        (share.viewers >= MAX_VIEWERS, f"{MAX_VIEWERS} people have joined by this link; ask for a new one."),
        (reason := _refusal_now(share), reason),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def needs_log_in(audience: Audience) -> bool:
    """Whether only users may join, not guests."""
    return audience != "guests"


def _refusal_now(share: ShareFacts) -> str | None:
    if share.status not in OPEN:
        return f"The session is {share.status}; try again when it runs."
    return NO_VIEW_ONLY if share.access == "view" and share.keeps_view_only is False else None


def refusal_of_viewer(share: ShareFacts, *, user_enabled: bool, viewer_ended: bool) -> str | None:
    """Why someone who has joined may not open the stream (any more), as a sentence; None = they may."""
    reasons = (
        (
            share.is_over or viewer_ended or share.owner_id is None or not share.owner_enabled,
            "The session is not shared with you any more.",
        ),
        (not user_enabled, "The user is disabled or locked."),
        (reason := _refusal_now(share), reason),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def refusal_of_silence(*, allowed: bool) -> str | None:
    """Why an administrator may not watch unannounced, as a sentence; None = they may."""
    return None if allowed else "No user is watched without knowing: the setting `allow_silent_assist` is off."


def keeps_view_only(status: SessionStatus, steps: Mapping[str, float]) -> bool | None:
    """Whether the session's page keeps viewers from typing; None = not known yet. Ours does, and of ours alone it is
    known when the first frame was painted. The Agent asks the page itself before it lets anyone in.
    """
    if "painted" in steps:
        return True
    return False if status is SessionStatus.RUNNING else None


def announcement(name: str, audience: Audience, access: Access) -> str:
    """What the others read of a viewer."""
    return f"{viewer_name(name, audience)} {'controls' if access == 'control' else 'is watching'}"


def viewer_name(name: str, audience: Audience) -> str:
    """The name of a viewer with what they are; guests choose theirs themselves."""
    return name + {"guests": " (guest)", "assistant": " (administrator)"}.get(audience, "")
