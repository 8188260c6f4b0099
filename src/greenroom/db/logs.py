"""Log rows for Diagnostics: written in batches, bounded, drops counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog
from psycopg.types.json import Jsonb

from greenroom.core.errors import Unavailable
from greenroom.db.batches import insert_rows, storable
from greenroom.db.database import Database

log = structlog.get_logger(__name__)

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

MAX_QUEUED: Final = 10_000
FLUSH_S: Final = 0.2

_INSERT: Final = (
    "INSERT INTO logs (time, level, component, code, message, zone_name, session_id, user_id, username,"
    " staging_config_id, setting, details) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of Diagnostics; `message` is the sentence a person reads, `code` is stable."""

    level: Level
    component: str
    code: str
    message: str
    zone_name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    username: str | None = None
    staging_config_id: str | None = None
    setting: str | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


class LogWriter:
    """Collects rows and writes them every `FLUSH_S`; when the database is away at most `MAX_QUEUED` are kept."""

    def __init__(self, db: Database, component: str) -> None:
        self._db = db
        self._component = component
        self._rows: list[LogRow] = []
        self.dropped = 0

    def write(self, level: Level, code: str, message: str, **fields: Any) -> None:
        """Queue one row and print it as a log line; fields are those of `LogRow`."""
        getattr(log, level.lower())(message, code=code, **{k: v for k, v in fields.items() if v is not None})
        self.add(LogRow(level=level, component=self._component, code=code, message=message, **fields))

    def add(self, row: LogRow) -> None:
        """Queue one row; the newest is dropped and counted when the queue is full."""
        if len(self._rows) >= MAX_QUEUED:
            self.dropped += 1
        else:
            self._rows.append(row)

    async def run(self) -> None:
        """Write what was queued, for ever; the last rows are written when cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what was queued; what cannot be written because the database is away stays queued."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            await insert_rows(self._db, _INSERT, [_params(row) for row in rows])
        except Unavailable as error:
            self._rows = (rows + self._rows)[:MAX_QUEUED]
            log.warning("log rows wait for the database", waiting=len(self._rows), reason=error.message)
            return
        await self._db.notify("logs:")


def _params(row: LogRow) -> tuple[object, ...]:
    return (
        row.time,
        row.level,
        row.component,
        row.code,
        storable(row.message),
        row.zone_name,
        row.session_id,
        row.user_id,
        storable(row.username),
        row.staging_config_id,
        row.setting,
        Jsonb(storable(row.details)),
    )
