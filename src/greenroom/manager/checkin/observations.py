"""Stores Agents' observations and moves the sessions concerned, in the transaction of a group commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenroom.core.session.deadlines import HANDOVER_SLACK_S
from greenroom.core.session.progress import AGENT_STEPS
from greenroom.core.session.states import ObservedState
from greenroom.db.database import Connection
from greenroom.db.fleet.reports import CommandResult, write_command_results
from greenroom.db.session import observations
from greenroom.db.session.observations import HandoverReport, Observation, ReportedSession, StartStep
from greenroom.kit.config import ManagerConfig
from greenroom.manager import moves
from greenroom.manager.moves import Decision
from greenroom.wire.messages import CheckIn, Observed


@dataclass(frozen=True, slots=True)
class Applied:
    """What a commit changed."""

    moved: list[Decision]
    shown: set[str]
    """Sessions whose page may show something new besides."""


async def apply(connection: Connection, messages: Sequence[CheckIn], config: ManagerConfig) -> Applied:
    """Apply messages that are newer than everything applied before."""
    observed = {(m.agent_id, o.session_id): (m, o) for m in messages for o in m.sessions}
    if not observed:
        return Applied([], set())
    rows = await observations.read_reported(connection, [observation_of(m, o) for m, o in observed.values()])
    known = {row.session_id: (row, *observed[row.agent_id, row.session_id]) for row in rows}
    seen = {session_id: (row, observation_of(m, o)) for session_id, (row, m, o) in sorted(known.items())}
    decided = moves.decisions(seen.values())
    handovers = [_handover(row, o, config) for row, o in seen.values() if _advances_handover(row, o)]
    await moves.lock(connection, decided, [report.session_id for report in handovers])
    if seen:
        await observations.write_observations(connection, [o for _, o in seen.values()])
    changed = await observations.write_handovers(connection, handovers) if handovers else {}
    moved = await moves.apply_moves(connection, decided)
    handed = [StartStep(session_id=s, name="handed_over") for s, state in changed.items() if state != "failed"]
    steps = handed + _steps_of_starts(o for _, _, o in known.values())
    if steps:
        await observations.write_steps(connection, steps)
    commands = await _write_commands(connection, ((m, o) for _, m, o in known.values()))
    return Applied(moved, {*changed, *(step.session_id for step in steps), *commands})


def observation_of(message: CheckIn, observed: Observed) -> Observation:
    """One session of a message as the core and the database see it."""
    report = observed.assignment
    return Observation(
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
        agent_id=message.agent_id,
        incarnation=message.incarnation,
        seq=message.seq,
        container_id=observed.container_id,
        spec_hash=observed.spec_hash,
        address=observed.address,
        log_tail=observed.log_tail,
    )


def _advances_handover(row: ReportedSession, seen: Observation) -> bool:
    return (
        seen.handover is not None
        and row.assignment_id == seen.assignment_id
        and row.assignment_state not in ("assigned", "failed", seen.handover)
    )


def _handover(row: ReportedSession, seen: Observation, config: ManagerConfig) -> HandoverReport:
    if seen.handover is None or seen.assignment_id is None:
        raise AssertionError("an observation that advances a hand-over reports one")
    return HandoverReport(
        session_id=row.session_id,
        agent_id=row.agent_id,
        assignment_id=seen.assignment_id,
        state=seen.handover,
        deadline_s=config.handover_assigned_s + HANDOVER_SLACK_S,
    )


def _steps_of_starts(known: Iterable[Observed]) -> list[StartStep]:
    return [
        StartStep(session_id=observed.session_id, name=step.name, at=step.at)
        for observed in known
        for step in observed.steps
        if step.name in AGENT_STEPS
    ]


async def _write_commands(connection: Connection, known: Iterable[tuple[CheckIn, Observed]]) -> list[str]:
    """The sessions whose commands have something new."""
    results = [
        CommandResult(
            agent_id=message.agent_id,
            command_id=report.command_id,
            state=report.state,
            exit_code=report.exit_code,
            output=report.output,
            output_complete=report.output_complete,
            picture=report.picture,
        )
        for message, observed in known
        for report in observed.commands
    ]
    return await write_command_results(connection, results) if results else []
