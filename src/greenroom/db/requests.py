"""Requests of Agents at Managers, for Diagnostics: each that was not 2xx, and 2xx counted per Agent and minute."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from greenroom.core.errors import Unavailable
from greenroom.db.batches import insert_rows
from greenroom.db.database import Database

log = structlog.get_logger(__name__)

FLUSH_S: Final = 0.5
MAX_QUEUED: Final = 5_000

_INSERT: Final = (
    "INSERT INTO manager_requests (time, agent_id, manager_instance_id, method, path, status, duration_ms, count)"
    " VALUES (%(time)s, %(agent_id)s, %(manager_instance_id)s, %(method)s, %(path)s, %(status)s, %(duration_ms)s,"
    " %(count)s)"
)


@dataclass(slots=True, kw_only=True)
class RequestRow:
    """One request, or `count` of them with the longest duration."""

    time: datetime
    agent_id: str | None
    manager_instance_id: str
    method: str
    path: str
    status: int
    duration_ms: float
    count: int = 1


class RequestLog:
    """Collects requests and writes them in batches; bounded, drops counted."""

    def __init__(self, db: Database, manager_instance_id: str) -> None:
        self._db = db
        self._manager = manager_instance_id
        self._rows: list[RequestRow] = []
        self._minute: dict[tuple[str | None, str, str, int], RequestRow] = {}
        self.dropped = 0

    def note(self, agent_id: str | None, method: str, path: str, status: int, duration_ms: float) -> None:
        """One request was answered."""
        now = datetime.now(UTC)
        row = RequestRow(
            time=now,
            agent_id=agent_id,
            manager_instance_id=self._manager,
            method=method,
            path=path,
            status=status,
            duration_ms=duration_ms,
        )
        if not 200 <= status < 300:
            self._queue(row)
            return
        self._end_minutes(now.replace(second=0, microsecond=0))
        counted = self._minute.setdefault((agent_id, method, path, status), row)
        if counted is row:
            row.time = now.replace(second=0, microsecond=0)
        else:
            counted.count += 1
            counted.duration_ms = max(counted.duration_ms, duration_ms)

    def _end_minutes(self, minute: datetime) -> None:
        """Queue the counts of minutes that are over."""
        for key, row in list(self._minute.items()):
            if row.time < minute:
                self._queue(self._minute.pop(key))

    def _queue(self, row: RequestRow) -> None:
        if len(self._rows) >= MAX_QUEUED:
            self.dropped += 1
        else:
            self._rows.append(row)

    async def run(self) -> None:
        """Write what was noted, for ever; everything is written when cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self._end_minutes(datetime.now(UTC).replace(second=0, microsecond=0))
                await self.flush()
        finally:
            self._end_minutes(datetime.max.replace(tzinfo=UTC))
            await self.flush()

    async def flush(self) -> None:
        """Write what is queued; what cannot be written because the database is away stays queued."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            await insert_rows(self._db, _INSERT, [_params(row) for row in rows])
        except Unavailable as error:
            self._rows = (rows + self._rows)[:MAX_QUEUED]
            log.warning("request rows wait for the database", waiting=len(self._rows), reason=error.message)


def _params(row: RequestRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in RequestRow.__dataclass_fields__}
