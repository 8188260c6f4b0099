"""Restarts a process that lives and does not work: it is frozen for good, or a Manager that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import psycopg
import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.restarts import UNSUSPECTED, judge_manager, judge_silence
from greenroom.db.database import Database
from greenroom.db.logs import LogRow, LogWriter
from greenroom.db.managers import list_managers
from greenroom.up import health
from greenroom.up.endpoints import ManagerEndpoint
from greenroom.up.supervisor import Part

log = structlog.get_logger(__name__)

WATCH_S: Final = 2.0
"""Interval of the health checks."""

Restart = Callable[[Part, str], None]


class PartWatch:
    """Looks at one process that is never silent for long: the api, an Agent.

    Args:
        part: its process.
        url: its health check.
        restart: ends the process, with the reason; it is started again like any that died.
        db: gets a log row of every restart.
    """

    def __init__(self, part: Part, url: str, restart: Restart, db: Database) -> None:
        self._part = part
        self._url = url
        self._restart = restart
        self._logs = LogWriter(db, "up")
        self._pid: int | None = None
        self._suspicion = UNSUSPECTED

    async def run(self, http: httpx.AsyncClient) -> None:
        """Look every WATCH_S, for ever."""
        while True:
            await asyncio.sleep(WATCH_S)
            await self.look(http, asyncio.get_running_loop().time())

    async def look(self, http: httpx.AsyncClient, now_s: float) -> None:
        """Ask it for its health once, and restart it if it has not worked for long enough."""
        status = await self._status(http)
        verdict = judge_silence(self._part.name, self._suspicion, status, now_s)
        self._suspicion = verdict.suspicion
        if verdict.restart is not None:
            await self._end("part-restarted", verdict.restart, None)

    async def _status(self, http: httpx.AsyncClient) -> int | None:
        if self._part.pid != self._pid:  # another process, which is not to blame for the one before
            self._pid, self._suspicion = self._part.pid, UNSUSPECTED
        status, text = await health.status_of(http, self._url)
        return None if health.says_frozen(text) else status

    async def _end(self, code: str, reason: str, zone_name: str | None) -> None:
        if self._part.pid != self._pid:
            return
        self._restart(self._part, reason)
        message = f"{reason}; it is started again."
        self._logs.add(LogRow(level="WARNING", component="up", code=code, message=message, zone_name=zone_name))
        await self._logs.flush()


class ManagerWatch(PartWatch):
    """Looks at one Manager, which may be disabled, and answers 500 when it hangs.

    Args:
        manager: where it answers.
        part: its process.
        restart: ends the process, with the reason; it is started again like any that died.
        db: knows whether the Manager is enabled, and gets a log row of every restart.
    """

    def __init__(self, manager: ManagerEndpoint, part: Part, restart: Restart, db: Database) -> None:
        super().__init__(part, manager.health_url, restart, db)
        self._manager = manager
        self._db = db

    async def look(self, http: httpx.AsyncClient, now_s: float) -> None:
        """Ask it for its health once, and restart it if it has not worked for long enough."""
        status = await self._status(http)
        record = await self._record() if status in (500, None) else None
        name, enabled = self._manager.instance_id, record["enabled"] if record else None
        verdict = judge_manager(name, self._suspicion, status, now_s, enabled=enabled)
        self._suspicion = verdict.suspicion
        if verdict.restart is not None and record is not None:
            await self._end("manager-restarted", verdict.restart, record["zone_name"])

    async def _record(self) -> dict[str, Any] | None:
        """`enabled` and `zone_name` as the database has them, None when it cannot be asked; a record that was deleted
        takes nobody out of service."""
        try:
            managers = await list_managers(self._db)
        except (GreenroomError, psycopg.Error) as error:
            log.warning("nobody knows whether a Manager is enabled", reason=str(error).strip())
            return None
        deleted = {"enabled": True, "zone_name": self._manager.zone}
        return next((found for found in managers if found["instance_id"] == self._manager.instance_id), deleted)
