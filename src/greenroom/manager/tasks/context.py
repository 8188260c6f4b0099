"""The context of the Primary's tasks in each round. Each task is isolated: its exceptions stop only this task.

A failed task does not stop this Manager, because the next Primary would read the same row and fail too. The exception
is logged, and the task is tried again after a back-off.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Unpack

import psycopg
import structlog

from greenroom.core.errors import LeaseLost, StatementCanceled, Unavailable
from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.fleet.liveness import ON_TIME, Lateness
from greenroom.core.log_codes import CODE_OF_STATUS, Level, LogCode
from greenroom.core.pool.agenda import Agenda
from greenroom.db.database import Connection, Database, refuses_values
from greenroom.db.diagnostics.logs import LogFields, LogWriter
from greenroom.db.fleet.leadership import Fence
from greenroom.db.session.transitions import ChangedSession
from greenroom.kit.clock import boottime_s
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 30.0
"""Back-off of a task that failed, doubled after each further failure."""
FORGOTTEN_AFTER_S: Final = 2 * MAX_BACKOFF_S
"""A failure is removed if the task has not failed again for this time after its last back-off, for example because the
row that it failed on was deleted."""


@dataclass(slots=True)
class _TaskFailure:
    backoff_s: float
    again_at_s: float


class TaskFailures:
    """The failures of tasks in the rounds of a Primary. A failure concerns a task, or one item of a task."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], _TaskFailure] = {}
        self.last_success_at_s = float("-inf")
        """The time of the last success of a task, or of an item of a task. A round with recent successes does not
        hang."""

    @property
    def tasks(self) -> list[str]:
        return sorted({task for (task, _), failure in self._failures.items() if _is_fresh(failure)})

    def whole_task_failed(self, task: str) -> bool:
        """Return True if the whole task failed last time, not only an item of it."""
        return (task, "") in self._failures

    def in_backoff(self, task: str, item: str = "") -> bool:
        """Return True if the task or the item failed and must not be tried again yet."""
        failure = self._failures.get((task, item))
        return failure is not None and boottime_s() < failure.again_at_s

    def record_failure(self, task: str, item: str = "") -> float:
        """Record a failure. Return the back-off in seconds."""
        self._failures = {key: failure for key, failure in self._failures.items() if _is_fresh(failure)}
        before = self._failures.get((task, item))
        backoff_s = FIRST_BACKOFF_S if before is None else min(2 * before.backoff_s, MAX_BACKOFF_S)
        self._failures[task, item] = _TaskFailure(backoff_s, boottime_s() + backoff_s)
        return backoff_s

    def record_success(self, task: str, item: str = "") -> None:
        """Record a success, which ends the back-off of the task or the item."""
        self.last_success_at_s = boottime_s()
        if self._failures.pop((task, item), None) is not None:
            log.info("a task of the Primary succeeds again", task=task, item=item)

    def clear(self) -> None:
        """Clear all failures: this Manager is no longer Primary, and the next one starts without failures."""
        self._failures.clear()


def _is_fresh(failure: _TaskFailure) -> bool:
    return boottime_s() < failure.again_at_s + FORGOTTEN_AFTER_S


@dataclass(frozen=True, slots=True)
class Tasks:
    """Isolates tasks from each other; `failures` persists from round to round."""

    failures: TaskFailures
    logs: LogWriter

    @asynccontextmanager
    async def isolated(self, task: str, item: str = "", *, within: Connection | None = None) -> AsyncGenerator[None]:
        """Log and record exceptions of the block. The caller checks `failures.in_backoff` first.

        The Manager's health reports `task`; the log contains also `item`. The transaction `within` continues after a
        failure; only the writes of the block are undone.

        Raises:
            LeaseLost: the term is over. The round ends.
            Unavailable: the database cannot be reached. The round ends.
            psycopg.Error: with `within`, the connection is lost or the database canceled a statement, so the
                whole transaction has failed.
        """
        try:
            if within is None:
                yield
            else:
                async with within.transaction():
                    yield
        except Exception as error:
            ends_the_round = isinstance(error, (LeaseLost, Unavailable)) and not isinstance(error, StatementCanceled)
            is_lost = isinstance(error, psycopg.Error) and not refuses_values(error)
            if ends_the_round or (within is not None and is_lost):
                raise
            self._record_failure(task, item, error)
        else:
            self.failures.record_success(task, item)

    def _record_failure(self, task: str, item: str, error: Exception) -> None:
        backoff_s = self.failures.record_failure(task, item)
        subject = f"{task} ({item})" if item else task
        reason = str(error).strip().partition("\n")[0].rstrip(".") or "no reason was given"
        log.debug("a task of the Primary failed", task=task, item=item, exc_info=error)
        self.logs.write(
            LogCode.PRIMARY_TASK_FAILED,
            f"The Primary's task {subject} failed: {type(error).__name__}: {reason}; the other tasks continue, and this"
            f" task is tried again in {backoff_s:g} s.",
        )


class RoundEvents:
    """Publishes changes after their commit: log rows immediately, notifications together in `send`."""

    def __init__(self, db: Database, logs: LogWriter) -> None:
        self._db = db
        self._logs = logs
        self._events: set[ChangeEvent] = set()

    def log(self, code: LogCode, sentence: str, *, level: Level | None = None, **fields: Unpack[LogFields]) -> None:
        self._logs.write(code, sentence[:1].upper() + sentence[1:], level=level, **fields)

    def add(self, *events: ChangeEvent) -> None:
        self._events.update(events)

    def status_changed(self, session: ChangedSession, reason: str, level: Level | None = None) -> None:
        """Log the new status of a session, and add the notifications about it."""
        self.log(
            CODE_OF_STATUS[session.status],
            f"session {session.session_id} is {session.status}: {reason}",
            level=level,
            session_id=session.session_id,
            user_id=session.user_id,
            staging_config_id=session.staging_config_id,
        )
        self.add(
            *session_events(session.session_id, agent_id=session.agent_id, staging_config_id=session.staging_config_id)
        )

    async def send(self) -> None:
        events, self._events = self._events, set()
        if events:
            await self._db.notify(*events)


@dataclass(frozen=True, slots=True)
class PrimaryContext:
    """One round of the Primary of one zone.

    `fence` is passed to every write (`db.fleet.leadership.guarded`). In the quiet period (`quiet`), a task must not
    mark an Agent as missing or a session as lost, and must not act on a deadline (docs/explanation/protocols.md §1).
    `tasks` isolates failures. `events` is sent at the end of each task, and earlier if a user waits. `agenda` outlives
    the round.
    """

    db: Database
    fence: Fence
    zone_id: str
    config: ManagerConfig
    secrets: Secrets
    logs: LogWriter
    events: RoundEvents
    quiet: bool
    tasks: Tasks
    lateness: Lateness = ON_TIME
    agenda: Agenda = field(default_factory=Agenda)
