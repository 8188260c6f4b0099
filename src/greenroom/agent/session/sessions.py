"""The Agent's sessions: their desired and observed state, and the reports to the Manager.

`desired` contains the list from the Manager, `observed` the containers and probes, and `outbox` the reports for the
check-in. The reconciler uses `snapshot`, and the stream authorizer uses the protocol `SessionReader`. All callers run
on one event loop; no method waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from greenroom.agent.concurrency import Signal
from greenroom.agent.session.desired import DesiredSessions, ListChange
from greenroom.agent.session.journal import ForgetRecord, HandoverRecord, Journal, assignment_report
from greenroom.agent.session.observed import ALWAYS_S, ObservedSessions, SessionSnapshot, facts_of
from greenroom.agent.session.outbox import Outbox, PendingCommands
from greenroom.core.session.reconcile import RoundSnapshot, can_be_handed_over, needs_examination, observe
from greenroom.core.session.states import ObservedState
from greenroom.wire.messages import Answer, Desired, Observed

T = TypeVar("T")


class DueSessions:
    """The sessions that the next round plans: the sessions with an event, or all sessions."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._session_ids: set[str] = set()
        self._all = True

    def add(self, *session_ids: str) -> None:
        self._session_ids.update(session_ids)
        if session_ids:
            self.event.set()

    def add_all(self) -> None:
        self._all = True
        self.event.set()

    def take(self) -> frozenset[str] | None:
        """Return and clear the sessions for the round that begins now; None = all sessions."""
        session_ids = None if self._all else frozenset(self._session_ids)
        self._session_ids, self._all = set(), False
        self.event.clear()
        return session_ids


