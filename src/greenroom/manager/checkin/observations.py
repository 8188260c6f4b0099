"""Stores Agents' observations and moves the sessions concerned, in the transaction of a group commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from greenroom.core.session.deadlines import HANDOVER_SLACK_S
from greenroom.core.session.progress import AGENT_STEPS
from greenroom.core.session.states import ObservedState
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet.checkin import CommandResult, write_command_results
from greenroom.db.fleet.managers import ManagerRow
from greenroom.db.session import observations
from greenroom.db.session.observations import HandoverReport, Observation, ReportedSession, StartStep
from greenroom.kit.config import ManagerConfig
from greenroom.manager import moves
from greenroom.manager.moves import Outcome
from greenroom.manager.tasks.context import RoundEvents
from greenroom.wire.messages import CheckIn, Observed


async def apply(connection: Connection, messages: Sequence[CheckIn], config: ManagerConfig) -> Outcome:
    """Apply messages that are newer than everything applied before."""
    outcome = Outcome()
    observed = {(m.agent_id, o.session_id): (m, o) for m in messages for o in m.sessions}
    if not observed:
        return outcome
    rows = await observations.read_reported(connection, [observation_of(m, o) for m, o in observed.values()])
    known = {row.session_id: (row, *observed[row.agent_id, row.session_id]) for row in rows}
    seen = {session_id: (row, observation_of(m, o)) for session_id, (row, m, o) in sorted(known.items())}
    decided = moves.decisions(seen.values())
    handovers = [_handover(row, o, config) for row, o in seen.values() if _advances_handover(row, o)]
    await moves.lock(connection, decided, [report.session_id for report in handovers])
    if seen:
        await observations.write_observations(connection, [o for _, o in seen.values()])
    steps = await _hand_over(connection, handovers, outcome)
    await moves.apply_moves(connection, decided, outcome)
    steps += _of_starts((o for _, _, o in known.values()), outcome)
    if steps:
        await observations.write_steps(connection, steps)
    await _commands(connection, ((m, o) for _, m, o in known.values()), outcome)
    return outcome


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
        raise AssertionError("an observation that advances a hand-over tells of one")
    return HandoverReport(
        session_id=row.session_id,
        agent_id=row.agent_id,
        assignment_id=seen.assignment_id,
        state=seen.handover,
        deadline_s=config.handover_assigned_s + HANDOVER_SLACK_S,
    )


async def _hand_over(connection: Connection, reports: Sequence[HandoverReport], outcome: Outcome) -> list[StartStep]:
    """Store the progress of hand-overs; returns the steps to store with it."""
    changed = await observations.write_handovers(connection, reports) if reports else {}
    steps = [
        StartStep(session_id=session_id, name="handed_over")
        for session_id, state in changed.items()
        if state != "failed"
    ]
    if steps:
        outcome.touched.update(changed)
    return steps


def _of_starts(known: Iterable[Observed], outcome: Outcome) -> list[StartStep]:
    steps = [
        StartStep(session_id=observed.session_id, name=step.name, at=step.at)
        for observed in known
        for step in observed.steps
        if step.name in AGENT_STEPS
    ]
    outcome.touched.update(step.session_id for step in steps)
    return steps


async def _commands(connection: Connection, known: Iterable[tuple[CheckIn, Observed]], outcome: Outcome) -> None:
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
    if results:
        outcome.touched.update(await write_command_results(connection, results))


class Observations:
    """Announces what a commit changed: notifications for pages, Agents and the Primary; log rows."""

    def __init__(self, db: Database, me: ManagerRow, logs: LogWriter) -> None:
        self._db = db
        self._me = me
        self._logs = logs

    async def announce(self, outcome: Outcome) -> None:
        """Call it after the commit."""
        news = RoundEvents(self._logs, self._me.zone_name)
        moves.announce(outcome, news, self._me.zone_key)
        await news.send(self._db)
