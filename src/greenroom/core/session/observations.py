"""From what an Agent saw of a session to the next status of its row (docs/explanation/protocols.md §2).

The Manager that commits an observation changes the row in the same transaction, without the lease. The guards
(`sources`, generation, assignment) are repeated in the SQL, because the row may have changed in between. Invariants,
tested as properties:

- only edges of `states.ALLOWED` are taken;
- an observation of another generation than the row's changes nothing;
- deciding again after a move changes nothing further;
- an observation that is not newer than the one applied changes nothing, so that duplicates and reordering are harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from greenroom.core.session.states import ObservedState, SessionStatus, Want, sources_of

HandoverState = Literal["received", "assigned", "failed"]
Verdict = Literal["destroy", "keep"]

_S = SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """The part of a session's row that decides on its next status."""

    session_id: str
    status: SessionStatus
    want: Want
    generation: int
    assignment_id: str | None = None
    claimable: bool = False
    """It is staged, usable and unassigned."""
    set_aside: bool = False
    """It is quarantined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFacts:
    """What the Agent saw of a session. `error` says why it is `failed`; `handover` is its report on an assignment.

    `broken`: it runs, but failed so many probes in a row that it counts; `probe_error` is the result of the last one. A
    session may also be not `usable` because a restarted Agent has not probed it yet.
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
    """It failed because something took too long, and is not known to be broken."""
    has_container: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTransition:
    """A change of status, the statuses from which it may be made, and its reason as a sentence."""

    session_id: str
    to: SessionStatus
    sources: frozenset[SessionStatus]
    reason: str
    set_aside: bool = False
    """The hand-over failed: the session is quarantined."""
    slow: bool = False
    """It failed only because it took too long."""
    leaves_pool: bool = False
    """It was claimable, and no user gets it any more."""


def is_newer(incarnation: int, seq: int, applied_incarnation: int, applied_seq: int) -> bool:
    """Whether a message is newer than the last one applied: by incarnation, then by sequence number."""
    return (incarnation, seq) > (applied_incarnation, applied_seq)


def decide(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    """The move this observation asks for, or None."""
    if seen.generation != row.generation:
        return None
    if row.set_aside and row.status is _S.FAILED and not seen.has_container:
        why = "it was kept for inspection, and its container is gone"
        return _move(seen, _S.DELETING, frozenset({_S.FAILED}), why)
    move = _RULES[seen.state](row, seen)
    if move is None or row.status not in move.sources:
        return None
    if move.to is _S.FAILED and row.status is _S.ASSIGNING:
        # In any case, the user is waiting: quarantine this session and give the user the next one.
        return replace(move, sources=frozenset({_S.ASSIGNING}), set_aside=True)
    if move.to is _S.FAILED and row.status is _S.RUNNING and row.claimable:
        return replace(move, sources=frozenset({_S.RUNNING}), leaves_pool=True)
    return move


def _absent(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    if row.want is Want.ABSENT:
        return _move(seen, _S.DELETED, sources_of(_S.DELETED), "its container is gone, as was wanted")
    return _move(seen, _S.FAILED, _HAD_CONTAINER, "its container is gone although its deletion was not requested")


_HAD_CONTAINER: Final = sources_of(_S.FAILED) - {_S.REQUESTED, _S.STARTING}


def _failed(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    del row
    code = "" if seen.exit_code is None else f" with exit code {seen.exit_code}"
    return _move(seen, _S.FAILED, sources_of(_S.FAILED), seen.error or f"its container ended{code}")


def _creating(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    del row
    return _move(seen, _S.STARTING, frozenset({_S.REQUESTED}), "its container is being created")


def _running(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.RUNNING:
        return None
    if row.status is _S.ASSIGNING:
        return _handed_over(row, seen)
    if seen.broken and row.claimable:
        why = seen.probe_error or "The Agent gave no reason."
        return _move(seen, _S.FAILED, frozenset({_S.RUNNING}), f"it stopped working while it was staged: {why}")
    if not seen.usable:
        return _move(seen, _S.STARTING, frozenset({_S.REQUESTED}), "its container runs and is not usable yet")
    sources = frozenset({_S.REQUESTED, _S.STARTING, _S.UNREACHABLE, _S.LOST})
    return _move(seen, _S.RUNNING, sources, "its page answers and its first frame is painted")


def _handed_over(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    if row.assignment_id is None or seen.assignment_id != row.assignment_id:
        return None
    only = frozenset({_S.ASSIGNING})
    if seen.handover == "assigned":
        return _move(seen, _S.RUNNING, only, "its hand-over was acknowledged by the Agent")
    if seen.handover == "failed":
        reason = f"its hand-over failed: {seen.handover_error or 'the Agent gave no reason'}"
        return replace(_move(seen, _S.FAILED, only, reason), slow=seen.handover_slow)
    return None


def _stopped(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.STOPPED:
        return None
    return _move(seen, _S.STOPPED, frozenset({_S.STOPPING, _S.LOST}), "its container was stopped, as was wanted")


def _paused(row: SessionRow, seen: ObservedFacts) -> StatusTransition | None:
    if row.want is not Want.PAUSED:
        return None
    return _move(seen, _S.PAUSED, frozenset({_S.PAUSING, _S.LOST}), "its container was paused, as was wanted")


_RULES: Final = {
    ObservedState.ABSENT: _absent,
    ObservedState.FAILED: _failed,
    ObservedState.CREATING: _creating,
    ObservedState.RUNNING: _running,
    ObservedState.STOPPED: _stopped,
    ObservedState.PAUSED: _paused,
}


def _move(seen: ObservedFacts, to: SessionStatus, sources: frozenset[SessionStatus], reason: str) -> StatusTransition:
    return StatusTransition(session_id=seen.session_id, to=to, sources=sources, reason=reason)


def verdicts(
    unknown: Iterable[str],
    living: frozenset[str],
    asked_for_s: Mapping[str, float],
    grace_s: float,
) -> dict[str, Verdict]:
    """What to do with containers that no desired session accounts for; none before their grace period is over.

    Args:
        unknown: session ids of the containers.
        living: those with a row of this Agent that is not deleted, read after the question.
        asked_for_s: how long ago the Agent first asked about each.
        grace_s: the grace period.
    """
    found: dict[str, Verdict] = {}
    for session_id in unknown:
        if session_id in living:
            found[session_id] = "keep"
        elif asked_for_s.get(session_id, 0.0) >= grace_s:
            found[session_id] = "destroy"
    return found
