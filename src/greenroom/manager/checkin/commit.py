"""The group commit of Agents' reports (docs/explanation/protocols.md §2): one transaction commits all messages that
wait at its start.

The commit stores observations and changes the statuses of sessions that the observations require. Messages that arrive
while a commit runs form the next group. The newest message of an Agent replaces its older messages, because every
message carries all unacknowledged observations. No message is acknowledged before it is committed.

A message without news reports only what the database already has. Such messages are not part of a group; they are
stored within `MAX_CHECKIN_DELAY_S`. No caller waits for their storage, and it never delays a commit, because each
statement is a separate transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec
import structlog
from prometheus_client import Histogram

from greenroom.core.errors import GreenroomError, Invalid, StatementCanceled, Unavailable
from greenroom.core.events import ChangeEvent
from greenroom.core.fleet.liveness import MAX_CHECKIN_DELAY_S
from greenroom.core.session.deadlines import HANDOVER_SLACK_S
from greenroom.core.session.observations import is_newer
from greenroom.core.session.progress import AGENT_STEPS
from greenroom.core.session.states import ObservedState
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet import reports
from greenroom.db.fleet.managers import ManagerRow
from greenroom.db.fleet.reports import CommandResult, write_command_results
from greenroom.db.session import observations
from greenroom.db.session.observations import HandoverReport, Observation, ReportedSession, StartStep
from greenroom.db.workspace.homes import ReportedHome, write_homes
from greenroom.kit.config import ManagerConfig
from greenroom.kit.stops import hold_if_armed
from greenroom.manager import transitions
from greenroom.manager.tasks.context import RoundEvents
from greenroom.manager.transitions import Decision
from greenroom.wire.messages import CheckIn, Observed


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The changes that a commit made. `decisions` are the changes of statuses that were applied."""

    decisions: list[Decision]
    other_changed_ids: set[str]
    """The ids of other sessions that changed, so that their pages are notified."""


async def apply_messages(connection: Connection, messages: Sequence[CheckIn], config: ManagerConfig) -> CommitResult:
    """Store the observations in these messages, and change statuses accordingly. Each message must be newer than all
    earlier messages of its Agent."""
    observed = {(m.agent_id, o.session_id): (m, o) for m in messages for o in m.sessions}
    if not observed:
        return CommitResult([], set())
    rows = await observations.read_reported(connection, [observation_of(m, o) for m, o in observed.values()])
    reported = {row.session_id: (row, *observed[row.agent_id, row.session_id]) for row in rows}
    observed_rows = {session_id: (row, observation_of(m, o)) for session_id, (row, m, o) in sorted(reported.items())}
    decided = transitions.decisions(observed_rows.values())
    handovers = [_handover(row, o, config) for row, o in observed_rows.values() if _advances_handover(row, o)]
    await transitions.lock(connection, decided, [report.session_id for report in handovers])
    if observed_rows:
        await observations.write_observations(connection, [o for _, o in observed_rows.values()])
    changed = await observations.write_handovers(connection, handovers) if handovers else {}
    applied = await transitions.apply(connection, decided)
    handover_steps = [StartStep(session_id=s, name="handed_over") for s, state in changed.items() if state != "failed"]
    steps = handover_steps + _steps_of_starts(o for _, _, o in reported.values())
    if steps:
        await observations.write_steps(connection, steps)
    commands = await _write_commands(connection, ((m, o) for _, m, o in reported.values()))
    return CommitResult(applied, {*changed, *(step.session_id for step in steps), *commands})


def observation_of(message: CheckIn, observed: Observed) -> Observation:
    """Convert one session of a message to the form of the core and the database."""
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


def _advances_handover(row: ReportedSession, observation: Observation) -> bool:
    return (
        observation.handover is not None
        and row.assignment_id == observation.assignment_id
        and row.assignment_state not in ("assigned", "failed", observation.handover)
    )


def _handover(row: ReportedSession, observation: Observation, config: ManagerConfig) -> HandoverReport:
    if observation.handover is None or observation.assignment_id is None:
        raise AssertionError("the observation has no hand-over")
    return HandoverReport(
        session_id=row.session_id,
        agent_id=row.agent_id,
        assignment_id=observation.assignment_id,
        state=observation.handover,
        deadline_s=config.handover_assigned_s + HANDOVER_SLACK_S,
    )