class Sessions:
    """The table of sessions. A probe result is valid for `probe_valid_s`."""

    def __init__(self, journal: Journal, probe_valid_s: float = ALWAYS_S) -> None:
        self._journal = journal
        self._recorded: set[str] = set()
        self._closed: dict[str, str] = {}
        """The reason why no user may see a session, because its video is not stored."""
        self.commands = PendingCommands(journal)
        self.outbox = Outbox()
        self.desired = DesiredSessions(journal, self.outbox)
        self.observed = ObservedSessions(journal, probe_valid_s)
        self.due = DueSessions()
        self.acknowledged = Signal[Observed]()
        """Emitted with an observation that a Manager has committed, after the answer was applied."""
        self.handed_over = Signal[str]()
        """Emitted with the session id after a successful hand-over."""
        self.recording_began = Signal[str]()
        """Emitted with the session id when the recording of its video begins."""
        self.viewers_refused = Signal[str]()
        """Emitted with the session id when its viewers must be disconnected, because its video is not stored."""
        self.desired.changed.subscribe(self._list_changed)
        self.observed.changed.subscribe(self.refresh)
        self.observed.completed.subscribe(lambda _: self._refresh_all())
        self.observed.container_changed.subscribe(self.due.add)
        self.observed.inventory_taken.subscribe(lambda _: self.due.add_all())

    # From the Manager ---------------------------------------------------------------------------------------------

    def accept(self, answer: Answer) -> bool:
        """Apply an answer. Return False if it is ignored because it is not fresh or has an earlier term."""
        if not self.desired.accept(answer):
            return False
        self.commands.accept(answer.commands, self.desired.entries)
        self.due.add(*(command.session_id for command in answer.commands), *self.desired.ids_to_destroy)
        return True

    def _list_changed(self, change: ListChange) -> None:
        for desired in change.changed:
            session_id, is_new = desired.session_id, desired.session_id not in change.before
            if is_new and desired.want == "running" and self.observed.container(session_id) is None:
                self.observed.record_step(session_id, "received")
            self.refresh(session_id)
        for session_id in change.removed:
            self._closed.pop(session_id, None)
            self.observed.forget(session_id)
            self.outbox.drop_session(session_id)
            self.commands.drop_session(session_id)
        if change.is_first:
            self.due.add_all()
        self.due.add(*(desired.session_id for desired in change.changed), *change.removed)

    def acknowledge(self, acked_seq: int) -> None:
        """Record that a Manager has committed the messages up to `acked_seq`. The results of commands and the steps of
        starts in these messages are not reported again."""
        for observed in self.outbox.acknowledge(acked_seq):
            self.acknowledged.emit(observed)
            self.observed.steps_committed(observed.session_id, observed.steps)
            for report in observed.commands:
                self.commands.reported(observed.session_id, report)

    # Desired and observed state -----------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """True if a complete list and a complete inventory arrived since the start."""
        return self.desired.is_known and self.observed.is_complete

    def snapshot(
        self, only: AbstractSet[str] | None = None, low_cpu_sessions: frozenset[str] = frozenset()
    ) -> RoundSnapshot:
        """Return the input for the plan of a round. `only`: the sessions to plan; None = all."""
        state = self._journal.state
        desired = {k: self.desired.desired_container(entry) for k, entry in _select(self.desired.entries, only).items()}
        handovers = {
            container.assignment_id: state.handovers.get(container.assignment_id or "")
            for container in desired.values()
        }
        handed_over = {key for key, record in handovers.items() if key and record and record.state != "received"}
        return RoundSnapshot(
            list_is_valid=self.is_known,
            desired=desired,
            observed=_select(self.observed.containers, only),
            journals={session_id: facts_of(record) for session_id, record in _select(state.sessions, only).items()},
            commands=tuple(command for command in self.commands.all() if only is None or command.session_id in only),
            begun=self.commands.begun_ids() | handed_over,
            ids_to_destroy=self.desired.ids_to_destroy,
            low_cpu_sessions=low_cpu_sessions,
        )

    def forget_removed_sessions(self) -> None:
        """Remove the journal records of sessions that are neither desired nor have a container, if both are known."""
        if self.is_known:
            recorded = self._journal.state.sessions.keys()
            for session_id in recorded - self.desired.entries.keys() - self.observed.containers.keys():
                self._journal.append(ForgetRecord(session_id=session_id))

    def get(self, session_id: str) -> SessionSnapshot | None:
        desired, spec = self.desired.get(session_id), self.desired.spec(session_id)
        if desired is None or spec is None or desired.want == "absent":
            return None
        container, handover = self.observed.container(session_id), self._handover(desired)
        waits_for_video = (
            desired.authorised is not None and desired.authorised.recorded and session_id not in self._recorded
        )
        return SessionSnapshot(
            session_id=session_id,
            spec=spec,
            address=container.address if container else None,
            services=container.services if container else {},
            authorised=desired.authorised,
            handed_over=(desired.assignment is None or (handover is not None and handover.state == "assigned"))
            and not waits_for_video,
            closed=self._closed.get(session_id, ""),
            database=self.desired.database,
        )

    def set_recorded(self, session_id: str, *, recorded: bool) -> None:
        """Record that the video of a session is being recorded, or not. Viewers of a session that must be recorded are
        admitted only during the recording."""
        if recorded and session_id not in self._recorded:
            self._recorded.add(session_id)
            self._closed.pop(session_id, None)
            self.recording_began.emit(session_id)
        elif not recorded:
            self._recorded.discard(session_id)

    def refuse_viewers(self, session_id: str, reason: str) -> bool:
        """Disconnect the viewers of a session, and admit none before it is recorded again. Return True if they were
        not refused before."""
        self._recorded.discard(session_id)
        is_new = session_id not in self._closed
        self._closed[session_id] = reason
        if is_new:
            self.viewers_refused.emit(session_id)
        return is_new

    def states(self) -> list[ObservedState]:
        return [self._state_and_error(desired)[0] for desired in self.desired.entries.values()]

    def running(self, only: AbstractSet[str] | None = None) -> list[str]:
        containers = _select(self.observed.containers, only).items()
        return [
            k
            for k, container in containers
            if container.state == "running" and container.address and self.desired.get(k) is not None
        ]

    def undesired(self) -> list[str]:
        """Return the session ids of containers that are not in the desired list; empty before the first list."""
        not_desired = self.observed.containers.keys() - self.desired.entries.keys()
        return sorted(not_desired) if self.desired.is_known else []

    # Reports to the Manager ---------------------------------------------------------------------------------------

    def refresh(self, session_id: str) -> None:
        """Put the current observation of a session into the outbox. Nothing is reported before the first inventory,
        before the examination of an ended container, and before a hand-over: the report would delay the hand-over, for
        which the user waits."""
        desired = self.desired.get(session_id)
        if desired is None or not self.observed.is_complete:
            return
        target, container = self.desired.desired_container(desired), self.observed.container(session_id)
        known = self.observed.journal_facts(session_id)
        waits_for_handover = self._handover(desired) is None and can_be_handed_over(target, container, known)
        if not (waits_for_handover or needs_examination(target, container, known)):
            self.outbox.set_observation(self._observation_of(desired), has_user=desired.authorised is not None)

    def _refresh_all(self) -> None:
        for session_id in self.desired.entries:
            self.refresh(session_id)

    def _state_and_error(self, desired: Desired) -> tuple[ObservedState, str]:
        session_id = desired.session_id
        return observe(
            self.desired.desired_container(desired),
            self.observed.container(session_id),
            self.observed.journal_facts(session_id),
            being_created=self.observed.is_being_created(session_id),
        )

    def _observation_of(self, desired: Desired) -> Observed:
        session_id = desired.session_id
        container, probe = self.observed.container(session_id), self.observed.last_probe(session_id)
        state, error = self._state_and_error(desired)
        record = self.observed.journal_record(session_id)
        exit_code = container.exit_code if container else None
        return Observed(
            session_id=session_id,
            generation=desired.generation,
            state=state.value,
            container_id=container.container_id if container else None,
            spec_hash=container.spec_hash if container else None,
            address=container.address if container else None,
            usable=probe.usable and state is ObservedState.RUNNING,
            broken=probe.broken and state is ObservedState.RUNNING,
            probe_error=probe.error or self.observed.waiting_reason(session_id),
            exit_code=record.exit_code if exit_code is None else exit_code,
            log_tail=record.log_tail,
            error=error,
            assignment=assignment_report(handover) if (handover := self._handover(desired)) else None,
            commands=self.commands.reports(session_id),
            steps=self.observed.steps(session_id),
        )

    def _handover(self, desired: Desired) -> HandoverRecord | None:
        assignment = desired.assignment
        return self._journal.state.handovers.get(assignment.assignment_id) if assignment else None


def _select(table: Mapping[str, T], only: AbstractSet[str] | None) -> dict[str, T]:
    """Return the entries of the sessions in `only`; None = all sessions."""
    return dict(table) if only is None else {k: table[k] for k in only if k in table}
