"""The statuses of a session, the permitted transitions, and the commands stop, pause, resume.

The SQL guards (`status = ANY(sources_of(target))`), the diagram in the documentation and invariant I11 of `greenroom
doctor` (docs/reference/doctor.md) are derived from `ALLOWED`. A command sets a desired state, which the Agent applies.
A repeated command succeeds. A command that cannot be applied is refused with a sentence and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from greenroom.shared.states import OVER, SessionStatus


class Want(StrEnum):
    """The desired state of the container of a session."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"


class ObservedState(StrEnum):
    """The state of the container of a session, as its Agent observes it."""

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
"""Status → the statuses that may follow it. `deleted` is final."""

TRANSITIONAL: Final[frozenset[SessionStatus]] = frozenset(
    {_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.STOPPING, _S.PAUSING, _S.DELETING}
)
"""The statuses that must end: each has a deadline after which the Primary acts."""

WAITING_FOR_AGENT: Final[frozenset[SessionStatus]] = frozenset({_S.UNREACHABLE, _S.LOST})
"""The statuses that wait for an Agent to return. After its return they also have a deadline."""

NOT_YET_RUNNING: Final[frozenset[SessionStatus]] = frozenset({_S.REQUESTED, _S.STARTING, _S.ASSIGNING})
"""The statuses of a session that will run if nothing fails."""

WANTED_IN: Final[dict[SessionStatus, frozenset[Want]]] = {
    **dict.fromkeys((_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.RUNNING, _S.UNREACHABLE), frozenset({Want.RUNNING})),
    **dict.fromkeys((_S.STOPPING, _S.STOPPED), frozenset({Want.STOPPED})),
    **dict.fromkeys((_S.PAUSING, _S.PAUSED), frozenset({Want.PAUSED})),
    **dict.fromkeys((_S.DELETING, _S.DELETED), frozenset({Want.ABSENT})),
    _S.LOST: frozenset({Want.RUNNING, Want.STOPPED, Want.PAUSED}),
    _S.FAILED: frozenset(Want),
}
"""Status → the permitted desired states (an invariant of `greenroom doctor`)."""

COUNTS_FOR_USER: Final[frozenset[SessionStatus]] = frozenset(_S) - OVER
"""The statuses that count toward `max_kasms_per_user` or, for a lease, `max_leases_per_user`."""

STOPPED_OR_PAUSED: Final[frozenset[SessionStatus]] = frozenset({_S.STOPPING, _S.STOPPED, _S.PAUSING, _S.PAUSED})
"""The statuses of a session that is stopped or paused, or will be."""

KEPT_ALIVE: Final[frozenset[SessionStatus]] = COUNTS_FOR_USER - STOPPED_OR_PAUSED
"""The statuses in which the keepalive clock of a session of a user runs."""

OPERATIONAL: Final[dict[SessionStatus, str]] = {
    **{status: str(status) for status in _S},
    _S.REQUESTED: "starting",
    _S.ASSIGNING: "starting",
    _S.UNREACHABLE: "running",
    _S.LOST: "running",
}
"""Status → `operational_status` of the public interface (docs/explanation/sessions.md)."""


def sources_of(target: SessionStatus) -> frozenset[SessionStatus]:
    """Return all statuses that `target` may follow, for the guard of every SQL status change."""
    return frozenset(status for status, following in ALLOWED.items() if target in following)


LifecycleCommand = Literal["stop", "pause", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEffect:
    """The effect of a command on a session.

    `want` is the desired state for its Agent. `transitional_status` is the status until the Agent reports that state.
    `sources` are the statuses in which the command has an effect; in the statuses `settled`, the command was already
    applied. `done` is the participle of the command, for sentences.
    """

    want: Want
    transitional_status: SessionStatus
    sources: frozenset[SessionStatus]
    settled: frozenset[SessionStatus]
    done: str


COMMAND_EFFECTS: Final[dict[LifecycleCommand, CommandEffect]] = {
    "stop": CommandEffect(
        want=Want.STOPPED,
        transitional_status=_S.STOPPING,
        sources=frozenset({_S.RUNNING, _S.PAUSED}),
        settled=frozenset({_S.STOPPING, _S.STOPPED}),
        done="stopped",
    ),
    "pause": CommandEffect(
        want=Want.PAUSED,
        transitional_status=_S.PAUSING,
        sources=frozenset({_S.RUNNING}),
        settled=frozenset({_S.PAUSING, _S.PAUSED}),
        done="paused",
    ),
    "resume": CommandEffect(
        want=Want.RUNNING,
        transitional_status=_S.STARTING,
        sources=frozenset({_S.STOPPING, _S.STOPPED, _S.PAUSING, _S.PAUSED}),
        settled=frozenset({_S.REQUESTED, _S.STARTING, _S.ASSIGNING, _S.RUNNING}),
        done="resumed",
    ),
}

PAUSE_COMMANDS: Final[frozenset[LifecycleCommand]] = frozenset({"stop", "pause"})
"""The commands that some runtimes do not support."""


def command_refusal(
    command: LifecycleCommand, status: SessionStatus, *, has_user: bool, can_pause: bool = True
) -> str | None:
    """Return the reason why the command is refused now, as a sentence; None if it is permitted, or has been applied
    already. `can_pause` is True if the Agent of the session can stop and pause sessions.
    """
    effect = COMMAND_EFFECTS[command]
    if not has_user:
        return f"A staged session cannot be {effect.done}: it must run until a user gets it."
    if not can_pause and command in PAUSE_COMMANDS:
        return f"The session cannot be {effect.done}: its Agent cannot stop or pause sessions."
    if status in effect.sources | effect.settled:
        return None
    if status in WAITING_FOR_AGENT:
        return f"The session cannot be {effect.done}: its machine does not answer at the moment."
    when = " or ".join(sorted(effect.sources))
    return f"The session is {status}; it can be {effect.done} while it is {when}."


def possible_commands(status: SessionStatus, *, has_user: bool, can_pause: bool = True) -> tuple[LifecycleCommand, ...]:
    """Return the commands that would change the session now."""
    return tuple(
        name
        for name, effect in COMMAND_EFFECTS.items()
        if has_user and status in effect.sources and (can_pause or name not in PAUSE_COMMANDS)
    )
