"""The two clocks of a user's session, and what the Primary does when one of them is over.

**Keepalive**: no user viewed the session for `keepalive_expiration`; then `keepalive_expiration_action` is done. It
starts at the assignment, at every keepalive and at a resume, and stands still while the session is stopped or paused.
**Time limit**: the smaller `session_time_limit` of group and workspace, 0 = none. It starts at the assignment, is
extended by nothing, and always ends in deletion. A leased session has one clock, its deadline: a time limit that the
lease's holder alone extends, and a keepalive that is over at the same moment. Invariants, tested as properties: nothing
is done while it is quiet or before a clock is over; every action is an edge of `states.ALLOWED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from greenroom.core.access.group_settings import Resolved
from greenroom.core.errors import Invalid
from greenroom.core.session.states import COUNTS_FOR_USER, KEPT_ALIVE, SessionStatus

ExpiryAction = Literal["delete", "stop", "pause"]

SAME_MOMENT: Final = timedelta(seconds=1)
"""Clocks this close together are over at once: nothing is stopped or paused just before it is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How long a session lives by the settings of its owner; stored in its row (`sessions.expiry`). `keepalive_s` > 0;
    `time_limit_s` 0 = none. The `…_from` name the sources of the values, for sentences.
    """

    keepalive_s: float
    action: ExpiryAction = "delete"
    time_limit_s: float = 0.0
    keepalive_from: str = ""
    action_from: str = ""
    time_limit_from: str = ""
    leased: bool = False

    @property
    def first_s(self) -> float:
        """Seconds from the assignment until the first clock is over."""
        return min(self.keepalive_s, self.time_limit_s) if self.time_limit_s > 0 else self.keepalive_s


def clocks_of(settings: Mapping[str, Resolved], image_limit_s: float | None, image_name: str) -> Clocks:
    """The clocks for a user with these settings; `image_limit_s` of the workspace: None or 0 = none."""
    of_group = settings["session_time_limit"]
    limits: list[tuple[float, str]] = [
        (float(of_group.value), of_group.trace),
        (float(image_limit_s or 0), f"`session_time_limit` = {image_limit_s} of workspace {image_name}"),
    ]
    limit_s, limit_from = min([limit for limit in limits if limit[0] > 0], default=(0.0, ""))
    return Clocks(
        keepalive_s=float(settings["keepalive_expiration"].value),
        action=cast("ExpiryAction", settings["keepalive_expiration_action"].value),
        time_limit_s=limit_s,
        keepalive_from=settings["keepalive_expiration"].trace,
        action_from=settings["keepalive_expiration_action"].trace,
        time_limit_from=limit_from,
    )


def lease_clocks(seconds: float, allowed: Clocks) -> Clocks:
    """The clocks of a session that is leased for so long by a user with the clocks `allowed`.

    Raises:
        Invalid: the time limit of their sessions is shorter; names where it comes from.
    """
    if 0 < allowed.time_limit_s < seconds:
        raise Invalid(f"A lease cannot last {seconds:g} s here: {allowed.time_limit_from}.")
    return Clocks(keepalive_s=seconds, time_limit_s=seconds, leased=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLifetime:
    """A user's session with the times at which its clocks are over (None = never), by the database's clock."""

    session_id: str
    status: SessionStatus
    expires: datetime | None
    time_limit_ends: datetime | None
    clocks: Clocks
    pauses: bool
    """Its Agent can stop and pause sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What happens to a session when its next clock is over, and why, as a sentence."""

    session_id: str
    status: SessionStatus
    action: ExpiryAction
    at: datetime
    setting: str
    reason: str


def next_expiry(session: SessionLifetime) -> Expiry | None:
    """What will happen to the session by itself, and when; None = nothing."""
    limit, expires = session.time_limit_ends, session.expires
    if session.status not in COUNTS_FOR_USER:
        return None
    if limit is not None and (session.status not in KEPT_ALIVE or expires is None or limit - expires < SAME_MOMENT):
        return _at_limit(session, limit)
    if expires is None or session.status not in KEPT_ALIVE:
        return None
    source = session.clocks.keepalive_from or "`keepalive_expiration`"
    action_from = f"; {session.clocks.action_from}" if session.clocks.action_from else ""
    reason = f"No user used it for {session.clocks.keepalive_s:g} s: {source}{action_from}."
    if not session.pauses and session.clocks.action != "delete":
        reason += f" It is deleted: where it is, no session can {session.clocks.action} and go on."
        return _expiry(session, "delete", expires, "keepalive_expiration", reason)
    return _expiry(session, session.clocks.action, expires, "keepalive_expiration", reason)


def plan(sessions: Iterable[SessionLifetime], now: datetime, *, quiet: bool) -> list[Expiry]:
    """What is to be done now; nothing while `quiet`, because a keepalive may have been lost."""
    if quiet:
        return []
    return [expiry for session in sessions if (expiry := _due(session, now)) is not None]


def _due(session: SessionLifetime, now: datetime) -> Expiry | None:
    """The clock that is over. Only running sessions can be stopped or paused; until then the time limit runs on."""
    expiry, limit = next_expiry(session), session.time_limit_ends
    if expiry is None or expiry.at > now:
        return None
    if expiry.action == "delete" or expiry.status is SessionStatus.RUNNING:
        return expiry
    return _at_limit(session, limit) if limit is not None and limit <= now else None


def _at_limit(session: SessionLifetime, limit: datetime) -> Expiry:
    if session.clocks.leased:
        return _expiry(session, "delete", limit, "lease", "Its lease is over.")
    source = session.clocks.time_limit_from or "`session_time_limit`"
    return _expiry(session, "delete", limit, "session_time_limit", f"Its time limit is over: {source}.")


def _expiry(session: SessionLifetime, action: ExpiryAction, at: datetime, setting: str, reason: str) -> Expiry:
    return Expiry(
        session_id=session.session_id, status=session.status, action=action, at=at, setting=setting, reason=reason
    )
