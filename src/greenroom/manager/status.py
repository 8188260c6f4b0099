"""The status of a Manager, the notification of held check-ins, and the metrics for Prometheus."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import AuditWriter
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.views import RequestLog
from greenroom.db.fleet.leadership import Fence
from greenroom.db.fleet.managers import ManagerRow
from greenroom.kit.config import ManagerConfig
from greenroom.kit.metrics import RoleMetrics
from greenroom.kit.secrets import Secrets

FIRST_ROUND_WAIT_S: Final = 0.1
"""The maximum time for which check-ins wait for the first round of a new Primary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianStatus:
    """The guardian's rounds at one moment. The defaults apply until there is a guardian."""

    enabled: bool | None = None
    """The flag of the Manager; None = not read yet."""
    round_age_s: float | None = None
    """Time since the last finished round; None before the first."""
    task_success_age_s: float = math.inf
    """Time since the last success of a task of the Primary, or of an item of a task, also in a round that has not
    finished."""
    database_reachable_s: float | None = None
    """The time for which heartbeats have succeeded; None during a heartbeat, or after a heartbeat failed."""
    failing_tasks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatus:
    """The age, the `enabled` flag and the health of a Manager at one moment, created by `Manager.status`."""

    age_s: float
    unhealthy_after_s: float
    """The time limit of a round; longer while this process runs late (ADR 31)."""
    stopping: bool = False
    guardian: GuardianStatus = GuardianStatus()

    @property
    def enabled(self) -> bool | None:
        return self.guardian.enabled

    @property
    def starting(self) -> bool:
        """True if the Manager has not read its `enabled` flag yet, and its age is at most `unhealthy_after_s`."""
        return self.enabled is None and self.age_s <= self.unhealthy_after_s

    @property
    def healthy(self) -> bool:
        """True if the guardian finished a round, or a task in a round, within `unhealthy_after_s`. Before the first
        round, the time since the start of the process counts."""
        return self.enabled is not None and self._idle_s <= self.unhealthy_after_s

    @property
    def hangs(self) -> bool:
        """True if this process itself does not work: it finished no recent round, although the database answered.

        While the database is away, `hangs` is False: the Manager continues to send answers that change nothing, so that
        its Agents do not switch Managers (docs/explanation/protocols.md §2).
        """
        answered_s = self.guardian.database_reachable_s
        return answered_s is not None and min(self._idle_s, answered_s) > self.unhealthy_after_s

    @property
    def serves_agents(self) -> bool:
        return self.enabled is True and not self.stopping and not self.hangs

    @property
    def _idle_s(self) -> float:
        round_age_s = self.guardian.round_age_s
        return min(self.age_s if round_age_s is None else round_age_s, self.guardian.task_success_age_s)


class Takeover:
    """The takeover by a new Primary. All Agents of the zone connect to it at the same time, and wait for its first
    round."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self._ended.set()

    def begin(self) -> None:
        self._ended.clear()
        asyncio.get_running_loop().call_later(FIRST_ROUND_WAIT_S, self._ended.set)

    def end(self) -> None:
        self._ended.set()

    async def wait(self) -> None:
        """Wait while this Manager takes over, at most `FIRST_ROUND_WAIT_S`, so that the next answers have the new
        term."""
        await self._ended.wait()


MAX_CHANGED_SESSIONS: Final = 500
"""The maximum number of sessions of an Agent that are read individually; if more have changed, all are read."""
ALL_SESSIONS: Final = ""
"""In place of a session id: all sessions, or the Agent itself, may have changed."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The ids of the changed sessions to read (empty = all). `last_change` is the number of the newest change."""

    session_ids: frozenset[str]
    last_change: int


