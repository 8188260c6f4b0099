"""Changes the statuses of sessions as `core.session.observations` decides from Agents' observations.

The commit of a message and the Primary's deadlines (`manager.tasks.deadlines`) both use this, so that they cannot
differ: the same facts, the same locks, the same statements, the same log rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import SESSION_IS, LogCode
from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.observations import StatusTransition, decide
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
from greenroom.db.session.sessions import end_sessions, lock_sessions, lock_sessions_capacity
from greenroom.manager.tasks.context import RoundEvents


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on an observation, with the session as it was before."""

    session: ReportedSession
    observation: Observation
    move: StatusTransition


def decisions(pairs: Iterable[tuple[ReportedSession, Observation]]) -> list[Decision]:
    """The decisions on these observations; most need none."""
    return [Decision(row, seen, move) for row, seen in pairs if (move := decide(row, seen)) is not None]


async def lock(connection: Connection, decided: Iterable[Decision], others: Iterable[str] = ()) -> None:
    """Lock all rows that will change, `others` among them, in the lock order of docs/explanation/protocols.md §3."""
    decided = list(decided)
    if ends := [d.move.session_id for d in decided if d.move.to is SessionStatus.DELETED]:
        await lock_sessions_capacity(connection, ends)
    changing = {d.move.session_id for d in decided} | set(others)
    if len(changing) > 1:
        await lock_sessions(connection, changing)


async def apply_moves(connection: Connection, decided: Sequence[Decision]) -> list[Decision]:
    """Make the moves that their rows still allow, and return them; `lock` comes first."""
    moved = await _end(connection, [d for d in decided if d.move.to is SessionStatus.DELETED])
    # A quarantine without a purpose ends: the Agent is instructed, and confirms the removal.
    ending = [d for d in decided if d.move.to is SessionStatus.DELETING]
    moved += [d for d in ending if await destroy_quarantined(connection, d.move.session_id, d.move.reason)]
    others = {d.move.session_id: d for d in decided if d.move.to not in _ENDS}
    if not others:
        return moved
    changed = await change_statuses(connection, [_change(others[session_id]) for session_id in sorted(others)])
    ready = [s for s in changed if others[s].move.to is SessionStatus.RUNNING and others[s].session.user_id is not None]
    if ready:
        await write_steps(connection, [StartStep(session_id=session_id, name="ready") for session_id in ready])
    return moved + [others[session_id] for session_id in changed]


_ENDS: Final = frozenset({SessionStatus.DELETED, SessionStatus.DELETING})
"""Statuses that remove a session from the Agent's desired list."""


async def _end(connection: Connection, decided: list[Decision]) -> list[Decision]:
    for reason in sorted({d.move.reason for d in decided}):
        await end_sessions(connection, [d.move.session_id for d in decided if d.move.reason == reason], reason)
    return decided


def _change(decision: Decision) -> StatusChange:
    session, seen, move = decision.session, decision.observation, decision.move
    return StatusChange(
        session_id=move.session_id,
        agent_id=session.agent_id,
        status=move.to,
        sources=sorted(move.sources),
        generation=session.generation,
        assignment_id=session.assignment_id,
        error=move.reason if move.to is SessionStatus.FAILED else None,
        log_tail=seen.log_tail or None,
        exit_code=seen.exit_code,
        set_aside_reason=move.reason if move.set_aside else None,
        slow=move.slow,
        deadline_s=DEADLINE_S.get(move.to),
    )


_EXPECTED: Final = frozenset({SessionStatus.STARTING, SessionStatus.RUNNING})
"""Statuses that require no work of the Primary."""


def events_of(moved: Sequence[Decision], zone_key: int) -> set[ChangeEvent]:
    """The notifications for pages, Agents and the Primary."""
    events = set[ChangeEvent]()
    for decision in moved:
        events.add(ChangeEvent.session(decision.move.session_id))
        if decision.move.to in _ENDS:
            events.add(ChangeEvent.agent(decision.session.agent_id, decision.move.session_id))
        if (pool := _pool_event(decision)) is not None:
            events.add(pool)
        if decision.move.to not in _EXPECTED:
            events.add(ChangeEvent.zone(zone_key))
    return events


def announce(moved: Sequence[Decision], news: RoundEvents, zone_key: int) -> None:
    """Write the log rows and add the notifications, after the commit."""
    log(moved, news)
    news.add(*events_of(moved, zone_key))


def _pool_event(decision: Decision) -> ChangeEvent | None:
    """The event about the session's pool: none for a user's session or for a start. If a session becomes usable only
    pages are notified: a pool that waits for a session is planned in each round.
    """
    session, move = decision.session, decision.move
    pool_id = session.staging_config_id
    if session.user_id is not None or pool_id is None or move.to in (SessionStatus.STARTING, SessionStatus.DELETED):
        return None
    return ChangeEvent(Topic.STAGING) if move.to is SessionStatus.RUNNING else ChangeEvent.staging(pool_id)


def log(moved: Iterable[Decision], news: RoundEvents) -> None:
    """Write the log rows, after the commit."""
    for decision in moved:
        session, move = decision.session, decision.move
        code, sentence = SESSION_IS[move.to], f"session {move.session_id} is {move.to}: {move.reason}"
        if move.leaves_pool:
            code = LogCode.STAGED_SESSION_BROKEN
            sentence = f"{sentence.rstrip('.')}; it cannot be claimed and is replaced."
        news.log(
            code,
            sentence,
            session_id=move.session_id,
            user_id=session.user_id,
            staging_config_id=session.staging_config_id,
            details={"before": session.status, "after": move.to},
        )
