"""What the Primary's tasks get each round, and the one place that announces what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack

from greenroom.core.events import Event, session_events
from greenroom.core.fleet.lateness import ON_TIME, Lateness
from greenroom.core.log_codes import SESSION_IS, Level, LogCode
from greenroom.core.pool.agenda import Agenda
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogFields, LogWriter
from greenroom.db.fleet.leases import Fence
from greenroom.db.session.transitions import ChangedSession
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.isolation import Tasks


class RoundEvents:
    """Announces what was done, after its commit: log rows at once, notifications together with `send`."""

    def __init__(self, db: Database, logs: LogWriter) -> None:
        self._db = db
        self._logs = logs
        self._events: set[Event] = set()

    def log(self, code: LogCode, sentence: str, *, level: Level | None = None, **fields: Unpack[LogFields]) -> None:
        self._logs.write(code, sentence[:1].upper() + sentence[1:], level=level, **fields)

    def add(self, *events: Event) -> None:
        self._events.update(events)

    def moved(self, session: ChangedSession, reason: str, level: Level | None = None) -> None:
        self.log(
            SESSION_IS[session.status],
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

    `fence` goes into every write (`db.fleet.leases.guarded`). While `quiet` is true nothing destructive may be
    concluded from silence: not missing, not lost, no deadline passed (QUIET of docs/explanation/protocols.md §1).
    `tasks` isolates failures. `news` is sent at the end of each task, and at once where a user waits. `agenda` outlives
    the round.
    """

    db: Database
    fence: Fence
    zone_id: str
    config: ManagerConfig
    secrets: Secrets
    logs: LogWriter
    news: RoundEvents
    quiet: bool
    tasks: Tasks
    lateness: Lateness = ON_TIME
    agenda: Agenda = field(default_factory=Agenda)