class CheckInNotifier:
    """Wakes held check-ins after changes, and stores the sessions of each Agent that changed after they were read."""

    def __init__(self) -> None:
        self._held: dict[str, set[asyncio.Event]] = {}
        self._notified: dict[str, int] = {}
        self._all_notified = 0
        self._changed: dict[str, dict[str, int]] = {}
        """Agent id → session id → the number of its last change, for sessions that were not read since."""
        self._last_change = 0

    @contextmanager
    def hold_check_in(self, agent_id: str) -> Generator[asyncio.Event]:
        """Yield an event for one held check-in. The caller must enter this before it reads the state, so that no change
        is missed."""
        event = asyncio.Event()
        self._held.setdefault(agent_id, set()).add(event)
        try:
            yield event
        finally:
            self._held[agent_id].discard(event)
            if not self._held[agent_id]:
                del self._held[agent_id]

    def notification_count(self, agent_id: str) -> int:
        """Return the number of notifications that concern this Agent, with or without a held check-in."""
        return self._all_notified + self._notified.get(agent_id, 0)

    def wake(self, agent_id: str, session_id: str = "") -> None:
        """Wake the Agent's held check-ins, because this session changed; empty = any part of the Agent changed."""
        self._notified[agent_id] = self._notified.get(agent_id, 0) + 1
        self.add_changed_sessions(agent_id, *((session_id,) if session_id else ()))
        for event in self._held.get(agent_id, ()):
            event.set()

    def add_changed_sessions(self, agent_id: str, *session_ids: str) -> None:
        """Record that sessions of the Agent changed, so that they are read next; without an id, all its sessions."""
        if (change_numbers := self._changed.get(agent_id)) is not None:
            self._last_change += 1
            change_numbers |= dict.fromkeys(session_ids or (ALL_SESSIONS,), self._last_change)
            if len(change_numbers) > MAX_CHANGED_SESSIONS:
                self._changed[agent_id] = {ALL_SESSIONS: self._last_change}

    def knows_changed_sessions(self, agent_id: str) -> bool:
        """Return True if all sessions of the Agent that changed since they were last read are known by id."""
        return ALL_SESSIONS not in self._changed.get(agent_id, {ALL_SESSIONS: 0})

    def unread(self, agent_id: str) -> Unread:
        """Return the sessions that a reading that begins now must read. Changes are recorded from the first call for an
        Agent on."""
        change_numbers = self._changed.setdefault(agent_id, {})
        return Unread(
            frozenset[str]() if ALL_SESSIONS in change_numbers else frozenset(change_numbers), self._last_change
        )

    def mark_read(self, agent_id: str, unread: Unread) -> None:
        """Remove the changes that a stored reading included."""
        change_numbers = self._changed.get(agent_id, {})
        self._changed[agent_id] = {k: number for k, number in change_numbers.items() if number > unread.last_change}

    def forget(self, agent_id: str) -> None:
        self._changed.pop(agent_id, None)

    def wake_all(self, within_s: float = 0.0) -> None:
        """Wake all held check-ins; `within_s` spreads them over this time, for changes that are not urgent."""
        self._all_notified += 1
        for agent_id in self._changed:
            self.add_changed_sessions(agent_id)
        loop = asyncio.get_running_loop()
        for events in self._held.values():
            for event in events:
                if within_s:
                    loop.call_later(within_s * random.random(), event.set)  # noqa: S311 -- protects nothing
                else:
                    event.set()

    @property
    def held_count(self) -> int:
        return sum(len(events) for events in self._held.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerContext:
    """The record, settings and connections that the parts of a registered Manager share."""

    me: ManagerRow
    config: ManagerConfig
    secrets: Secrets
    logs: LogWriter
    db: Database
    heartbeat_db: Database
    agents_db: Database
    notifier: CheckInNotifier
    takeover: Takeover


class ManagerMetrics(RoleMetrics):
    """Counters of this process; `text()` is the body of /metrics."""

    def __init__(self, status: Callable[[], ManagerStatus], notifier: CheckInNotifier) -> None:
        super().__init__("manager")
        self.requests = self.counter("requests", "Requests of Agents", ["path", "status"])
        self.request_seconds = self.histogram(
            "request_seconds",
            "Time until the response, including the hold time",
            ["path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5, 10),
        )
        self.commit_seconds = self.histogram(
            "commit_seconds",
            "Time of one commit of reports of several Agents",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
        )
        self.check_ins = self.counter("check_ins", "Check-ins that were answered", ["result"])
        self.agents_taken_over = self.counter(
            "agents_taken_over", "Check-ins of Agents that came from another Manager, or with a new term"
        )
        self.instruction_seconds = self.histogram(
            "instruction_seconds",
            "Time from the commit of an instruction until it is sent to its Agent",
            ["kind"],
            buckets=(0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self.elections = self.counter("elections", "Times this Manager became Primary")
        self.gauge("enabled", "1 while this Manager is enabled", lambda: float(bool(status().enabled)))
        self.gauge("healthy", "1 while the guardian runs its rounds", lambda: float(status().healthy))
        self.gauge("failing_tasks", "Tasks of the Primary that fail", lambda: len(status().guardian.failing_tasks))
        self.gauge(
            "round_age_seconds", "Time since the guardian's last round", lambda: status().guardian.round_age_s or 0.0
        )
        self.gauge("held_check_ins", "Check-ins that are held", lambda: float(notifier.held_count))

    def add_registered_metrics(
        self, fence: Callable[[], Fence | None], logs: LogWriter, requests: RequestLog, audit: AuditWriter
    ) -> None:
        self.gauge("primary", "1 while this Manager is Primary", lambda: float(fence() is not None))
        self.gauge(
            "primary_term",
            "The current term while this Manager is Primary, else 0",
            lambda: f.term if (f := fence()) else 0,
        )
        self.add_labeled_counter("log_rows", "Log rows by level", "level", lambda: logs.counts)
        self.add_counter("log_rows_dropped", "Log rows that were lost", lambda: logs.dropped)
        self.add_counter(
            "request_rows_dropped", "Requests of Agents that are not in the list", lambda: requests.dropped
        )
        self.gauge("audit_wait_seconds", "Time since the oldest event waits to be stored", lambda: audit.waited_s)
        self.gauge("log_wait_seconds", "Time since the oldest log row waits to be stored", lambda: logs.waited_s)
        self.gauge(
            "request_wait_seconds", "Time since the oldest request waits to be stored", lambda: requests.waited_s
        )
