"""How long a session may stay in a transitional status, the two clocks of a user's session, and what the Primary does.

Each of `states.TRANSITIONAL` has a deadline: that of its row (`sessions.deadline`), or the one here from the last
change of status or, for sessions that wait for their Agent, from its return. Slow is not broken: there is more time in
proportion to the reported lateness (`core.fleet.liveness`), up to `MAX_S`. A first start has its time from its last
step on, but not while it waits for its turn on its Agent, which is no failure; none that has painted ends at a deadline
while its Agent is running. A stop or pause that does not complete
is taken back, because the container still holds a user's work. Invariants, tested as properties: only these statuses
are acted on, every action is an edge of `ALLOWED` or a repetition, nothing is done while it is quiet or before the
deadline.

**Keepalive**: no user viewed the session for `keepalive_expiration`; then `keepalive_expiration_action` is done. It
starts at the assignment, at every keepalive and at a resume, and stands still while the session is stopped or paused.
**Time limit**: the smaller `session_time_limit` of group and workspace, 0 = none. It starts at the assignment, is
extended by nothing, and always ends in deletion. A leased session has one clock, its deadline: a time limit that the
lease's holder alone extends, and a keepalive that is over at the same moment. Invariants, tested as properties: nothing
is done while it is quiet or before a clock is over; every action is an edge of `states.ALLOWED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from greenroom.core.access.group_settings import Resolved
from greenroom.core.errors import Invalid
from greenroom.core.fleet.liveness import ON_TIME, Lateness, allowed_s, because, times
from greenroom.core.session.states import COUNTS_FOR_USER, KEPT_ALIVE, RETURNING, TRANSITIONAL, SessionStatus, Want

_S = SessionStatus

DEADLINE_S: Final[dict[SessionStatus, float]] = {
    _S.REQUESTED: 60.0,
    _S.STARTING: 120.0,
    _S.ASSIGNING: 2.0,
    _S.STOPPING: 60.0,
    _S.PAUSING: 30.0,
    _S.DELETING: 60.0,
}
"""Seconds in a transitional status; of `assigning` until the Agent acknowledged that it received it."""

ACTS: Final[dict[SessionStatus, str]] = {
    _S.REQUESTED: "`failed`; it is started on another Agent",
    _S.STARTING: "`failed`; a first start is tried on another Agent",
    _S.ASSIGNING: "it is quarantined and the user gets the next one",
    _S.STOPPING: "the stop is taken back: it is to run on",
    _S.PAUSING: "the pause is taken back: it is to run on",
    _S.DELETING: "its Agent is instructed again",
}
"""What is done then, for the documentation."""

RETURN_S: Final = 120.0
"""Seconds after the return of its Agent until a session that waited for it must have the status it was to have."""

HANDOVER_SLACK_S: Final = 1.0
"""Added to the deadline of `assigned`: the Agent itself waits all of it for the command before it answers."""

MAX_S: Final = 600.0
"""The longest time in one status, or from a start's turn on its Agent, however late everything is and however far it
is; also the longest wait for this turn."""

FRESH_S: Final = 7.0
"""How long a reported lateness counts: a little longer than a check-in is held."""

ActionKind = Literal["fail", "set_aside", "take_back", "delete_again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A session in a transitional status, or with an Agent that is back. Times are the database's."""

    session_id: str
    status: SessionStatus
    status_changed: datetime
    want: Want = Want.RUNNING
    deadline: datetime | None = None
    assignment_state: str | None = None
    agent_name: str = ""
    probe_error: str = ""
    stepped: datetime | None = None
    """The last step of a first start."""
    queued: bool = False
    """A first start that waits for its turn, on a running Agent."""
    admitted: datetime | None = None
    """When a first start that had to wait had its turn."""
    painted: bool = False
    """A first start that has shown a picture, on a running Agent."""
    lateness: Lateness = ON_TIME
    """As its Agent last reported it."""
    silent_s: float = 0.0
    """Since its Agent last checked in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """What to do about one session, and why, as a sentence.

    `fail` → `failed`; `set_aside` → `failed`, kept for inspection; `take_back` → `starting`, it is to run again;
    `delete_again` → sent to the Agent again, with a new generation.
    """

    session_id: str
    status: SessionStatus
    kind: ActionKind
    reason: str
    slow: bool = False
    """It took too long on a host that was late, and is not known to be broken."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who checks the deadlines: how long a hand-over may go without being acknowledged, and how late they are."""

    received_s: float = DEADLINE_S[_S.ASSIGNING]
    lateness: Lateness = ON_TIME


