"""Write down what Agents saw and move the sessions it concerns, in the transaction of a group commit."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.core.checkin import Move, Seen, SessionRow, decide
from greenroom.core.deadlines import DEADLINE_S, HANDOVER_SLACK_S
from greenroom.core.progress import AGENT_STEPS
from greenroom.core.states import ObservedState, SessionStatus, Want
from greenroom.db import checkin as sql
from greenroom.db.database import Connection, Database
from greenroom.db.logs import LogWriter
from greenroom.db.managers import ManagerRow
from greenroom.db.sessions import end_sessions, lock_sessions, lock_sessions_capacity
from greenroom.db.successors import destroy_set_aside
from greenroom.kit.config import ManagerConfig
from greenroom.wire.messages import AssignmentReport, CheckIn, Observed


@dataclass(slots=True)
class Outcome:
    """What a commit changed, for notifications and log rows."""

    moved: list[tuple[Move, dict[str, Any]]] = field(default_factory=list[tuple[Move, dict[str, Any]]])
    ended: list[tuple[Move, str]] = field(default_factory=list[tuple[Move, str]])
    touched: set[str] = field(default_factory=set[str])
    """Sessions whose page may show something new."""
    agents: set[str] = field(default_factory=set[str])
    """Agents whose desired list became shorter."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    message: CheckIn
    observed: Observed

    @property
    def key(self) -> tuple[str, str]:
        return self.message.agent_id, self.observed.session_id


async def apply(connection: Connection, messages: Sequence[CheckIn], config: ManagerConfig) -> Outcome:
    """Apply messages that are newer than everything applied before."""
    outcome = Outcome()
    sightings = {s.key: s for s in (_Sighting(m, o) for m in messages for o in m.sessions)}
    if not sightings:
        return outcome
    pairs = [{"agent_id": agent_id, "session_id": session_id} for agent_id, session_id in sightings]
    found = {(row["agent_id"], row["session_id"]): row for row in await sql.read_rows(connection, pairs)}
    known = [sightings[key] for key in sorted(found)]
    moves = [(s, found[s.key], move) for s in known if (move := decide(_row(found[s.key]), seen_of(s.observed)))]
    handovers = [s for s in known if _is_news_of_handover(found[s.key], s.observed.assignment)]
    await _lock(connection, moves, handovers)
    await _end(connection, moves, outcome)
    if known:
        await sql.write_observed(connection, [_observed(s) for s in known])
    steps = await _hand_over(connection, handovers, config, outcome)
    await _let_go(connection, moves, outcome)
    steps += await _move(connection, moves, outcome)
    steps += _of_starts(known, outcome)
    if steps:
        await sql.write_steps(connection, steps)
    await _commands(connection, known, outcome)
    return outcome


_Moves = list[tuple[_Sighting, dict[str, Any], Move]]
_Steps = list[dict[str, Any]]
"""Of `sql.write_steps`."""


def _is_news_of_handover(row: dict[str, Any], report: AssignmentReport | None) -> bool:
    return (
        report is not None
        and row["assignment_id"] == report.assignment_id
        and row["assignment_state"] not in ("assigned", "failed", report.state)
    )


async def _lock(connection: Connection, moves: _Moves, handovers: Iterable[_Sighting]) -> None:
    """All rows that will change, in the lock order; the statements that change them come to them in their own."""
    if ends := [m.session_id for _, _, m in moves if m.to is SessionStatus.DELETED]:
        await lock_sessions_capacity(connection, ends)
    changing = {move.session_id for _, _, move in moves} | {s.observed.session_id for s in handovers}
    if len(changing) > 1:
        await lock_sessions(connection, changing)


