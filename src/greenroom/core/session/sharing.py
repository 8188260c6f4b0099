"""Shares of a session: the rules for sharing and joining, and the access of viewers.

A *share* gives access to a session: to a named user, to all users with its link, to guests (people without an account),
or to an administrator who helps. A person who joins with a share is a *viewer* and gets a separate token. A viewer has
the current access of the share; the Agent and the page of the session enforce it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from greenroom.core.access.group_settings import ClientSettings, EffectiveSetting
from greenroom.core.access.permissions import allows
from greenroom.core.session.states import OVER, SessionStatus
from greenroom.core.session.streams import VIEWABLE_STATUSES, Access
from greenroom.core.text import one_line

Audience = Literal["user", "users", "guests", "assistant"]
"""A named user; users with the link; people without an account who have the link; an administrator who helps."""

SHAREABLE: Final = frozenset(SessionStatus) - OVER
MAX_SHARES: Final = 50
"""The maximum number of shares of one session at the same time."""
MAX_VIEWERS: Final = 100
"""The maximum number of viewers of one share."""
UNKNOWN_LINK: Final = "This link is not valid, or the session is not shared any more."


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """The share that the owner of a session requests. `seconds` None = the maximum duration. `name` is empty or the
    owner's name for the share."""

    access: Access
    audience: Audience
    seconds: int | None = None
    name: str = ""


def reason_against_sharing(settings: Mapping[str, EffectiveSetting]) -> str | None:
    """Return the reason why an owner with these settings may share no session, as a sentence; None if they may."""
    allowed = settings["allow_kasm_sharing"]
    return None if allowed.value else f"Sessions may not be shared: {allowed.trace}."


