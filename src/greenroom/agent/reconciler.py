"""The loop that changes the sessions on the host to match the desired list. Each round takes a snapshot, plans actions
and applies the plan.

Workers apply the plan. Each session has one worker at a time, and a limited number of workers run in parallel, with
sessions of users first. Starts have a separate limit (`agent.session.starts`). Each step can be repeated, so the next
plan continues interrupted work. If the runtime refuses a change, the session becomes `failed`, with the error and the
last log lines of the container. If the runtime does not answer, the change is repeated after a pause.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from greenroom.agent.app import AgentHealth, AgentMetrics
from greenroom.agent.changes import START_KINDS, ContainerChanges
from greenroom.agent.concurrency import Slots, Workers
from greenroom.agent.session.commands import Commands
from greenroom.agent.session.handover import Handovers
from greenroom.agent.session.inventory import INVENTORY_INTERVAL_S, RETRY_S, Inventory
from greenroom.agent.session.prober import SessionProber
from greenroom.agent.session.sessions import Sessions
from greenroom.agent.session.starts import Starts
from greenroom.core.errors import GreenroomError
from greenroom.core.log_codes import LogCode
from greenroom.core.rate_limits import Backoff
from greenroom.core.session.deadlines import DEADLINE_S
from greenroom.core.session.reconcile import Action, ActionKind, plan
from greenroom.core.session.starts import SlotCount, urgency_of
from greenroom.kit.concurrency import convert_item_error, wait_for
from greenroom.runtimes.contract import ContainerMissing, RuntimeUnavailable

log = structlog.get_logger(__name__)

BACKOFF: Final = Backoff(first_s=1.0, max_s=30.0)
SLOTS: Final = SlotCount(ordinary=2 * (os.cpu_count() or 1), for_users=os.cpu_count() or 1)
"""The number of containers that are changed in parallel, not counting starts. With Docker, twice the cores is fastest.
"""
CHANGE_TIMEOUT_S: Final = max(DEADLINE_S.values())
"""The time limit of a change. Without it, a network folder that never answers would block a slot. After the same time,
the Primary also treats the session as failed."""
WITHOUT_SLOT: Final = frozenset({ActionKind.EXAMINE, ActionKind.FULL_SHARE})
"""Actions that need no slot. They are fast and urgent: the Agent reports a failure only after the examination."""
REPORT_CODES: Final = {
    ActionKind.REPORT_UNKNOWN: LogCode.AGENT_REPORT_UNKNOWN,
    ActionKind.REPORT_MISMATCH: LogCode.AGENT_REPORT_MISMATCH,
}


@dataclass(eq=False, kw_only=True)
class Executor:
    """Applies plans. At most `slots` containers are changed in parallel, not counting starts."""

    changes: ContainerChanges
    sessions: Sessions
    inventory: Inventory
    commands: Commands
    handovers: Handovers
    starts: Starts
    workers: Workers
    metrics: AgentMetrics
    slots: SlotCount = SLOTS
    change_timeout_s: float = CHANGE_TIMEOUT_S

    def __post_init__(self) -> None:
        self._slots = Slots(self.slots)
        self._failures: dict[str, int] = {}
        self._reported: frozenset[Action] = frozenset()

    @property
    def low_cpu_sessions(self) -> frozenset[str]:
        """The sessions whose containers have a smaller share of the CPU (`Starts.low_cpu_sessions`)."""
        return self.starts.low_cpu_sessions

    def apply(self, actions: list[Action], only: AbstractSet[str] | None = None) -> None:
        """Begin the actions of sessions without a worker. The next round plans the other actions again, after the
        worker is done. `only`: the sessions for which the actions were planned; None = all."""
        self._report([action for action in actions if action.kind in REPORT_CODES], only)
        for action in actions:
            if action.kind not in REPORT_CODES:
                self._begin_action(action)

    def _begin_action(self, action: Action) -> None:
        if action.kind in self.changes:
            self.workers.start(action.session_id, lambda: self._change(action))
        elif action.target_id is not None:
            target_id = action.target_id
            self.workers.start(target_id, lambda: self._run(action, target_id))

    async def _run(self, action: Action, target_id: str) -> None:
        try:
            await self._run_in_session(action, target_id)
        finally:
            self.sessions.due.add(action.session_id)

    async def _run_in_session(self, action: Action, target_id: str) -> None:
        if action.kind is ActionKind.RUN_ASSIGNMENT:
            await self.handovers.run(action.session_id)
        elif action.kind is ActionKind.RUN_COMMAND:
            await self.commands.run(target_id)
        else:
            await self.commands.refuse(target_id, action.reason)

    def _report(self, reports: list[Action], only: AbstractSet[str] | None) -> None:
        """Log the actions that only report a finding. An unchanged finding is logged once."""
        for report in reports:
            if report not in self._reported:
                sentence = f"{report.session_id}: {report.reason}."
                self.sessions.outbox.log_line(REPORT_CODES[report.kind], sentence, report.session_id)
        others = [] if only is None else [report for report in self._reported if report.session_id not in only]
        self._reported = frozenset([*others, *reports])

    # Changes of containers ----------------------------------------------------------------------------------------

    async def _change(self, action: Action) -> None:
        session_id = action.session_id
        try:
            with convert_item_error("session", session_id):
                await self.changes.wait_for_requirements(action)
                async with self._slot(action) as is_wanted:
                    if is_wanted:
                        await self._change_within_limit(action)
            self._failures.pop(session_id, None)
            self.sessions.observed.set_waiting_reason(session_id, "")
            self.metrics.actions.labels(action.kind.value, "done").inc()
            return
        except RuntimeUnavailable as error:
            log.warning("the runtime does not answer; the session waits", session_id=session_id, reason=error.message)
            self.sessions.observed.set_waiting_reason(session_id, error.message)
        except ContainerMissing:
            log.info("the container was removed in the meantime", session_id=session_id)
            await self.inventory.try_inspect(session_id)
        except GreenroomError as error:
            await self.changes.record_failure(action, error)
        self.metrics.actions.labels(action.kind.value, "failed").inc()
        await asyncio.sleep(BACKOFF.delay_s(self._count_failure(session_id)))

    def _count_failure(self, session_id: str) -> int:
        """Count and return the consecutive failures of a session. Counts of removed sessions are dropped."""
        number = self._failures.get(session_id, 0) + 1
        remaining = {
            k: n
            for k, n in self._failures.items()
            if self.sessions.desired.get(k) or self.sessions.observed.container(k)
        }
        self._failures = {**remaining, session_id: number}
        return number

    def _slot(self, action: Action) -> AbstractAsyncContextManager[bool]:
        """Return a context that waits for a slot for the change. It yields False if the change is not needed."""
        if action.kind in WITHOUT_SLOT:
            return nullcontext(enter_result=True)
        if action.kind in START_KINDS:
            return self.starts.slot(action.session_id)
        return self._slots.acquire(urgency_of(action.kind, has_user=self.sessions.desired.has_user(action.session_id)))

    async def _change_within_limit(self, action: Action) -> None:
        kind, session_id = action.kind.value, action.session_id
        log.info("changing a container", action=kind, session_id=session_id, reason=action.reason)
        try:
            async with asyncio.timeout(self.change_timeout_s):
                with convert_item_error("session", session_id):
                    await self.changes.make(action)
        except TimeoutError as error:
            problem = f"{action.kind.value} was not finished after {self.change_timeout_s:g} s"
            raise RuntimeUnavailable(f"{problem}; it is tried again.") from error


FULL_ROUND_INTERVAL_S: Final = 5.0
"""The interval of rounds that plan all sessions, so that a session whose event was lost is also planned."""


class Reconciler:
    """Runs rounds. Workers call `worker_done` after their work."""

    def __init__(self, sessions: Sessions, inventory: Inventory, health: AgentHealth) -> None:
        self._sessions = sessions
        self._inventory = inventory
        self._health = health
        self._inspect_after_work: set[str] = set()
        """The sessions with an event of the runtime while their worker ran."""

    def worker_done(self, key: str) -> None:
        """Plan the session again. Inspect it if the runtime reported an event while the worker ran."""
        if key in self._inspect_after_work:
            self._inspect_after_work.discard(key)
            self._inventory.to_inspect.put_nowait(key)
        self._sessions.due.add(key)

    async def run(self, executor: Executor, prober: SessionProber) -> None:
        last_full_round_s = -math.inf
        while True:
            left_s = last_full_round_s + FULL_ROUND_INTERVAL_S - time.monotonic()
            if left_s <= 0:
                self._sessions.due.add_all()
            await wait_for(self._sessions.due.event, left_s)
            if (only := self._sessions.due.take()) is None:
                last_full_round_s = time.monotonic()
                self._sessions.forget_removed_sessions()
            executor.apply(plan(self._sessions.snapshot(only, executor.low_cpu_sessions)), only)
            prober.start_workers(self._sessions.running(only))
            self._health.last_round = time.monotonic()

    async def inspect_changed(self, workers: Workers) -> None:
        """Inspect each session for which the runtime reports an event, forever. A session with a worker is inspected
        after the work."""
        while True:
            session_id = await self._inventory.to_inspect.get()
            if not workers.start(session_id, partial(self._inventory.try_inspect, session_id)):
                self._inspect_after_work.add(session_id)

    async def take_inventory(self, workers: Workers) -> None:
        """Take the whole inventory after events were lost, and every `INVENTORY_INTERVAL_S`, forever."""
        while True:
            pause_s = INVENTORY_INTERVAL_S
            try:
                with convert_item_error("inventory"):
                    await self._inventory.take(workers.busy)
            except GreenroomError as error:
                self._health.runtime_error = error.message
                pause_s = RETRY_S
                log.warning("the inventory cannot be read", reason=error.message, next_try_s=pause_s)
            await wait_for(self._inventory.outdated, pause_s)
            self._inventory.outdated.clear()
