"""Requests at Managers, for Diagnostics: each request without status 2xx, and the number of 2xx per Agent and minute.

Gateways report the requests for Managers that they answered themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import WaitingRows
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.rows import columns_of, listed

FLUSH_S: Final = 0.5
MINUTE_POLL_S: Final = 2.0
"""Interval at which the end of a minute is detected while no request is reported."""
MAX_QUEUED: Final = 20_000
"""Maximum number of queued rows; at the end of a minute there is a row for each Agent of a Manager."""


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


_COLUMNS: Final = listed(columns_of(RequestRow))
_INSERT: Final[LiteralString] = (
    "INSERT INTO manager_requests (" + _COLUMNS + ")"
    " SELECT " + _COLUMNS + " FROM jsonb_populate_recordset(NULL::manager_requests, %(rows)s)"
)


class RequestLog:
    """Collects requests and writes them in batches. The queue has a limit; dropped rows are counted."""

    def __init__(self, db: Database, manager_instance_id: str, logs: LogWriter) -> None:
        self._manager = manager_instance_id
        self._logs = logs
        self._rows = WaitingRows[RequestRow](db, _INSERT, asdict, what="request rows", most=MAX_QUEUED)
        self._writing = asyncio.Lock()
        self._minute = datetime.min.replace(tzinfo=UTC)
        self._counted: dict[tuple[str | None, str, str, int], RequestRow] = {}
        """The 2xx requests of this minute."""

    @property
    def dropped(self) -> int:
        return self._rows.dropped

    def note(self, agent_id: str | None, method: str, path: str, status: int, duration_ms: float) -> None:
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
            self._rows.add(row)
            return
        self._begin_minute(now.replace(second=0, microsecond=0))
        counted = self._counted.setdefault((agent_id, method, path, status), row)
        if counted is row:
            row.time = self._minute
        else:
            counted.count += 1
            counted.duration_ms = max(counted.duration_ms, duration_ms)

    def _begin_minute(self, minute: datetime) -> None:
        if minute <= self._minute:
            return
        for row in self._counted.values():
            self._rows.add(row)
        self._minute, self._counted = minute, {}

    async def run(self) -> None:
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(MINUTE_POLL_S):
                        await self._rows.wait_for_rows()
                await asyncio.sleep(FLUSH_S)
                self._begin_minute(datetime.now(UTC).replace(second=0, microsecond=0))
                await asyncio.shield(self.flush())  # cancelled midway, its rows would be lost
        finally:
            self._begin_minute(datetime.max.replace(tzinfo=UTC))
            await self.flush()

    async def flush(self) -> None:
        async with self._writing:
            if await self._rows.write() and (number := self._rows.newly_dropped()):
                sentence = f"{number} requests of Agents at {self._manager} are missing in Diagnostics."
                self._logs.write(LogCode.MANAGER_REQUESTS_DROPPED, sentence)


async def add_gateway_requests(db: Database, requests: Sequence[RequestRow]) -> None:
    """Store requests for Diagnostics. Their `agent_id` comes from the caller and is not checked."""
    await db.write(_INSERT, {"rows": Jsonb(list(requests))})
