"""Transitions of session statuses, which `core.session.observations` decides from the observations of Agents.

The commit of a message and the deadlines of the Primary (`manager.tasks.deadlines`) use the same locks, statements and
log rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import CODE_OF_STATUS, LogCode
from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.observations import StatusTransition, transition_after
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Connection
from greenroom.db.launch.replacement import destroy_quarantined
from greenroom.db.session.observations import (
    Observation,
    ReportedSession,
    StartStep,
    StatusChange,
    change_statuses,
    write_steps,
)
from greenroom.db.session.sessions import end_sessions, lock_capacity_of_sessions, lock_sessions
from greenroom.manager.tasks.context import RoundEvents


@dataclass(frozen=True, slots=True)
class Decision:
    """The transition that an observation requires, with the session before it."""

    session: ReportedSession
    observation: Observation
    transition: StatusTransition


def decisions(pairs: Iterable[tuple[ReportedSession, Observation]]) -> list[Decision]:
    """Return the transitions that these observations require; most require none."""
    decided = ((row, observation, transition_after(row, observation)) for row, observation in pairs)
    return [
        Decision(row, observation, transition) for row, observation, transition in decided if transition is not None
    ]


async def lock(connection: Connection, decided: Iterable[Decision], others: Iterable[str] = ()) -> None:
    """Lock all rows that will change, also `others`, in the lock order of docs/explanation/protocols.md §3."""
    decided = list(decided)
    if ends := [d.transition.session_id for d in decided if d.transition.to is SessionStatus.DELETED]:
        await lock_capacity_of_sessions(connection, ends)
    changing = {d.transition.session_id for d in decided} | set(others)
    if len(changing) > 1:
        await lock_sessions(connection, changing)


async def apply(connection: Connection, decided: Sequence[Decision]) -> list[Decision]:
    """Apply the transitions that the rows still allow, and return them. The rows must be locked with `lock`."""
    applied = await _end(connection, [d for d in decided if d.transition.to is SessionStatus.DELETED])
    # A quarantined session ends if there is nothing to inspect: its Agent removes the container and confirms the end.
    ending = [d for d in decided if d.transition.to is SessionStatus.DELETING]
    applied += [
        d for d in ending if await destroy_quarantined(connection, d.transition.session_id, d.transition.reason)
    ]
    others = {d.transition.session_id: d for d in decided if d.transition.to not in _ENDING_STATUSES}
    if not others:
        return applied
    changed = await change_statuses(connection, [_change(others[session_id]) for session_id in sorted(others)])
    ready = [
        s for s in changed if others[s].transition.to is SessionStatus.RUNNING and others[s].session.user_id is not None
    ]
    if ready:
        await write_steps(connection, [StartStep(session_id=session_id, name="ready") for session_id in ready])
    return applied + [others[session_id] for session_id in changed]


_ENDING_STATUSES: Final = frozenset({SessionStatus.DELETED, SessionStatus.DELETING})
"""Statuses that remove a session from the Agent's desired list."""


async def _end(connection: Connection, decided: list[Decision]) -> list[Decision]:
    for reason in sorted({d.transition.reason for d in decided}):
        await end_sessions(
            connection, [d.transition.session_id for d in decided if d.transition.reason == reason], reason
        )
    return decided


def _change(decision: Decision) -> StatusChange:
    session, observation, transition = decision.session, decision.observation, decision.transition
    return StatusChange(
        session_id=transition.session_id,
        agent_id=session.agent_id,
        status=transition.to,
        sources=sorted(transition.sources),
        generation=session.generation,
        assignment_id=session.assignment_id,
        error=transition.reason if transition.to is SessionStatus.FAILED else None,
        log_tail=observation.log_tail or None,
        exit_code=observation.exit_code,
        set_aside_reason=transition.reason if transition.set_aside else None,
        slow=transition.slow,
        deadline_s=DEADLINE_S.get(transition.to),
    )


_STATUSES_WITHOUT_WORK: Final = frozenset({SessionStatus.STARTING, SessionStatus.RUNNING})
"""Statuses that require no work of the Primary."""


def events_of(applied: Sequence[Decision], zone_key: int) -> set[ChangeEvent]:
    """Return the notifications for pages, Agents and the Primary."""
    events = set[ChangeEvent]()
    for decision in applied:
        events.add(ChangeEvent.session(decision.transition.session_id))
        if decision.transition.to in _ENDING_STATUSES:
            events.add(ChangeEvent.agent(decision.session.agent_id, decision.transition.session_id))
        if (pool := _pool_event(decision)) is not None:
            events.add(pool)
        if decision.transition.to not in _STATUSES_WITHOUT_WORK:
            events.add(ChangeEvent.zone(zone_key))
    return events


def announce(applied: Sequence[Decision], events: RoundEvents, zone_key: int) -> None:
    """Write the log rows and add the notifications, after the commit."""
    log(applied, events)
    events.add(*events_of(applied, zone_key))


def _pool_event(decision: Decision) -> ChangeEvent | None:
    """Return the event about the pool of a session; None for the session of a user, for a start, and for a session that
    is deleted. If a session becomes usable, only pages are notified: the Primary plans a pool with starting sessions in
    each round."""
    session, transition = decision.session, decision.transition
    pool_id = session.staging_config_id
    if (
        session.user_id is not None
        or pool_id is None
        or transition.to in (SessionStatus.STARTING, SessionStatus.DELETED)
    ):
        return None
    return ChangeEvent(Topic.STAGING) if transition.to is SessionStatus.RUNNING else ChangeEvent.staging(pool_id)


def log(applied: Iterable[Decision], events: RoundEvents) -> None:
    """Write the log rows, after the commit."""
    for decision in applied:
        session, transition = decision.session, decision.transition
        sentence = f"session {transition.session_id} is {transition.to}: {transition.reason}"
        code = CODE_OF_STATUS[transition.to]
        if transition.leaves_pool:
            code = LogCode.STAGED_SESSION_BROKEN
            sentence = f"{sentence.rstrip('.')}; it cannot be claimed and is replaced."
        events.log(
            code,
            sentence,
            session_id=transition.session_id,
            user_id=session.user_id,
            staging_config_id=session.staging_config_id,
            details={"before": session.status, "after": transition.to},
        )
