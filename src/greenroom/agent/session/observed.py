"""The state of sessions on this host: containers, probes, the steps of starts, and the facts in the journal."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final, Protocol

import msgspec

from greenroom.agent.concurrency import Signal
from greenroom.agent.session.journal import Journal, SessionRecord
from greenroom.core.session.reconcile import ContainerState, JournalFacts, ObservedContainer
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.clock import boottime_s
from greenroom.wire.messages import Authorised, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStatus:
    """The state of a session after its last probe. `broken` and `error` are arguments of `store_probe`."""

    usable: bool = False
    broken: bool = False
    error: str = ""
    at_s: float = 0.0
    """The time of the probe by CLOCK_BOOTTIME, which includes the time during which the machine was suspended."""


NEVER_PROBED: Final = ProbeStatus()
ALWAYS_S: Final = math.inf
"""The validity of a probe that is valid until the next one."""


class LastProbes:
    """The last probe of each session, which is valid for `valid_s`. After the machine was suspended, a session needs a
    new probe before it counts as usable."""

    def __init__(self, valid_s: float = ALWAYS_S) -> None:
        self._valid_s = valid_s
        self._probes: dict[str, ProbeStatus] = {}

    def store(self, session_id: str, *, usable: bool, error: str, broken: bool) -> None:
        self._probes[session_id] = ProbeStatus(usable=usable, broken=broken, error=error, at_s=boottime_s())

    def forget(self, session_id: str) -> None:
        """Remove the result, because the container was replaced, stopped or removed."""
        self._probes.pop(session_id, None)

    def last(self, session_id: str) -> ProbeStatus:
        status = self._probes.get(session_id, NEVER_PROBED)
        return status if boottime_s() - status.at_s <= self._valid_s else replace(status, usable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSnapshot:
    """The facts about one session for the stream authorizer.

    `address` is host:port of the page; None = there is no running container. `services` are the addresses of the other
    services by name. `handed_over` is false between a claim and the success of the hand-over, and while the video of a
    session must be recorded and is not; meanwhile viewers are not admitted (docs/explanation/protocols.md §3).
    `closed` is the reason why no user may see the session, also who sees it now; empty = viewers may see it. `database`
    identifies the database (`db_epoch`) of the desired list.
    """

    session_id: str
    spec: SessionSpec
    address: str | None
    authorised: Authorised | None
    handed_over: bool
    services: Mapping[str, str] = field(default_factory=dict[str, str])
    closed: str = ""
    database: str = ""


class SessionReader(Protocol):
    """The sessions as the stream authorizer reads them."""

    def get(self, session_id: str) -> SessionSnapshot | None:
        """Return the session, or None if it is not in the desired list of this Agent."""
        ...


class ObservedSessions:
    """The observations of all sessions. A probe result is valid for `probe_valid_s`."""

    def __init__(self, journal: Journal, probe_valid_s: float) -> None:
        self._journal = journal
        self._containers: dict[str, ObservedContainer] = {}
        self._probes = LastProbes(probe_valid_s)
        self._steps: dict[str, dict[str, float]] = {}
        self._committed_steps: dict[str, set[str]] = {}
        self._being_created: set[str] = set()
        self._painted: set[str] = set()
        self._pages: dict[str, int] = {}
        self._page_numbers = count()
        self._waiting_reasons: dict[str, str] = {}
        self.is_complete = False
        """True if a complete inventory was taken since the start."""
        self.changed = Signal[str]()
        """Emitted when the report of this session may have changed."""
        self.container_changed = Signal[str]()
        self.inventory_taken = Signal[None]()
        self.completed = Signal[None]()

    # Containers ---------------------------------------------------------------------------------------------------

    @property
    def containers(self) -> Mapping[str, ObservedContainer]:
        return self._containers

    def container(self, session_id: str) -> ObservedContainer | None:
        return self._containers.get(session_id)

    def store_container(self, session_id: str, container: ObservedContainer | None) -> None:
        before = self._containers.get(session_id)
        if before == container:
            return
        if container is None:
            self._containers.pop(session_id, None)
            self._forget_page(session_id)
        else:
            self._containers[session_id] = container
            if container.state is not ContainerState.RUNNING or (before and before.address != container.address):
                self._forget_page(session_id)
            if container.state is not ContainerState.CREATED:
                self.update_record(session_id, ran=True)
        self.changed.emit(session_id)
        self.container_changed.emit(session_id)

    def store_inventory(self, containers: Iterable[ObservedContainer], skipped: AbstractSet[str] = frozenset()) -> None:
        """Store a whole inventory; it may be older than the known state of the sessions in `skipped`."""
        containers_by_session = {container.session_id: container for container in containers}
        for session_id in (containers_by_session.keys() | self._containers.keys()) - skipped:
            self.store_container(session_id, containers_by_session.get(session_id))
        was_complete, self.is_complete = self.is_complete, True
        if not was_complete:
            self.completed.emit(None)
        self.inventory_taken.emit(None)

    @contextmanager
    def being_created(self, session_id: str) -> Generator[None]:
        """Mark the session as being created during the block, in which the container may already exist."""
        self._being_created.add(session_id)
        try:
            yield
        finally:
            self._being_created.discard(session_id)
            self.changed.emit(session_id)

    def is_being_created(self, session_id: str) -> bool:
        return session_id in self._being_created

    def set_waiting_reason(self, session_id: str, reason: str) -> None:
        """Set the reason why a change of the container waits; empty = it does not wait."""
        if self.waiting_reason(session_id) == reason:
            return
        self._waiting_reasons.pop(session_id, None)
        if reason:
            self._waiting_reasons[session_id] = reason
        self.changed.emit(session_id)

    def waiting_reason(self, session_id: str) -> str:
        """Return the reason why a change of the container waits; empty = it does not wait."""
        return self._waiting_reasons.get(session_id, "")

    def page_number(self, session_id: str) -> int:
        """Return the number of the session's page. The page has another number after the container was stopped, was
        paused or got another address."""
        if session_id not in self._pages:
            self._pages[session_id] = next(self._page_numbers)
        return self._pages[session_id]

    # Probes and steps ---------------------------------------------------------------------------------------------

    def store_probe(self, session_id: str, usable: bool, error: str = "", *, broken: bool = False) -> None:
        """Store the result of a probe. `broken`: probes have failed for at least `prober.BROKEN_AFTER_S`."""
        if session_id in self._containers:
            self._probes.store(session_id, usable=usable, error=error, broken=broken)
            self.changed.emit(session_id)

    def store_first_frame(self, session_id: str) -> None:
        """Record that the page shows a first frame, or that it answers and its screen cannot be read."""
        if session_id in self._containers and session_id not in self._painted:
            self._painted.add(session_id)
            self.changed.emit(session_id)

    def has_first_frame(self, session_id: str) -> bool:
        """Return True if `store_first_frame` was called since the start of the container."""
        return session_id in self._painted

    def _forget_page(self, session_id: str) -> None:
        self._probes.forget(session_id)
        self._painted.discard(session_id)
        self._pages.pop(session_id, None)

    def last_probe(self, session_id: str) -> ProbeStatus:
        return self._probes.last(session_id)

    def record_step(self, session_id: str, name: str) -> None:
        """Record the current time for a step of the session's start. Later calls for the same step have no effect."""
        steps = self._steps.setdefault(session_id, {})
        if name not in steps:
            steps[name] = time.time()
            self.changed.emit(session_id)

    def steps(self, session_id: str) -> list[Step]:
        """Return the steps that no Manager has committed yet."""
        committed = self._committed_steps.get(session_id, ())
        return [Step(name=name, at=at) for name, at in self._steps.get(session_id, {}).items() if name not in committed]

    def steps_committed(self, session_id: str, steps: Iterable[Step]) -> None:
        """Record that a Manager has committed these steps, so that they are not sent again."""
        if names := {step.name for step in steps}:
            self._committed_steps.setdefault(session_id, set()).update(names)

    def age_s(self, session_id: str) -> float | None:
        """Return the time since this process received the order to start the session; None = there was no order."""
        received = self._steps.get(session_id, {}).get("received")
        return None if received is None else time.time() - received

    def forget(self, session_id: str) -> None:
        """Remove a session that does not belong to this Agent any more. Its container may still exist."""
        self._steps.pop(session_id, None)
        self._committed_steps.pop(session_id, None)
        self._waiting_reasons.pop(session_id, None)
        self._forget_page(session_id)

    # The journal --------------------------------------------------------------------------------------------------

    def journal_record(self, session_id: str) -> SessionRecord:
        return self._journal.state.sessions.get(session_id) or SessionRecord(session_id=session_id)

    def journal_facts(self, session_id: str) -> JournalFacts:
        return facts_of(self.journal_record(session_id))

    def update_record(self, session_id: str, **changes: object) -> None:
        """Change fields of the session's record in the journal (`journal.SessionRecord`)."""
        before = self.journal_record(session_id)
        after = msgspec.structs.replace(before, **changes)
        if after != before:
            self._journal.append(after)
            self.changed.emit(session_id)

    async def wait_for_shared_copy(self) -> None:
        """Wait until the journal copy that the replicas share has all records (`Journal.wait_for_shared_copy`)."""
        await self._journal.wait_for_shared_copy()

    async def update_record_durably(self, session_id: str, **changes: object) -> None:
        """Like `update_record`, but wait until the change is on disk."""
        await self._journal.append_durably(msgspec.structs.replace(self.journal_record(session_id), **changes))
        self.changed.emit(session_id)


def facts_of(record: SessionRecord) -> JournalFacts:
    """Return the facts in the journal about a session, for the plan."""
    return JournalFacts(
        ran=record.ran, stopped=record.stopped, failure=record.failure, low_cpu_share=record.low_cpu_share
    )