def reason_against_new_share(
    request: ShareRequest,
    settings: Mapping[str, EffectiveSetting],
    *,
    status: SessionStatus,
    has_view_only_mode: bool | None,
) -> str | None:
    """Return the reason why the owner may not create this share, as a sentence; None if they may.

    `settings` are those of the owner. `has_view_only_mode` is True if the page of the session refuses input of viewers
    who may only watch; None = not known yet.
    """
    max_s = int(settings["max_share_seconds"].value)
    sharing_refusal = reason_against_sharing(settings)
    reasons = (
        (status not in SHAREABLE, f"The session is {status}; it cannot be shared any more."),
        (sharing_refusal is not None, sharing_refusal),
        (
            request.audience == "guests" and not settings["allow_guest_links"].value,
            f"Guest links are not allowed: {settings['allow_guest_links'].trace}.",
        ),
        (
            request.access == "control" and not settings["allow_shared_control"].value,
            f"Shared control is not allowed: {settings['allow_shared_control'].trace}.",
        ),
        (
            request.access == "control" and request.audience == "users",
            "Only a named user can get control. Name the user, or share the link for watching only.",
        ),
        (
            max_s and request.seconds is not None and request.seconds > max_s,
            f"A share may last {max_s} s at most: {settings['max_share_seconds'].trace}.",
        ),
        (request.access == "view" and has_view_only_mode is False, NO_VIEW_ONLY),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def reason_to_end(
    access: Access,
    audience: Audience,
    *,
    silent: bool,
    settings: Mapping[str, EffectiveSetting],
    permissions: Collection[str],
    silence_allowed: bool,
) -> str | None:
    """Return the reason why an existing share must end, as a sentence; None if it may continue.

    `settings` are those of the user of the session; `permissions` are those of the administrator who helps. `silent` is
    True if the administrator joined without an announcement. The duration was checked at the creation of the share.
    """
    if audience != "assistant":
        request = ShareRequest(access=access, audience=audience)
        return reason_against_new_share(request, settings, status=SessionStatus.RUNNING, has_view_only_mode=None)
    if not allows(permissions, ("sessions_assist",)):
        return "The administrator who helped has no permission `sessions_assist` any more."
    if silent and not allows(permissions, ("sessions_assist_silent",)):
        return "The administrator who helped has no permission `sessions_assist_silent` any more."
    return reason_against_silence(allowed=silence_allowed) if silent else None


NO_VIEW_ONLY: Final = "Sessions of this workspace have no view-only mode, so they can be shared with control only."


def share_end_time(request: ShareRequest, settings: Mapping[str, EffectiveSetting], now: datetime) -> datetime | None:
    """Return the time at which the share ends automatically; None if it ends with the session."""
    seconds = request.seconds or int(settings["max_share_seconds"].value)
    return now + timedelta(seconds=seconds) if seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFacts:
    """A share at the time when a viewer joins or opens the stream again."""

    access: Access
    audience: Audience
    user_id: str | None
    """The id of the named user; None = the share names no user."""
    is_over: bool
    """True if the share was ended, or its time is over."""
    status: SessionStatus
    owner_id: str | None
    owner_enabled: bool
    has_view_only_mode: bool | None
    viewers: int = 0


def reason_against_joining(share: ShareFacts, user_id: str | None) -> str | None:
    """Return the reason why this user (None = a guest) may not join, as a sentence; None if they may."""
    viewing_refusal = _reason_against_viewing(share)
    reasons = (
        (share.is_over or share.owner_id is None or not share.owner_enabled, UNKNOWN_LINK),
        (share.user_id is not None and share.user_id != user_id, UNKNOWN_LINK),
        (user_id is not None and user_id == share.owner_id, "This is your own session; open it from the launcher."),
        (
            share.viewers >= MAX_VIEWERS,
            f"{MAX_VIEWERS} viewers have joined by this link, which is the maximum. Ask for another link.",
        ),
        (viewing_refusal is not None, viewing_refusal),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def needs_log_in(audience: Audience) -> bool:
    """True if only users may join, not guests."""
    return audience != "guests"


def _reason_against_viewing(share: ShareFacts) -> str | None:
    if share.status not in VIEWABLE_STATUSES:
        return f"The session is {share.status}; try again when it runs."
    return NO_VIEW_ONLY if share.access == "view" and share.has_view_only_mode is False else None


def reason_against_viewer(share: ShareFacts, *, user_enabled: bool, viewer_ended: bool) -> str | None:
    """Return the reason why a viewer who has joined may not open the stream now, as a sentence; None if they may."""
    viewing_refusal = _reason_against_viewing(share)
    reasons = (
        (
            share.is_over or viewer_ended or share.owner_id is None or not share.owner_enabled,
            "The session is not shared with you any more.",
        ),
        (not user_enabled, "The user is disabled or locked."),
        (viewing_refusal is not None, viewing_refusal),
    )
    return next((sentence for applies, sentence in reasons if applies), None)


def reason_against_silence(*, allowed: bool) -> str | None:
    """Return the reason why an administrator may not watch without an announcement, as a sentence; None if they may."""
    if allowed:
        return None
    return "Joining without an announcement is not allowed: the setting `allow_silent_assist` is off."


def has_view_only_mode(status: SessionStatus, steps: Mapping[str, float]) -> bool | None:
    """True if the page of the session refuses input of viewers who may only watch; None = not known yet.

    The page of Greenroom's images refuses it. Only this page reports its first frame (`painted`), so a running session
    without this step has the page of another image. The Agent also checks the page before it admits a viewer.
    """
    if "painted" in steps:
        return True
    return False if status is SessionStatus.RUNNING else None


def announcement(name: str, audience: Audience, access: Access) -> str:
    """Return the announcement of a viewer for the other viewers."""
    return f"{viewer_name(name, audience)} {'can use keyboard and pointer' if access == 'control' else 'is watching'}"


def viewer_name(name: str, audience: Audience) -> str:
    """Return the name of a viewer, with a mark for guests, who choose their names, and for administrators who help."""
    return name + {"guests": " (guest)", "assistant": " (administrator)"}.get(audience, "")


MAX_WATERMARK_TEXT: Final = 80


def watermark_of(settings: ClientSettings, viewer: str, address: str = "") -> str | None:
    """Return the text of the watermark for a viewer with this name; None = no watermark. `settings` are those that the
    session stores. `address` is the address of a viewer who chose the name."""
    if not settings.get("watermark"):
        return None
    text = one_line(str(settings.get("watermark_text", "")).strip())[:MAX_WATERMARK_TEXT]
    return " · ".join(filter(None, (viewer, address, text)))