def _steps_of_starts(reported: Iterable[Observed]) -> list[StartStep]:
    return [
        StartStep(session_id=observed.session_id, name=step.name, at=step.at)
        for observed in reported
        for step in observed.steps
        if step.name in AGENT_STEPS
    ]


async def _write_commands(connection: Connection, reported: Iterable[tuple[CheckIn, Observed]]) -> list[str]:
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
        for message, observed in reported
        for report in observed.commands
    ]
    return await write_command_results(connection, results) if results else []


log = structlog.get_logger(__name__)

MAX_MESSAGES: Final = 500
"""The maximum number of messages in a commit, so that its statements end within their time limit on a busy machine."""


@dataclass(slots=True)
class _Pending:
    message: CheckIn
    new_capacity: bool = False
    waiters: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])


class Committer:
    """Commits messages; `commit_seconds` receives the duration of every commit."""

    def __init__(
        self, db: Database, me: ManagerRow, config: ManagerConfig, logs: LogWriter, commit_seconds: Histogram
    ) -> None:
        self._db = db
        self._me = me
        self._config = config
        self._logs = logs
        self._commit_seconds = commit_seconds
        self._pending: dict[str, _Pending] = {}
        self._arrived = asyncio.Event()

    async def submit(self, message: CheckIn, *, new_capacity: bool) -> None:
        """Wait until this message, or a newer message of the Agent, is committed. `new_capacity`: the capacity in the
        message differs from the stored capacity.

        Raises:
            Unavailable: the database cannot be reached; the Agent repeats the message.
            Invalid: the message has values that the database refuses.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pending = self._pending.setdefault(message.agent_id, _Pending(message))
        pending.waiters.append(waiter)
        pending.new_capacity |= new_capacity
        newest = pending.message
        if is_newer(message.incarnation, message.seq, newest.incarnation, newest.seq):
            pending.message = message
        self._arrived.set()
        await waiter

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            group = {agent_id: self._pending.pop(agent_id) for agent_id in list(islice(self._pending, MAX_MESSAGES))}
            if not self._pending:
                self._arrived.clear()
            await self._commit(group)

    async def _commit(self, group: Mapping[str, _Pending]) -> None:
        """Commit a group. A message that the database refuses does not prevent the commit of the other messages."""
        await hold_if_armed("checkin.before_commit")
        try:
            with self._commit_seconds.time():
                result = await self._write(group)
        except Exception as error:  # noqa: BLE001 -- see `_commit_one_by_one`
            await self._commit_one_by_one(group, error)
            return
        await hold_if_armed("checkin.after_commit")
        for pending in group.values():
            for waiter in pending.waiters:
                _resolve(waiter, None)
        transitions.log(result.decisions, RoundEvents(self._db, self._logs))

    async def _commit_one_by_one(self, group: Mapping[str, _Pending], error: Exception) -> None:
        """Commit the messages of a failed group one by one, or report the failure to the waiting calls. No message may
        end this Manager, because its Agent would then send it to the next Manager."""
        is_unreachable = isinstance(error, Unavailable) and not isinstance(error, StatementCanceled)
        if len(group) > 1 and not is_unreachable:
            for agent_id, pending in group.items():
                await self._commit({agent_id: pending})
        elif isinstance(error, Unavailable):
            self._report_failure(group, error)
        else:
            reason = str(error).strip() or type(error).__name__
            log.error("a message cannot be stored", agent_id=next(iter(group)), reason=reason, exc_info=error)
            self._report_failure(group, Invalid(f"The message has values that cannot be stored: {reason}"))

    def _report_failure(self, group: Mapping[str, _Pending], error: GreenroomError) -> None:
        log.warning("a group commit failed", agents=len(group), reason=error.message)
        for pending in group.values():
            for waiter in pending.waiters:
                _resolve(waiter, error)

    async def _write(self, group: Mapping[str, _Pending]) -> CommitResult:
        await self._write_capacity(group)
        messages = [pending.message for pending in group.values()]
        agent_progress = [progress(message) for message in messages]
        if not any(m.sessions or m.images is not None or m.homes is not None for m in messages):
            # Agents that changed from another Manager, for example, report no sessions. One statement stores their
            # progress, so it needs no transaction.
            async with self._db.connection() as connection:
                await reports.write_progress(connection, self._me.manager_id, agent_progress)
            return CommitResult([], set())
        events = set[ChangeEvent]()
        async with self._db.pipelined(events) as connection:
            newer = await reports.write_progress(connection, self._me.manager_id, agent_progress)
            for message in messages:
                # An older message must not replace the stored list: the Agent does not repeat the newer list, which is
                # acknowledged.
                if message.images is not None and message.agent_id in newer:
                    images = msgspec.convert(message.images, list[reports.ReportedImage], from_attributes=True)
                    await reports.write_images(connection, message.agent_id, images)
            result = await apply_messages(connection, [m for m in messages if m.agent_id in newer], self._config)
            events |= transitions.events_of(result.decisions, self._me.zone_key)
            events |= {ChangeEvent.session(session_id) for session_id in result.other_changed_ids}
        await self._write_homes([message for message in messages if message.agent_id in newer])
        return result

    async def _write_homes(self, messages: Sequence[CheckIn]) -> None:
        """Write homes in separate transactions, because of the lock order. After a failure, the next report repeats
        them."""
        for message in messages:
            if message.homes is not None:
                reported = msgspec.convert(message.homes, list[ReportedHome], from_attributes=True)
                async with self._db.transaction() as connection:
                    await write_homes(connection, message.agent_id, reported)

    async def _write_capacity(self, group: Mapping[str, _Pending]) -> None:
        """Write capacities in a separate transaction, because of the lock order. After a failure, the next message
        repeats them."""
        capacities = [
            reports.CapacityReport(
                agent_id=agent_id, cores=p.message.capacity.cores, memory_bytes=p.message.capacity.memory_bytes
            )
            for agent_id, p in sorted(group.items())
            if p.new_capacity
        ]
        if capacities:
            async with self._db.connection() as connection:
                await reports.write_capacity(connection, capacities, self._config.cpu_overcommit)


def progress(message: CheckIn) -> reports.AgentProgress:
    """Return the part of the message that describes the Agent itself."""
    return reports.AgentProgress(
        agent_id=message.agent_id,
        incarnation=message.incarnation,
        seq=message.seq,
        complete=message.inventory_complete,
        term_seen=message.term_seen,
        usage=msgspec.to_builtins(message.usage),
        lateness=message.lateness,
        runtime_error=message.runtime_error,
        crash_loop=message.crash_loop,
    )


def _resolve(waiter: asyncio.Future[None], error: GreenroomError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)


class UnstoredCheckIns:
    """The messages without news that are not stored yet: the newest message of each Agent."""

    def __init__(self, db: Database, me: ManagerRow) -> None:
        self._db = db
        self._me = me
        self._waiting: dict[str, CheckIn] = {}

    def add(self, message: CheckIn) -> None:
        newest = self._waiting.setdefault(message.agent_id, message)
        if is_newer(message.incarnation, message.seq, newest.incarnation, newest.seq):
            self._waiting[message.agent_id] = message

    async def run(self) -> None:
        while True:
            await asyncio.sleep(MAX_CHECKIN_DELAY_S)
            waiting, self._waiting = list(self._waiting.values()), {}
            for i in range(0, len(waiting), MAX_MESSAGES):
                await self._store(waiting[i : i + MAX_MESSAGES])

    async def _store(self, messages: Sequence[CheckIn]) -> None:
        """Store messages. If the database is unavailable, they are queued again. If it refuses a message, the messages
        of other Agents are stored."""
        try:
            async with self._db.connection() as connection:
                await reports.write_progress(
                    connection, self._me.manager_id, [progress(message) for message in messages]
                )
        except Unavailable as error:
            log.warning("the times of check-ins wait for the database", agents=len(messages), reason=error.message)
            for message in messages:
                self.add(message)
        except Exception as error:  # noqa: BLE001 -- no message may end this Manager
            if len(messages) > 1:
                for message in messages:
                    await self._store([message])
            else:
                reason = str(error).strip() or type(error).__name__
                log.error("the time of a check-in cannot be stored", agent_id=messages[0].agent_id, reason=reason)