async def _end(connection: Connection, moves: _Moves, outcome: Outcome) -> None:
    ends = [(s, move) for s, _, move in moves if move.to is SessionStatus.DELETED]
    for reason in sorted({move.reason for _, move in ends}):
        await end_sessions(connection, [move.session_id for _, move in ends if move.reason == reason], reason)
    for sighting, move in ends:
        outcome.ended.append((move, sighting.message.agent_id))
        outcome.touched.add(move.session_id)
        outcome.agents.add(sighting.message.agent_id)


async def _hand_over(
    connection: Connection, news: Iterable[_Sighting], config: ManagerConfig, outcome: Outcome
) -> _Steps:
    """Write down how far hand-overs are; the steps to store with it."""
    reports = [
        {
            "session_id": s.observed.session_id,
            "agent_id": s.message.agent_id,
            "assignment_id": s.observed.assignment.assignment_id,
            "state": s.observed.assignment.state,
            "deadline_s": config.handover_assigned_s + HANDOVER_SLACK_S,
        }
        for s in news
        if s.observed.assignment is not None
    ]
    changed = await sql.write_handovers(connection, reports) if reports else []
    steps = [
        {"session_id": row["session_id"], "name": "handed_over", "at": None}
        for row in changed
        if row["assignment_state"] != "failed"
    ]
    if steps:
        outcome.touched.update(row["session_id"] for row in changed)
    return steps


async def _let_go(connection: Connection, moves: _Moves, outcome: Outcome) -> None:
    """End what is kept in vain: its Agent is told, and confirms that there is nothing of it."""
    for sighting, row, move in moves:
        if move.to is SessionStatus.DELETING and await destroy_set_aside(connection, move.session_id, move.reason):
            outcome.moved.append((move, {**row, "before": row["status"]}))
            outcome.touched.add(move.session_id)
            outcome.agents.add(sighting.message.agent_id)


_BY_THEMSELVES: Final = frozenset({SessionStatus.DELETED, SessionStatus.DELETING})
"""Moves that `_end` and `_let_go` make."""


async def _move(connection: Connection, moves: _Moves, outcome: Outcome) -> _Steps:
    """Change statuses; the steps to store with it."""
    wanted = {move.session_id: (s, row, move) for s, row, move in moves if move.to not in _BY_THEMSELVES}
    if not wanted:
        return []
    rows = await sql.move_sessions(connection, [_update(*wanted[session_id]) for session_id in sorted(wanted)])
    for row in rows:
        _, before, move = wanted[row["session_id"]]
        outcome.moved.append((move, {**row, "before": before["status"]}))
        outcome.touched.add(row["session_id"])
    return [
        {"session_id": row["session_id"], "name": "ready", "at": None}
        for row in rows
        if row["status"] == SessionStatus.RUNNING and row["user_id"] is not None
    ]


def _of_starts(known: Iterable[_Sighting], outcome: Outcome) -> _Steps:
    """The steps that Agents report of starts."""
    steps: _Steps = [
        {"session_id": s.observed.session_id, "name": step.name, "at": step.at}
        for s in known
        for step in s.observed.steps
        if step.name in AGENT_STEPS
    ]
    outcome.touched.update(str(step["session_id"]) for step in steps)
    return steps


async def _commands(connection: Connection, known: Iterable[_Sighting], outcome: Outcome) -> None:
    reports = [
        {
            "agent_id": s.message.agent_id,
            "command_id": report.command_id,
            "state": report.state,
            "exit_code": report.exit_code,
            "output": report.output,
            "output_complete": report.output_complete,
            "picture": base64.b64encode(report.picture).decode(),
        }
        for s in known
        for report in s.observed.commands
    ]
    if reports:
        outcome.touched.update(await sql.write_command_reports(connection, reports))


def seen_of(observed: Observed) -> Seen:
    """The observation as the core sees it."""
    report = observed.assignment
    return Seen(
        session_id=observed.session_id,
        generation=observed.generation,
        state=ObservedState(observed.state),
        usable=observed.usable,
        broken=observed.broken,
        probe_error=observed.probe_error,
        exit_code=observed.exit_code,
        error=observed.error,
        assignment_id=report.assignment_id if report else None,
        handover=report.state if report else None,
        handover_error=report.error if report else "",
        handover_slow=report.slow if report else False,
        has_container=observed.container_id is not None,
    )


