"""Stop, pause and resume: what each command asks for, from which statuses, and why it is refused in others.

A command is a desired state: the row says at once what is wanted, the Agent makes it so (DESIGN §5). Giving it again
is a success; a command that cannot be obeyed is refused with a sentence and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.states import RETURNING, SessionStatus, Want

LifecycleCommand = Literal["stop", "pause", "resume"]

_S = SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What a command does to a session.

    `want` is what its Agent is told, `through` the status it has until that is reported, `sources` the statuses in
    which it is obeyed, `settled` those in which there is nothing left to do.
    """

    want: Want
    through: SessionStatus
    sources: frozenset[SessionStatus]
    settled: frozenset[SessionStatus]
    done: str
    """What the session is then, for sentences."""


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


def refusal(command: LifecycleCommand, status: SessionStatus, *, has_user: bool) -> str | None:
    """Why the command cannot be obeyed now, as a sentence; None = it can, or there is nothing left to do."""
    transition = TRANSITIONS[command]
    if not has_user:
        return f"A staged session cannot be {transition.done}: it waits, running, for the user it will be handed to."
    if status in transition.sources | transition.settled:
        return None
    if status in RETURNING:
        return f"The session cannot be {transition.done}: its machine does not answer at the moment."
    when = " or ".join(sorted(transition.sources))
    return f"The session is {status}; it can be {transition.done} while it is {when}."


def possible(status: SessionStatus, *, has_user: bool) -> tuple[LifecycleCommand, ...]:
    """The commands that would change something now."""
    return tuple(name for name, transition in TRANSITIONS.items() if has_user and status in transition.sources)
