"""The Agent's table of sessions: what is wanted, what is there, and what the Manager has yet to hear of it.

All parts of the Agent meet here. Lists from the Manager come in through `accept`, containers through `saw`, probes
through `probed`; the reconciler takes `snapshot()`, the check-in takes the `outbox`, the stream authoriser looks
sessions up through the `SessionView` protocol. Everything runs on one event loop; nothing here waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from greenroom.agent.session.journal import Forget, HandoverRecord, Journal, SessionRecord, Term, assignment_report
from greenroom.agent.session.outbox import Orders, Outbox
from greenroom.agent.session.views import ALWAYS_S, Probes, SessionSnapshot
from greenroom.core.session.reconcile import (
    ContainerState,
    JournalFacts,
    SeenContainer,
    Snapshot,
    Wanted,
    is_news,
    is_unexplained,
    merge,
    observe,
)
from greenroom.core.session.states import ObservedState, Want
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.wire.messages import Answer, Desired, LogLine, Observed, Step, digest

log = structlog.get_logger(__name__)

MAX_MARKS: Final = 10_000
"""Sessions that left the list whose generation is kept, so that a late answer cannot bring them back."""


class Sessions:
    """See the module.

    Args:
        journal: open.
        probe_valid_s: for how long a session counts as usable after a probe.
    """

    def __init__(self, journal: Journal, probe_valid_s: float = ALWAYS_S) -> None:
        self._journal = journal
        self._desired: dict[str, Desired] = {}
        self._marks: dict[str, int] = {}
        self._specs: dict[str, SessionSpec] = {}
        self._hashes: dict[str, str] = {}
        self._seen: dict[str, SeenContainer] = {}
        self._probes = Probes(probe_valid_s)
        self._steps: dict[str, dict[str, float]] = {}
        self._condemned: frozenset[str] = frozenset()
        self._being_created: set[str] = set()
        self._callbacks: list[Callable[[str], None]] = []
        self.on_first_list: Callable[[], None] = lambda: None
        """Called when the first whole list since the start was taken over."""
        self.on_acknowledged: Callable[[Observed], None] = lambda _: None
        """Called with each observation that a Manager has committed."""
        self.list_is_valid = False
        self.inventory_complete = False
        self.orders = Orders(journal)
        self.outbox = Outbox()
        self.plan = asyncio.Event()
        """Set when the reconciler has something to look at."""

    # What the Manager wants ---------------------------------------------------------------------------------------

    @property
    def term_seen(self) -> int:
        """The highest term heard, also by earlier processes of this Agent."""
        term = self._journal.memory.term
        return term.term if term else 0

    @property
    def have_digest(self) -> str:
        """Digest over the desired list that is held."""
        return digest({session_id: desired.generation for session_id, desired in self._desired.items()})

    def accept(self, answer: Answer) -> bool:
        """Take over an answer; False if it was no news (not fresh, or of a term lower than one heard before)."""
        if not is_news(answer.term, self.term_seen, answer.fresh):
            return False
        if answer.term > self.term_seen:
            self._journal.note(Term(term=answer.term, db_epoch=answer.db_epoch))
        if answer.desired is not None:
            self._take_list(answer.desired)
        self.orders.accept(answer.commands, self._desired)
        if answer.verdicts:
            self._condemned = frozenset(k for k, verdict in answer.verdicts.items() if verdict == "destroy")
        self.plan.set()
        return True

    def _take_list(self, news: list[Desired]) -> None:
        before = self._desired
        self._desired, marks = merge(before, news, self._marks)
        surplus = max(0, len(marks) - MAX_MARKS)
        self._marks = {k: g for n, (k, g) in enumerate(marks.items()) if n >= surplus or k in self._desired}
        is_first, self.list_is_valid = not self.list_is_valid, True
        for session_id, desired in self._desired.items():
            if before.get(session_id) is not desired:
                self._entry_changed(session_id, before.get(session_id), desired)
        for session_id in before.keys() - self._desired.keys():
            self._entry_left(session_id)
        self._forget_strangers()
        if is_first:
            self.on_first_list()

    def _entry_changed(self, session_id: str, before: Desired | None, desired: Desired) -> None:
        if desired.spec is not None:
            self._decode_spec(session_id, desired.spec)
        if before is None and desired.want == "running" and session_id not in self._seen:
            self.step(session_id, "received")
        if (before.authorised if before else None) != desired.authorised or desired.want == "absent":
            self._tell_authorised_changed(session_id)
        self.refresh(session_id)

    def _decode_spec(self, session_id: str, spec: dict[str, object]) -> None:
        try:
            decoded = msgspec.convert(spec, SessionSpec)
            self._specs[session_id], self._hashes[session_id] = decoded, decoded.hash()
        except msgspec.ValidationError as error:
            self.log_line("ERROR", "agent-spec", f"The specification of a session cannot be used: {error}.", session_id)

    def _entry_left(self, session_id: str) -> None:
        for table in (self._specs, self._hashes, self._steps):
            table.pop(session_id, None)
        self._probes.forget(session_id)
        self.outbox.drop(session_id)
        self.orders.leave(session_id)
        self._tell_authorised_changed(session_id)

    def _forget_strangers(self) -> None:
        """Let go of what is remembered of sessions that are neither wanted nor there, once both are known."""
        if self.list_is_valid and self.inventory_complete:
            for session_id in self._journal.memory.sessions.keys() - self._desired.keys() - self._seen.keys():
                self._journal.note(Forget(session_id=session_id))

    def new_database(self) -> None:
        """The database was restored from a backup: what was wanted counts no longer, the highest term does."""
        before, self._desired = self._desired, {}
        self._marks, self._condemned, self.list_is_valid = {}, frozenset(), False
        for session_id in before:
            self._entry_left(session_id)

    def new_installation(self, db_epoch: str) -> None:
        """The Agent belongs to an installation it did not know: its terms begin anew."""
        self.new_database()
        self._journal.note(Term(term=0, db_epoch=db_epoch))

    # What is there ------------------------------------------------------------------------------------------------

    def saw(self, session_id: str, seen: SeenContainer | None) -> None:
        """The runtime shows this container, or none."""
        before = self._seen.get(session_id)
        if before == seen:
            return
        if seen is None:
            self._seen.pop(session_id, None)
            self._probes.forget(session_id)
            self._forget_strangers()
        else:
            self._seen[session_id] = seen
            if seen.state is not ContainerState.RUNNING or (before and before.address != seen.address):
                self._probes.forget(session_id)
            if seen.state is not ContainerState.CREATED:
                self.remember(session_id, ran=True)
        self.refresh(session_id)
        self.plan.set()

    @contextmanager
    def being_created(self, session_id: str) -> Generator[None]:
        """While it is entered a container may come into being at any moment: the session is not absent."""
        self._being_created.add(session_id)
        try:
            yield
        finally:
            self._being_created.discard(session_id)
            self.refresh(session_id)

    def saw_all(self, containers: Iterable[SeenContainer], leave_out: AbstractSet[str] = frozenset()) -> None:
        """A whole inventory; what it says of the sessions in `leave_out` may be older than what is known of them."""
        found = {seen.session_id: seen for seen in containers}
        for session_id in (found.keys() | self._seen.keys()) - leave_out:
            self.saw(session_id, found.get(session_id))
        if not self.inventory_complete:
            self.inventory_complete = True
            for session_id in self._desired:
                self.refresh(session_id)
        self._forget_strangers()
        self.plan.set()

    def probed(self, session_id: str, usable: bool, error: str = "", *, broken: bool = False) -> None:
        """A probe of the session's page ended. `broken`: not the first one in a row that found it unusable."""
        if session_id in self._seen:
            self._probes.note(session_id, usable=usable, error=error, broken=broken)
            self.refresh(session_id)

    def remember(self, session_id: str, **changes: object) -> None:
        """Change what is remembered of a session; the fields are those of `journal.SessionRecord`."""
        before = self.memory(session_id)
        after = msgspec.structs.replace(before, **changes)
        if after != before:
            self._journal.note(after)
            self.refresh(session_id)

    async def remember_durably(self, session_id: str, **changes: object) -> None:
        """The same, on the disk when this returns."""
        await self._journal.record(msgspec.structs.replace(self.memory(session_id), **changes))
        self.refresh(session_id)

    def step(self, session_id: str, name: str) -> None:
        """A step of the session's start happened now; the first time counts."""
        steps = self._steps.setdefault(session_id, {})
        if name not in steps:
            steps[name] = time.time()
            self.refresh(session_id)

    def log_line(
        self, level: str, code: str, message: str, session_id: str | None = None, user_id: str | None = None
    ) -> None:
        """Print a log line and queue it for Diagnostics."""
        getattr(log, level.lower())(message, code=code, session_id=session_id)
        line = {"at": time.time(), "level": level, "code": code, "message": message, "session_id": session_id}
        line |= {"user_id": user_id}
        self.outbox.add_log_line(msgspec.convert(line, LogLine))

    # Questions ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """All that the reconciler decides on."""
        memory = self._journal.memory
        return Snapshot(
            list_is_valid=self.list_is_valid and self.inventory_complete,
            wanted={session_id: self._wanted(desired) for session_id, desired in self._desired.items()},
            seen=dict(self._seen),
            known={session_id: _known(record) for session_id, record in memory.sessions.items()},
            orders=self.orders.all(),
            begun=self.orders.begun() | {h for h, r in memory.handovers.items() if r.state != "received"},
            condemned=self._condemned,
        )

    def _wanted(self, desired: Desired) -> Wanted:
        return Wanted(
            session_id=desired.session_id,
            generation=desired.generation,
            want=Want(desired.want),
            spec_hash=self._hashes.get(desired.session_id) if desired.spec is not None else None,
            assignment_id=desired.assignment.assignment_id if desired.assignment else None,
        )

    def get(self, session_id: str) -> SessionSnapshot | None:
        """See `SessionView`."""
        desired, spec = self._desired.get(session_id), self._specs.get(session_id)
        if desired is None or spec is None or desired.want == "absent":
            return None
        seen = self._seen.get(session_id)
        return SessionSnapshot(
            session_id=session_id,
            spec=spec,
            address=seen.address if seen else None,
            authorised=desired.authorised,
            handed_over=desired.assignment is None or self._is_assigned(desired),
        )

    def _is_assigned(self, desired: Desired) -> bool:
        record = self._handover(desired)
        return record is not None and record.state == "assigned"

    def on_authorised_changed(self, callback: Callable[[str], None]) -> None:
        """See `SessionView`."""
        self._callbacks.append(callback)

    def _tell_authorised_changed(self, session_id: str) -> None:
        for callback in self._callbacks:
            callback(session_id)

    def viewable(self) -> list[Desired]:
        """The sessions that somebody may view."""
        return [desired for desired in self._desired.values() if desired.authorised is not None]

    def desired(self, session_id: str) -> Desired | None:
        """The entry of the desired list that is held."""
        return self._desired.get(session_id)

    def has_user(self, session_id: str) -> bool:
        """Whether it is somebody's, not a staged one."""
        desired = self._desired.get(session_id)
        return desired is not None and desired.authorised is not None

    def spec(self, session_id: str) -> SessionSpec | None:
        """The specification of a session that is held."""
        return self._specs.get(session_id)

    def seen(self, session_id: str) -> SeenContainer | None:
        """The container of a session."""
        return self._seen.get(session_id)

    def memory(self, session_id: str) -> SessionRecord:
        """What the journal says of a session."""
        return self._journal.memory.sessions.get(session_id) or SessionRecord(session_id=session_id)

    def known(self, session_id: str) -> JournalFacts:
        """The same, as the plan needs it."""
        return _known(self.memory(session_id))

    def age_s(self, session_id: str) -> float | None:
        """How long ago the order to start this session was received, if by this process."""
        received = self._steps.get(session_id, {}).get("received")
        return None if received is None else time.time() - received

    def states(self) -> list[ObservedState]:
        """The states of all sessions of the desired list."""
        return [observe(self._wanted(d), self._seen.get(k), self.known(k))[0] for k, d in self._desired.items()]

    def running(self) -> list[str]:
        """Sessions of the desired list that have a running container to probe."""
        return [k for k, seen in self._seen.items() if seen.state == "running" and seen.address and k in self._desired]

    def unknown(self) -> list[str]:
        """Session ids of containers that no desired list accounts for; empty before there is a list."""
        return sorted(self._seen.keys() - self._desired.keys()) if self.list_is_valid else []

    # Reports to the Manager ----------------------------------------------------------------------------------------

    def refresh(self, session_id: str) -> None:
        """Something changed: put what is observed now into the outbox.

        Before the host was looked at nothing is observed: a container not seen yet is not one that is gone. One that
        ended is reported with its last lines.
        """
        desired = self._desired.get(session_id)
        if desired is None or not self.inventory_complete:
            return
        if not is_unexplained(self._wanted(desired), self._seen.get(session_id), self.known(session_id)):
            self.outbox.put(self._observed(desired))

    def _observed(self, desired: Desired) -> Observed:
        session_id = desired.session_id
        seen, probe = self._seen.get(session_id), self._probes.last(session_id)
        state, error = observe(
            self._wanted(desired), seen, self.known(session_id), being_created=session_id in self._being_created
        )
        record = self.memory(session_id)
        exit_code = seen.exit_code if seen else None
        return Observed(
            session_id=session_id,
            generation=desired.generation,
            state=state.value,
            container_id=seen.container_id if seen else None,
            spec_hash=seen.spec_hash if seen else None,
            address=seen.address if seen else None,
            usable=probe.usable and state is ObservedState.RUNNING,
            broken=probe.broken and state is ObservedState.RUNNING,
            probe_error=probe.error,
            exit_code=record.exit_code if exit_code is None else exit_code,
            log_tail=record.log_tail,
            error=error,
            assignment=assignment_report(handover) if (handover := self._handover(desired)) else None,
            commands=self.orders.reports(session_id),
            steps=[Step(name=name, at=at) for name, at in self._steps.get(session_id, {}).items()],
        )

    def _handover(self, desired: Desired) -> HandoverRecord | None:
        assignment = desired.assignment
        return self._journal.memory.handovers.get(assignment.assignment_id) if assignment else None

    def acknowledge(self, acked_seq: int) -> None:
        """Message `acked_seq` and those before it are committed: results of commands need not be kept any longer."""
        for observed in self.outbox.acknowledge(acked_seq):
            self.on_acknowledged(observed)
            for report in observed.commands:
                self.orders.reported(observed.session_id, report)


def _known(record: SessionRecord) -> JournalFacts:
    return JournalFacts(ran=record.ran, stopped=record.stopped, failure=record.failure)
