"""The deadlines of transitional statuses, the two clocks of a user's session, and what the Primary does at their ends.

Each status in `states.TRANSITIONAL` has a deadline: `sessions.deadline` of the row, otherwise the time in `DEADLINE_S`
after the last change of status. A session that waited for its Agent has a deadline after the return of the Agent. The
time grows with the reported lateness of the host (`core.fleet.liveness`), up to `MAX_DEADLINE_S`. The time of a first
start (the start of a session that has never been usable, not a resume) begins again with each step (of
`core.session.progress`), and does not run while the start waits for its turn on its Agent. A start that has painted its
first frame has no deadline while its Agent is running. A stop or pause that does not complete is revoked: the session
runs again, because the container contains the work of a user. Invariants, tested as properties: actions concern only
sessions with a deadline; every action is a transition of `ALLOWED` or a repetition; there are no actions in the quiet
period or before the deadline.

**Keepalive**: when no user has viewed the session for `keepalive_expiration`, `keepalive_expiration_action` is applied.
The clock starts at the assignment, at every keepalive and at a resume, and does not run while the session is stopped or
paused. **Time limit**: the smaller `session_time_limit` of group and workspace, 0 = none. It starts at the assignment,
cannot be extended, and always ends in deletion. Both clocks of a leased session end with the lease, and only the holder
of the lease extends it. Invariants, tested as properties: there are no actions in the quiet period or before the end of
a clock; every action is a transition of `states.ALLOWED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from greenroom.core.access.group_settings import EffectiveSetting
from greenroom.core.errors import Invalid
from greenroom.core.fleet.liveness import ON_TIME, Lateness, extended_limit_s, lateness_factor, lateness_reason
from greenroom.core.session.states import COUNTS_FOR_USER, KEPT_ALIVE, TRANSITIONAL, WAITING_FOR_AGENT, Want
from greenroom.core.text import duration
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

RETURN_DEADLINE_S: Final = 120.0
"""A session that waited for its Agent must reach its desired state within this time after the Agent's return."""

HANDOVER_SLACK_S: Final = 1.0
"""The time that is added to the deadline of a hand-over: the command `assign` may take the whole deadline, and the
Agent then needs time to report the result.
"""

MAX_DEADLINE_S: Final = 600.0
"""The maximum time in one status, with any lateness. A start that waits in the queue of its Agent has this time for the
queue, and again for the start itself.
"""

LATENESS_VALID_S: Final = 7.0
"""The time for which a reported lateness is valid. It is slightly longer than the maximum time between check-ins."""

