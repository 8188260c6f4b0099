"""The deadlines of transitional statuses, the two clocks of a session of a user, and the actions of the Primary.

Each status in `states.TRANSITIONAL` has a deadline: the deadline of its row (`sessions.deadline`), or the time in
`DEADLINE_S` after the last change of status. A session that waits for its Agent has a deadline after the return of the
Agent. Late hosts get more time: the time grows with the reported lateness (`core.fleet.liveness`), up to `MAX_S`. The
time of a first start begins again with each step. It does not run while the start waits for its turn on its Agent. A
start that has painted its first frame has no deadline while its Agent is running. A stop or pause that does not
complete is revoked, because the container still has the work of a user. Invariants, tested as properties: actions
concern only these statuses; every action is a transition of `ALLOWED` or a repetition; there are no actions in the
quiet period or before the deadline.

**Keepalive**: when no user has viewed the session for `keepalive_expiration`, `keepalive_expiration_action` is applied.
The clock starts at the assignment, at every keepalive and at a resume, and does not run while the session is stopped or
paused. **Time limit**: the smaller `session_time_limit` of group and workspace, 0 = none. It starts at the assignment,
cannot be extended, and always ends in deletion. A leased session has only one deadline: a time limit that only the
holder of the lease extends, and a keepalive that ends at the same time. Invariants, tested as properties: there are no
actions in the quiet period or before the end of a clock; every action is a transition of `states.ALLOWED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.errors import Invalid
from greenroom.core.fleet.liveness import ON_TIME, Lateness, allowed_s, because, lateness_factor
from greenroom.core.session.states import COUNTS_FOR_USER, KEPT_ALIVE, RETURNING, TRANSITIONAL, Want
from greenroom.shared.states import SessionStatus

_S = SessionStatus

DEADLINE_S: Final[dict[SessionStatus, float]] = {
    _S.REQUESTED: 60.0,
    _S.STARTING: 120.0,
    _S.ASSIGNING: 2.0,
    _S.STOPPING: 60.0,
    _S.PAUSING: 30.0,
    _S.DELETING: 60.0,
}
"""The maximum seconds in a transitional status; for `assigning`, until the Agent acknowledged the hand-over."""

RETURN_S: Final = 120.0
"""The seconds after the return of its Agent within which a session that waited for it must reach its desired status."""

HANDOVER_SLACK_S: Final = 1.0
"""The addition to the deadline of `assigned`: the Agent waits for the command during the whole deadline."""

MAX_S: Final = 600.0
"""The maximum time in one status, in an Agent's queue, or of a start from its turn on, for any lateness."""

FRESH_S: Final = 7.0
"""The time for which a reported lateness is valid, which is slightly longer than a check-in is held."""

