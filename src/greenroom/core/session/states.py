"""The states of a session, the only edges between them, and the commands stop, pause, resume.

`ALLOWED` is the single source of SQL guards (`status = ANY(sources_of(target))`), the diagram in the documentation and
invariant I11 of `greenroom doctor` (docs/reference/doctor.md). A command sets a desired state, which the Agent makes
so: repeating it is a success; one that cannot be obeyed is refused with a sentence and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from greenroom.shared.states import OVER, SessionStatus


class Want(StrEnum):
    """What the Agent must do with a session's container."""

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
    _S.REQUESTED: frozenset({_S.STARTING, _S.RUNNING, _S.DELETING, _S.FAILED}),
    _S.STARTING: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.RUNNING: frozenset({_S.ASSIGNING, _S.STOPPING, _S.PAUSING, _S.DELETING, _S.FAILED, _S.UNREACHABLE, _S.LOST}),
    _S.ASSIGNING: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.STARTING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.STOPPED: frozenset({_S.STARTING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.PAUSING: frozenset({_S.PAUSED, _S.STARTING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.PAUSED: frozenset({_S.STARTING, _S.STOPPING, _S.DELETING, _S.FAILED, _S.LOST}),
    _S.DELETING: frozenset({_S.DELETED}),
    _S.DELETED: frozenset(),
    _S.FAILED: frozenset({_S.DELETING, _S.DELETED}),
    _S.UNREACHABLE: frozenset({_S.RUNNING, _S.DELETING, _S.FAILED}),
    _S.LOST: frozenset({_S.STARTING, _S.RUNNING, _S.STOPPED, _S.PAUSED, _S.DELETING, _S.FAILED}),
}
"""status → the statuses that may follow it. `deleted` is final."""

TRANSITIONAL: Final[frozenset[SessionStatus]] = frozenset(
    {_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.STOPPING, _S.PAUSING, _S.DELETING}
)
"""Statuses no session may be stuck in: each has a deadline after which the Primary acts."""

RETURNING: Final[frozenset[SessionStatus]] = frozenset({_S.UNREACHABLE, _S.LOST})
"""Statuses that wait for an Agent to return; after that they have a deadline too."""

NOT_YET_RUNNING: Final[frozenset[SessionStatus]] = frozenset({_S.REQUESTED, _S.STARTING, _S.ASSIGNING})
"""Statuses of a session that will run if nothing fails."""

WANTED_IN: Final[dict[SessionStatus, frozenset[Want]]] = {
    **dict.fromkeys((_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.RUNNING, _S.UNREACHABLE), frozenset({Want.RUNNING})),
    **dict.fromkeys((_S.STOPPING, _S.STOPPED), frozenset({Want.STOPPED})),
    **dict.fromkeys((_S.PAUSING, _S.PAUSED), frozenset({Want.PAUSED})),
    **dict.fromkeys((_S.DELETING, _S.DELETED), frozenset({Want.ABSENT})),
    _S.LOST: frozenset({Want.RUNNING, Want.STOPPED, Want.PAUSED}),
    _S.FAILED: frozenset(Want),
}
"""status → what the Agent may be instructed meanwhile (an invariant of `greenroom doctor`)."""

COUNTS_FOR_USER: Final[frozenset[SessionStatus]] = frozenset(_S) - OVER
"""Statuses that count towards `max_kasms_per_user` or, for a lease, `max_leases_per_user`."""

RESTING: Final[frozenset[SessionStatus]] = frozenset({_S.STOPPING, _S.STOPPED, _S.PAUSING, _S.PAUSED})
"""Statuses of a session that is stopped or paused, or about to be."""

KEPT_ALIVE: Final[frozenset[SessionStatus]] = COUNTS_FOR_USER - RESTING
"""Statuses in which the keepalive clock of a user's session runs."""

OPERATIONAL: Final[dict[SessionStatus, str]] = {
    **{status: str(status) for status in _S},
    _S.REQUESTED: "starting",
    _S.ASSIGNING: "starting",
    _S.UNREACHABLE: "running",
    _S.LOST: "running",
}
"""status → `operational_status` of the public interface (docs/explanation/sessions.md)."""


def sources_of(target: SessionStatus) -> frozenset[SessionStatus]:
    """All statuses from which `target` may be entered; the guard of every SQL status change."""
    return frozenset(status for status, following in ALLOWED.items() if target in following)


def diagram() -> str:
    """The table as a Mermaid state diagram, one edge a line."""
    edges = (f"    {before} --> {after}" for before in _S for after in _S if after in ALLOWED[before])
    return "\n".join(["stateDiagram-v2", "    [*] --> requested", *edges, "    deleted --> [*]"])


LifecycleCommand = Literal["stop", "pause", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What a command does to a session.

    `want` is what its Agent must do, `through` the status until that is reported, `sources` the statuses in which it is
    obeyed, `settled` those in which nothing is left to do. `done` is the session's state afterwards, for sentences.
    """

    want: Want
    through: SessionStatus
    sources: frozenset[SessionStatus]
    settled: frozenset[SessionStatus]
    done: str


TRANSITIONS: Final[dict[LifecycleCommand, Transition]] = {
    "stop": Transition(
        want=Want.STOPPED,
        through=_S.STOPPING,
        sources=frozenset({_S.RUNNING, _S.PAUSED}),
        settled=frozenset({_S.STOPPING, _S.STOPPED}),
        done="stopped",
    ),
    "pause": Transition(
        want=Want.PAUSED,
        through=_S.PAUSING,
        sources=frozenset({_S.RUNNING}),
        settled=frozenset({_S.PAUSING, _S.PAUSED}),
        done="paused",
    ),
    "resume": Transition(
        want=Want.RUNNING,
        through=_S.STARTING,
        sources=frozenset({_S.STOPPING, _S.STOPPED, _S.PAUSING, _S.PAUSED}),
        settled=frozenset({_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.RUNNING}),
        done="resumed",
    ),
}


PAUSES: Final[frozenset[LifecycleCommand]] = frozenset({"stop", "pause"})
"""Not every runtime can do them."""


def refusal(command: LifecycleCommand, status: SessionStatus, *, has_user: bool, pauses: bool = True) -> str | None:
    """Why the command cannot be obeyed now, as a sentence; None = it can, or nothing is left to do. `pauses`: its Agent
    can stop and pause sessions.
    """
    transition = TRANSITIONS[command]
    if not has_user:
        return f"A staged session cannot be {transition.done}: it waits, running, for the user it will be handed to."
    if not pauses and command in PAUSES:
        return f"The session cannot be {transition.done}: where it is, sessions run until they are deleted."
    if status in transition.sources | transition.settled:
        return None
    if status in RETURNING:
        return f"The session cannot be {transition.done}: its machine does not answer at the moment."
    when = " or ".join(sorted(transition.sources))
    return f"The session is {status}; it can be {transition.done} while it is {when}."


def possible(status: SessionStatus, *, has_user: bool, pauses: bool = True) -> tuple[LifecycleCommand, ...]:
    """The commands that would change something now."""
    return tuple(
        name
        for name, transition in TRANSITIONS.items()
        if has_user and status in transition.sources and (pauses or name not in PAUSES)
    )