ActionKind = Literal["fail", "set_aside", "revoke", "delete_again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInTransition:
    """A session that must reach another status: its status is transitional, or its Agent has returned. Times are of the
    clock of the database.
    """

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
    """True if its first start waits for its turn on a running Agent."""
    admitted: datetime | None = None
    """The time at which its first start got its turn; None = it has not waited, or still waits."""
    painted: bool = False
    """True if its first start has painted its first frame on a running Agent."""
    lateness: Lateness = ON_TIME
    """The lateness that its Agent last reported."""
    silent_s: float = 0.0
    """The time since the last check-in of its Agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueAction:
    """The action for an overdue session, with the reason as a clause.

    `fail`: the status becomes `failed`; `set_aside`: the status becomes `failed`, and the session is quarantined;
    `revoke`: the status becomes `starting`, so that the session runs again; `delete_again`: the Agent gets the deletion
    again, with a new generation.
    """

    session_id: str
    status: SessionStatus
    kind: ActionKind
    reason: str
    slow: bool = False
    """True if the host was slow, so that the session may be usable."""


@dataclass(frozen=True, slots=True)
class ManagerTiming:
    """The lateness of the Manager, and the maximum time until an Agent acknowledges a hand-over."""

    acknowledge_within_s: float = DEADLINE_S[_S.ASSIGNING]
    lateness: Lateness = ON_TIME


ON_TIME_MANAGER: Final = ManagerTiming()


def overdue_at(session: SessionInTransition, timing: ManagerTiming = ON_TIME_MANAGER) -> datetime | None:
    """Return the time at which the session is overdue in its status; None if it has no deadline."""
    if session.painted:
        return None
    limit_s = DEADLINE_S.get(session.status, RETURN_DEADLINE_S)
    if session.status is _S.ASSIGNING:
        limit_s = timing.acknowledge_within_s
    limit, maximum = timedelta(seconds=limit_s), timedelta(seconds=MAX_DEADLINE_S)
    normal_deadline = session.deadline or session.status_changed + limit
    if session.queued:
        return max(normal_deadline, session.status_changed + maximum)
    step_deadline = normal_deadline if session.stepped is None else max(normal_deadline, session.stepped + limit)
    lateness, _ = _larger_lateness(session, timing)
    extended_deadline = step_deadline + timedelta(seconds=extended_limit_s(limit_s, lateness) - limit_s)
    return max(normal_deadline, min(extended_deadline, (session.admitted or session.status_changed) + maximum))


def _larger_lateness(session: SessionInTransition, timing: ManagerTiming) -> tuple[Lateness, str]:
    """Return the larger lateness, that of the Agent or that of this Manager, and the name of its process."""
    reported = session.lateness if session.silent_s <= LATENESS_VALID_S else ON_TIME
    if lateness_factor(timing.lateness) > lateness_factor(reported):
        return timing.lateness, "this Manager"
    return reported, session.agent_name or "its Agent"


def _has_deadline(session: SessionInTransition) -> bool:
    return session.status in TRANSITIONAL or (session.status in WAITING_FOR_AGENT and session.deadline is not None)


def plan(
    sessions: Iterable[SessionInTransition], now: datetime, *, quiet: bool, timing: ManagerTiming = ON_TIME_MANAGER
) -> list[OverdueAction]:
    """Return the actions for all overdue sessions; none in the quiet period (`quiet`)."""
    if quiet:
        return []
    return [
        _overdue_action(s, now, timing)
        for s in sessions
        if _has_deadline(s) and (end := overdue_at(s, timing)) and end <= now
    ]


def _overdue_action(session: SessionInTransition, now: datetime, timing: ManagerTiming) -> OverdueAction:
    lateness, process = _larger_lateness(session, timing)
    action = _action_for_status(session, now, lateness_reason(lateness, process))
    return replace(action, slow=lateness_factor(lateness) > 1)


def _action_for_status(session: SessionInTransition, now: datetime, slow_reason: str) -> OverdueAction:
    waited_s = (now - session.status_changed).total_seconds()
    agent = session.agent_name or "its Agent"
    if session.status is _S.DELETING:
        reason = f"{agent} did not confirm the deletion within {waited_s:.0f} s{slow_reason}; it is instructed again"
        return _new_action(session, "delete_again", reason)
    if session.status is _S.ASSIGNING:
        missing = "finish" if session.assignment_state == "received" else "acknowledge"
        reason = f"{agent} did not {missing} the hand-over within {waited_s:.1f} s{slow_reason}"
        return _new_action(session, "set_aside", reason)
    if session.status in _REVOCABLE and session.want in _REVOKED_COMMANDS:
        command = _REVOKED_COMMANDS[session.want]
        reason = f"{agent} did not {command} it within {waited_s:.0f} s{slow_reason}; the session is instructed to run"
        return _new_action(session, "revoke", reason)
    if session.queued:
        return _new_action(
            session, "fail", f"it still waited for its turn on {agent} after {waited_s:.0f} s{slow_reason}"
        )
    detail = f" (last probe: {session.probe_error})" if session.probe_error else ""
    reason = f"it was still {session.status} on {agent} after {waited_s:.0f} s{slow_reason}{detail}"
    return _new_action(session, "fail", reason)


_REVOCABLE: Final = frozenset({_S.STOPPING, _S.PAUSING, _S.LOST})
_REVOKED_COMMANDS: Final = {Want.STOPPED: "stop", Want.PAUSED: "pause"}
"""Desired status of a revoked command → the command, for the reason."""


def _new_action(session: SessionInTransition, kind: ActionKind, reason: str) -> OverdueAction:
    return OverdueAction(session_id=session.session_id, status=session.status, kind=kind, reason=reason)


ExpiryAction = Literal["delete", "stop", "pause"]

SAME_TIME: Final = timedelta(seconds=1)
"""Clocks whose ends differ by less than this time count as simultaneous, so that no session is stopped just before it
is deleted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The lengths of the clocks of a session, stored in its row (`sessions.expiry`). `keepalive_s` is above 0;
    `time_limit_s` 0 = no limit. The fields `…_from` name the settings that the values come from, for sentences.
    `time_limit_of_image`: the workspace has the limit, and not a group.
    """

    keepalive_s: float
    action: ExpiryAction = "delete"
    time_limit_s: float = 0.0
    keepalive_from: str = ""
    action_from: str = ""
    time_limit_from: str = ""
    time_limit_of_image: bool = False
    leased: bool = False

    @property
    def first_end_s(self) -> float:
        """The seconds from the assignment until the first clock ends."""
        return min(self.keepalive_s, self.time_limit_s) if self.time_limit_s > 0 else self.keepalive_s


def clocks_of(settings: Mapping[str, EffectiveSetting], image_limit_s: float | None, image_name: str) -> Clocks:
    """Return the clocks for a user with these settings. `image_limit_s` is the workspace's limit; None, 0 = none."""
    group_limit = settings["session_time_limit"]
    limits: list[tuple[float, bool, str]] = [
        (float(group_limit.value), False, group_limit.trace),
        (float(image_limit_s or 0), True, f"`session_time_limit` = {image_limit_s} of workspace {image_name}"),
    ]
    limit_s, is_of_image, limit_from = min([limit for limit in limits if limit[0] > 0], default=(0.0, False, ""))
    return Clocks(
        keepalive_s=float(settings["keepalive_expiration"].value),
        action=cast("ExpiryAction", settings["keepalive_expiration_action"].value),
        time_limit_s=limit_s,
        keepalive_from=settings["keepalive_expiration"].trace,
        action_from=settings["keepalive_expiration_action"].trace,
        time_limit_from=limit_from,
        time_limit_of_image=is_of_image,
    )


def lease_clocks(seconds: float, user_clocks: Clocks) -> Clocks:
    """Return the clocks of a session that is leased for `seconds`. `user_clocks` are the clocks of the user's sessions
    without a lease. Raises Invalid: the time limit of `user_clocks` is shorter; the message names its source."""
    if 0 < user_clocks.time_limit_s < seconds:
        raise Invalid(f"A lease cannot last {seconds:g} s here: {user_clocks.time_limit_from}.")
    return Clocks(keepalive_s=seconds, time_limit_s=seconds, leased=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLifetime:
    """A session of a user, and the times at which its clocks end (None = never), by the clock of the database."""

    session_id: str
    status: SessionStatus
    expires: datetime | None
    time_limit_ends: datetime | None
    clocks: Clocks
    can_pause: bool
    """True if its Agent can stop and pause sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The action for a session when its next clock ends, with the reason as a sentence. `is_of_group`: `setting` is a
    group setting of its user."""

    session_id: str
    status: SessionStatus
    action: ExpiryAction
    at: datetime
    setting: str
    reason: str
    is_of_group: bool = True


def next_expiry(session: SessionLifetime) -> Expiry | None:
    """Return the action at the end of the next clock of the session, with its time; None = there is none."""
    limit, expires = session.time_limit_ends, session.expires
    if session.status not in COUNTS_FOR_USER:
        return None
    if limit is not None and (session.status not in KEPT_ALIVE or expires is None or limit - expires < SAME_TIME):
        return _time_limit_expiry(session, limit)
    if expires is None or session.status not in KEPT_ALIVE:
        return None
    source = session.clocks.keepalive_from or "`keepalive_expiration`"
    action_from = f"; {session.clocks.action_from}" if session.clocks.action_from else ""
    limit_text = duration(session.clocks.keepalive_s)
    reason = f"Its time without an open window is limited to {limit_text}: {source}{action_from}."
    if not session.can_pause and session.clocks.action != "delete":
        reason += f" It is deleted, because its Agent cannot {session.clocks.action} sessions."
        return _expiry(session, "delete", expires, "keepalive_expiration", reason)
    return _expiry(session, session.clocks.action, expires, "keepalive_expiration", reason)


def plan_expiry(sessions: Iterable[SessionLifetime], now: datetime, *, quiet: bool) -> list[Expiry]:
    """Return the actions that are due now; none during the quiet period, in which keepalives may have been lost."""
    if quiet:
        return []
    return [expiry for session in sessions if (expiry := _ended_clock_action(session, now)) is not None]


def _ended_clock_action(session: SessionLifetime, now: datetime) -> Expiry | None:
    """Return the action of a clock that has ended; None if none has. Only running sessions can be stopped or
    paused, so for other sessions only the time limit applies.
    """
    expiry, limit = next_expiry(session), session.time_limit_ends
    if expiry is None or expiry.at > now:
        return None
    if expiry.action == "delete" or expiry.status is SessionStatus.RUNNING:
        return expiry
    return _time_limit_expiry(session, limit) if limit is not None and limit <= now else None


def _time_limit_expiry(session: SessionLifetime, limit: datetime) -> Expiry:
    if session.clocks.leased:
        return replace(_expiry(session, "delete", limit, "lease", "It ends with its lease."), is_of_group=False)
    source = session.clocks.time_limit_from or "`session_time_limit`"
    expiry = _expiry(session, "delete", limit, "session_time_limit", f"It ends at its time limit: {source}.")
    return replace(expiry, is_of_group=not session.clocks.time_limit_of_image)


def _expiry(session: SessionLifetime, action: ExpiryAction, at: datetime, setting: str, reason: str) -> Expiry:
    return Expiry(
        session_id=session.session_id, status=session.status, action=action, at=at, setting=setting, reason=reason
    )