ActionKind = Literal["fail", "set_aside", "take_back", "delete_again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A session in a transitional status, or with an Agent that has returned. Times are those of the database."""

    session_id: str
    status: SessionStatus
    status_changed: datetime
    want: Want = Want.RUNNING
    deadline: datetime | None = None
    assignment_state: str | None = None
    agent_name: str = ""
    probe_error: str = ""
    stepped: datetime | None = None
    """The time of the last step of a first start."""
    queued: bool = False
    """True if it is a first start that waits for its turn on a running Agent."""
    admitted: datetime | None = None
    """The time at which a first start that waited got its turn."""
    painted: bool = False
    """True if it is a first start that has painted its first frame on a running Agent."""
    lateness: Lateness = ON_TIME
    """The lateness that its Agent last reported."""
    silent_s: float = 0.0
    """The time since the last check-in of its Agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """The action for an overdue session, with the reason as a clause.

    `fail` → `failed`; `set_aside` → `failed` and quarantined; `take_back` → `starting`, because it must run again;
    `delete_again` → sent to the Agent again, with a new generation.
    """

    session_id: str
    status: SessionStatus
    kind: ActionKind
    reason: str
    slow: bool = False
    """True if it took too long on a host that was late, and is not known to be broken."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The Manager's lateness, and the maximum time until a hand-over is acknowledged."""

    received_s: float = DEADLINE_S[_S.ASSIGNING]
    lateness: Lateness = ON_TIME


ON_TIME_WATCH: Final = Watch()


def due(waiting: Waiting, watch: Watch = ON_TIME_WATCH) -> datetime | None:
    """Return the time at which the session is overdue in its status; None if it has no deadline."""
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
    """Return the larger lateness, of the Agent or of this Manager, and the name of the process that reported it."""
    reported = waiting.lateness if waiting.silent_s <= FRESH_S else ON_TIME
    if lateness_factor(watch.lateness) > lateness_factor(reported):
        return watch.lateness, "this Manager"
    return reported, waiting.agent_name or "its Agent"


def _waits(waiting: Waiting) -> bool:
    return waiting.status in TRANSITIONAL or (waiting.status in RETURNING and waiting.deadline is not None)


def plan(sessions: Iterable[Waiting], now: datetime, *, quiet: bool, watch: Watch = ON_TIME_WATCH) -> list[Overdue]:
    """Return the actions for all overdue sessions; none in the quiet period (`quiet`)."""
    if quiet:
        return []
    return [_action(s, now, watch) for s in sessions if _waits(s) and (end := due(s, watch)) and end <= now]


def _action(waiting: Waiting, now: datetime, watch: Watch) -> Overdue:
    late = _lateness(waiting, watch)
    action = _what(waiting, now, because(*late))
    return replace(action, slow=lateness_factor(late[0]) > 1)


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
        reason = (
            f"{agent} did not {_UNDONE[waiting.want]} it within {waited_s:.0f} s{why}; the session is instructed to run"
        )
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
"""Clocks that end within this time end together: no session is stopped just before it is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks of a session from the settings of its owner, stored in its row (`sessions.expiry`). `keepalive_s` is
    above 0; `time_limit_s` 0 = none. The fields `…_from` name the sources of the values, for sentences.
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
        """The seconds from the assignment until the first clock ends."""
        return min(self.keepalive_s, self.time_limit_s) if self.time_limit_s > 0 else self.keepalive_s


def clocks_of(settings: Mapping[str, EffectiveSetting], image_limit_s: float | None, image_name: str) -> Clocks:
    """Return the clocks for a user with these settings. The workspace's `image_limit_s` may be None or 0 = none."""
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
    """Return the clocks of a session that is leased for `seconds` by a user with the clocks `allowed`. Raises Invalid:
    the time limit of their sessions is shorter; the message names its source."""
    if 0 < allowed.time_limit_s < seconds:
        raise Invalid(f"A lease cannot last {seconds:g} s here: {allowed.time_limit_from}.")
    return Clocks(keepalive_s=seconds, time_limit_s=seconds, leased=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLifetime:
    """A session of a user with the times at which its clocks end (None = never), by the clock of the database."""

    session_id: str
    status: SessionStatus
    expires: datetime | None
    time_limit_ends: datetime | None
    clocks: Clocks
    pauses: bool
    """True if its Agent can stop and pause sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The action for a session when its next clock ends, with the reason as a sentence."""

    session_id: str
    status: SessionStatus
    action: ExpiryAction
    at: datetime
    setting: str
    reason: str


def next_expiry(session: SessionLifetime) -> Expiry | None:
    """Return the next automatic action for the session, with its time; None = nothing."""
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
        reason += f" It is deleted, because its Agent cannot {session.clocks.action} sessions."
        return _expiry(session, "delete", expires, "keepalive_expiration", reason)
    return _expiry(session, session.clocks.action, expires, "keepalive_expiration", reason)


def plan_expiry(sessions: Iterable[SessionLifetime], now: datetime, *, quiet: bool) -> list[Expiry]:
    """Return the actions that are due now; none while `quiet`, because a keepalive may have been lost."""
    if quiet:
        return []
    return [expiry for session in sessions if (expiry := _due(session, now)) is not None]


def _due(session: SessionLifetime, now: datetime) -> Expiry | None:
    """Return the action of a clock that has ended; None if no clock has ended. Only running sessions can be stopped or
    paused: for other sessions only the time limit applies then.
    """
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
