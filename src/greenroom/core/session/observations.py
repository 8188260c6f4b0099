"""The next status of a session row after an observation of its Agent (docs/explanation/protocols.md §2).

The Manager that commits an observation changes the row in the same transaction; it needs no leadership. The SQL repeats
the checks (`sources`, generation, assignment), because the row may have changed meanwhile. Invariants, tested as
properties:

- only transitions of `states.ALLOWED` occur;
- an observation changes nothing if its generation is not that of the row;
- the same observation after the transition changes nothing more;
- an observation that is not newer than the last applied one changes nothing, so that duplicates and reordering are
  harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from greenroom.core.session.states import ObservedState, SessionStatus, Want, sources_of

HandoverState = Literal["received", "assigned", "failed"]
ContainerVerdict = Literal["destroy", "keep"]

_S = SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """The columns of a session row on which its next status depends."""

    session_id: str
    status: SessionStatus
    want: Want
    generation: int
    assignment_id: str | None = None
    claimable: bool = False
    """True if it is staged, usable and has no user."""
    set_aside: bool = False
    """True if it is quarantined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFacts:
    """The observation of a session by its Agent. `error` is the reason why the session is `failed`; `handover` is the
    state of its hand-over.

    `broken` is True if the session runs, but several probes in a row failed; `probe_error` is the error of the last
    probe. After a restart of its Agent, a session is not `usable` until the Agent has probed it.
    """

    session_id: str
    generation: int
    state: ObservedState
    usable: bool = False
    broken: bool = False
    probe_error: str = ""
    exit_code: int | None = None
    error: str = ""
    assignment_id: str | None = None
    handover: HandoverState | None = None
    handover_error: str = ""
    handover_slow: bool = False
    """True if the hand-over failed only because of its time limit; the session may be usable."""
    has_container: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTransition:
    """A change of status, the statuses that it may follow (`sources`), and its reason as a clause."""

    session_id: str
    to: SessionStatus
    sources: frozenset[SessionStatus]
    reason: str
    set_aside: bool = False
    """True if the session is quarantined, because its hand-over failed."""
    slow: bool = False
    """True if the session failed only because of a time limit."""
    leaves_pool: bool = False
    """True if the session was claimable and leaves its pool because it failed."""


def is_newer(incarnation: int, seq: int, applied_incarnation: int, applied_seq: int) -> bool:
    """True if a message is newer than the last applied message, by incarnation and then by sequence number."""
    return (incarnation, seq) > (applied_incarnation, applied_seq)


def transition_after(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    """Return the transition of the row after this observation, or None."""
    if observed.generation != row.generation:
        return None
    if row.set_aside and row.status is _S.FAILED and not observed.has_container:
        reason = "it was kept for inspection, and its container is gone"
        return _transition(observed, _S.DELETING, frozenset({_S.FAILED}), reason)
    transition = _RULES[observed.state](row, observed)
    if transition is None or row.status not in transition.sources:
        return None
    if transition.to is _S.FAILED and row.status is _S.ASSIGNING:
        # The session is quarantined, and the waiting user gets another session.
        return replace(transition, sources=frozenset({_S.ASSIGNING}), set_aside=True)
    if transition.to is _S.FAILED and row.status is _S.RUNNING and row.claimable:
        return replace(transition, sources=frozenset({_S.RUNNING}), leaves_pool=True)
    return transition


CONTAINER_GONE: Final = "container is gone although its deletion was not requested"
"""A part of the error of a session whose container disappeared."""


def _absent(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if row.want is Want.ABSENT:
        return _transition(observed, _S.DELETED, sources_of(_S.DELETED), "its container is gone, as requested")
    statuses_with_container = sources_of(_S.FAILED) - {_S.REQUESTED, _S.STARTING}
    return _transition(observed, _S.FAILED, statuses_with_container, f"its {CONTAINER_GONE}")


def _failed(_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    code = "" if observed.exit_code is None else f" with exit code {observed.exit_code}"
    return _transition(observed, _S.FAILED, sources_of(_S.FAILED), observed.error or f"its container ended{code}")


def _creating(_row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    return _transition(observed, _S.STARTING, frozenset({_S.REQUESTED}), "its container is being created")


def _running(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.RUNNING:
        return None
    if row.status is _S.ASSIGNING:
        return _handed_over(row, observed)
    if observed.broken and row.claimable:
        reason = observed.probe_error or "The Agent gave no reason."
        return _transition(
            observed, _S.FAILED, frozenset({_S.RUNNING}), f"it stopped working while it was staged: {reason}"
        )
    if not observed.usable:
        return _transition(observed, _S.STARTING, frozenset({_S.REQUESTED}), "its container runs and is not usable yet")
    sources = frozenset({_S.REQUESTED, _S.STARTING, _S.UNREACHABLE, _S.LOST})
    return _transition(observed, _S.RUNNING, sources, "its page answers and its first frame is painted")


def _handed_over(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if row.assignment_id is None or observed.assignment_id != row.assignment_id:
        return None
    assigning = frozenset({_S.ASSIGNING})
    if observed.handover == "assigned":
        return _transition(observed, _S.RUNNING, assigning, "its hand-over was acknowledged by the Agent")
    if observed.handover == "failed":
        reason = f"its hand-over failed: {observed.handover_error or 'the Agent gave no reason'}"
        return replace(_transition(observed, _S.FAILED, assigning, reason), slow=observed.handover_slow)
    return None


def _stopped(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.STOPPED:
        return None
    return _transition(
        observed, _S.STOPPED, frozenset({_S.STOPPING, _S.LOST}), "its container was stopped, as requested"
    )


def _paused(row: SessionRow, observed: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.PAUSED:
        return None
    return _transition(observed, _S.PAUSED, frozenset({_S.PAUSING, _S.LOST}), "its container was paused, as requested")


_RULES: Final = {
    ObservedState.ABSENT: _absent,
    ObservedState.FAILED: _failed,
    ObservedState.CREATING: _creating,
    ObservedState.RUNNING: _running,
    ObservedState.STOPPED: _stopped,
    ObservedState.PAUSED: _paused,
}


def _transition(
    observed: ObservedFacts, to: SessionStatus, sources: frozenset[SessionStatus], reason: str
) -> StatusTransition:
    return StatusTransition(session_id=observed.session_id, to=to, sources=sources, reason=reason)


def verdicts(
    unknown: Iterable[str], existing: frozenset[str], reported_for_s: Mapping[str, float], grace_s: float
) -> dict[str, ContainerVerdict]:
    """Return the verdicts on `unknown` containers, by session id: `keep`, or `destroy` after the grace period.

    `existing` are the ids with a row of this Agent that is not deleted, read after the Agent sent the unknown ids.
    `reported_for_s` is the time since the Agent first sent each id.
    """
    results: dict[str, ContainerVerdict] = {}
    for session_id in unknown:
        if session_id in existing:
            results[session_id] = "keep"
        elif reported_for_s.get(session_id, 0.0) >= grace_s:
            results[session_id] = "destroy"
    return results