def _row(row: dict[str, Any]) -> SessionRow:
    return SessionRow(
        session_id=row["session_id"],
        status=SessionStatus(row["status"]),
        want=Want(row["want"]),
        generation=row["generation"],
        assignment_id=row["assignment_id"],
        claimable=row["claimable"],
        set_aside=row["set_aside"],
    )


def _observed(sighting: _Sighting) -> dict[str, Any]:
    o = sighting.observed
    return {
        "session_id": o.session_id,
        "agent_id": sighting.message.agent_id,
        "incarnation": sighting.message.incarnation,
        "seq": sighting.message.seq,
        "generation": o.generation,
        "state": o.state,
        "container_id": o.container_id,
        "spec_hash": o.spec_hash,
        "address": o.address,
        "usable": o.usable,
        "probe_error": o.probe_error,
        "exit_code": o.exit_code,
        "log_tail": o.log_tail,
    }


def _update(sighting: _Sighting, row: dict[str, Any], move: Move) -> dict[str, Any]:
    failed = move.to is SessionStatus.FAILED
    return {
        "session_id": move.session_id,
        "agent_id": sighting.message.agent_id,
        "status": move.to,
        "sources": sorted(move.sources),
        "generation": row["generation"],
        "assignment_id": row["assignment_id"],
        "error": move.reason if failed else None,
        "log_tail": sighting.observed.log_tail or None,
        "exit_code": sighting.observed.exit_code,
        "set_aside_reason": move.reason if move.set_aside else None,
        "slow": move.slow,
        "deadline_s": DEADLINE_S.get(move.to),
    }


_AS_EXPECTED: Final = frozenset({SessionStatus.STARTING, SessionStatus.RUNNING})
"""A round of the Primary has nothing to do about sessions that become this."""


def _concerns_pool(move: Move, row: dict[str, Any]) -> bool:
    """Whether a plan may find something new to do: not for a session that is somebody's, nor where one just begins."""
    return bool(row["staging_config_id"]) and row["user_id"] is None and move.to is not SessionStatus.STARTING


class Observations:
    """Tells everybody what a commit changed: notifications for pages, Agents and the Primary; log rows."""

    def __init__(self, db: Database, me: ManagerRow, logs: LogWriter) -> None:
        self._db = db
        self._me = me
        self._logs = logs

    async def announce(self, outcome: Outcome) -> None:
        """After the commit."""
        for move, row in outcome.moved:
            self._log(
                "ERROR" if move.to is SessionStatus.FAILED else "INFO",
                move,
                user_id=row["user_id"],
                staging_config_id=row["staging_config_id"],
                details={"before": row["before"], "after": str(move.to)},
            )
        for move, _ in outcome.ended:
            self._log("INFO", move)
        events = {f"session:{session_id}" for session_id in outcome.touched}
        events |= {f"agent:{agent_id}" for agent_id in outcome.agents}
        events |= {f"staging:{row['staging_config_id']}" for move, row in outcome.moved if _concerns_pool(move, row)}
        if outcome.ended or any(move.to not in _AS_EXPECTED for move, _ in outcome.moved):
            events.add(f"zone:{self._me.zone_key}")
        if events:
            await self._db.notify(*events)

    def _log(self, level: Any, move: Move, **fields: Any) -> None:
        code, sentence = f"session-{move.to}", f"Session {move.session_id} is {move.to}: {move.reason}"
        if move.leaves_pool:
            code, sentence = "staged-session-broken", f"{sentence.rstrip('.')}; nobody gets it and it is replaced."
        self._logs.write(level, code, sentence, zone_name=self._me.zone_name, session_id=move.session_id, **fields)
