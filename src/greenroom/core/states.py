"""The states of a session and the only edges between them (DESIGN §5, invariant I11).

The table `ALLOWED` is the single source: SQL guards (`status = ANY(sources_of(target))`), the diagram in the
documentation and the invariant checker of `greenroom doctor` are derived from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class SessionStatus(StrEnum):
    """The status of a session row, the words used everywhere."""

    REQUESTED = "requested"
    STARTING = "starting"
    RUNNING = "running"
    ASSIGNING = "assigning"
    STOPPING = "stopping"
    STOPPED = "stopped"
    PAUSING = "pausing"
    PAUSED = "paused"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    LOST = "lost"


class Want(StrEnum):
    """What the Agent is told to make of a session's container."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"


class ObservedState(StrEnum):
    """What the Agent sees of a session's container."""

    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"
    ABSENT = "absent"


_S = SessionStatus

ALLOWED: Final[dict[SessionStatus, frozenset[SessionStatus]]] = {
    _S.REQUESTED: frozenset({_S.STARTING, _S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.STARTING: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.RUNNING: frozenset(
        {_S.ASSIGNING, _S.STOPPING, _S.STOPPED, _S.PAUSING, _S.DELETING, _S.FAILED, _S.UNREACHABLE, _S.LOST}
    ),
    _S.ASSIGNING: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.STOPPED: frozenset({_S.STARTING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.PAUSING: frozenset({_S.PAUSED, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.PAUSED: frozenset({_S.STARTING, _S.STOPPED, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.DELETING: frozenset({_S.DELETED}),
    _S.DELETED: frozenset(),
    _S.FAILED: frozenset({_S.DELETING, _S.DELETED}),
    _S.UNREACHABLE: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.LOST: frozenset({_S.RUNNING, _S.STOPPED, _S.PAUSED, _S.DELETING, _S.FAILED}),
}
"""status → the statuses that may follow it. `deleted` is final."""

TRANSITIONAL: Final[frozenset[SessionStatus]] = frozenset(
    {_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.STOPPING, _S.PAUSING, _S.DELETING}
)
"""Statuses nobody may be stuck in: each has a deadline after which the Primary acts."""

HOLDS_RESERVATION: Final[frozenset[SessionStatus]] = frozenset(_S) - {_S.DELETED}
"""Statuses whose session still counts against `agent_capacity` (a failed row keeps it until its container is gone)."""

COUNTS_FOR_USER: Final[frozenset[SessionStatus]] = frozenset(_S) - {_S.DELETED, _S.DELETING, _S.FAILED}
"""Statuses that count towards `max_kasms_per_user`."""

OPERATIONAL: Final[dict[SessionStatus, str]] = {
    **{status: str(status) for status in _S},
    _S.REQUESTED: "starting",
    _S.ASSIGNING: "starting",
    _S.UNREACHABLE: "running",
    _S.LOST: "running",
}
"""status → `operational_status` of the public interface (DESIGN §5)."""


def may_follow(before: SessionStatus, after: SessionStatus) -> bool:
    """Whether the edge `before` → `after` exists."""
    return after in ALLOWED[before]


def sources_of(target: SessionStatus) -> frozenset[SessionStatus]:
    """All statuses from which `target` may be entered; the guard of every SQL status change."""
    return frozenset(status for status, following in ALLOWED.items() if target in following)