ON_TIME_WATCH: Final = Watch()


def due(waiting: Waiting, watch: Watch = ON_TIME_WATCH) -> datetime | None:
    """When the session's time in its status is over; None while no deadline ends it."""
    if waiting.painted:
        return None
    limit_s = watch.received_s if waiting.status is _S.ASSIGNING else DEADLINE_S.get(waiting.status, RETURN_S)
    limit, most = timedelta(seconds=limit_s), timedelta(seconds=MAX_S)
    on_time = waiting.deadline or waiting.status_changed + limit
    if waiting.queued:
        return max(on_time, waiting.status_changed + most)
    since_step = on_time if waiting.stepped is None else max(on_time, waiting.stepped + limit)
    late, _ = _lateness(waiting, watch)
    allowed = since_step + timedelta(seconds=allowed_s(limit_s, late) - limit_s)
    return max(on_time, min(allowed, (waiting.admitted or waiting.status_changed) + most))


def _lateness(waiting: Waiting, watch: Watch) -> tuple[Lateness, str]:
    """The lateness that counts, and the name of the host or process that is late."""
    reported = waiting.lateness if waiting.silent_s <= FRESH_S else ON_TIME
    if times(watch.lateness) > times(reported):
        return watch.lateness, "this Manager"
    return reported, waiting.agent_name or "its Agent"


def _waits(waiting: Waiting) -> bool:
    return waiting.status in TRANSITIONAL or (waiting.status in RETURNING and waiting.deadline is not None)


def plan(sessions: Iterable[Waiting], now: datetime, *, quiet: bool, watch: Watch = ON_TIME_WATCH) -> list[Overdue]:
    """The actions for all overdue sessions; none while `quiet`."""
    if quiet:
        return []
    return [_action(s, now, watch) for s in sessions if _waits(s) and (end := due(s, watch)) and end <= now]


def _action(waiting: Waiting, now: datetime, watch: Watch) -> Overdue:
    late = _lateness(waiting, watch)
    action = _what(waiting, now, because(*late))
    return replace(action, slow=times(late[0]) > 1)


def _what(waiting: Waiting, now: datetime, why: str) -> Overdue:
    waited_s = (now - waiting.status_changed).total_seconds()
    agent = waiting.agent_name or "its Agent"
    if waiting.status is _S.DELETING:
        reason = f"{agent} did not confirm the deletion within {waited_s:.0f} s{why}; it is instructed again"
        return _overdue(waiting, "delete_again", reason)
    if waiting.status is _S.ASSIGNING:
        missing = "finish" if waiting.assignment_state == "received" else "acknowledge"
        reason = f"{agent} did not {missing} the hand-over within {waited_s:.1f} s{why}"
        return _overdue(waiting, "set_aside", reason)
    if waiting.status in _REVOCABLE and waiting.want in _UNDONE:
        reason = f"{agent} did not {_UNDONE[waiting.want]} it within {waited_s:.0f} s{why}; it is to run on"
        return _overdue(waiting, "take_back", reason)
    if waiting.queued:
        return _overdue(waiting, "fail", f"it still waited for its turn on {agent} after {waited_s:.0f} s{why}")
    detail = f" (last probe: {waiting.probe_error})" if waiting.probe_error else ""
    reason = f"it was still {waiting.status} on {agent} after {waited_s:.0f} s{why}{detail}"
    return _overdue(waiting, "fail", reason)


_REVOCABLE: Final = frozenset({_S.STOPPING, _S.PAUSING, _S.LOST})
_UNDONE: Final = {Want.STOPPED: "stop", Want.PAUSED: "pause"}


def _overdue(waiting: Waiting, kind: ActionKind, reason: str) -> Overdue:
    return Overdue(session_id=waiting.session_id, status=waiting.status, kind=kind, reason=reason)


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


def plan_expiry(sessions: Iterable[SessionLifetime], now: datetime, *, quiet: bool) -> list[Expiry]:
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
