"""Restarts a Manager that lives and does not work: it hangs, or is frozen for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import psycopg
import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.restarts import UNSUSPECTED, judge_manager
from greenroom.db.database import Database
from greenroom.db.logs import LogRow, LogWriter
from greenroom.db.managers import list_managers
from greenroom.up import health
from greenroom.up.endpoints import ManagerEndpoint
from greenroom.up.supervisor import Part

log = structlog.get_logger(__name__)

WATCH_S: Final = 2.0
"""Interval of the health checks."""


class ManagerWatch:
    """Looks at one Manager.

    Args:
        manager: where it answers.
        part: its process.
        restart: ends the process, with the reason; it is started again like any that died.
        db: knows whether the Manager is enabled, and gets a log row of every restart.
    """

    def __init__(
        self, manager: ManagerEndpoint, part: Part, restart: Callable[[Part, str], None], db: Database
    ) -> None:
        self._manager = manager
        self._part = part
        self._restart = restart
        self._db = db
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
        if self._part.pid != self._pid:  # another process, which is not to blame for the one before
            self._pid, self._suspicion = self._part.pid, UNSUSPECTED
        status, _ = await health.status_of(http, f"http://127.0.0.1:{self._manager.port}/__healthcheck")
        record = await self._record() if status in (500, None) else None
        name, enabled = self._manager.instance_id, record["enabled"] if record else None
        verdict = judge_manager(name, self._suspicion, status, now_s, enabled=enabled)
        self._suspicion = verdict.suspicion
        if verdict.restart is not None and record is not None and self._part.pid == self._pid:
            self._restart(self._part, verdict.restart)
            await self._write(verdict.restart, record["zone_name"])

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

    async def _write(self, reason: str, zone_name: str) -> None:
        message = f"{reason}; it is started again."
        self._logs.add(
            LogRow(level="WARNING", component="up", code="manager-restarted", message=message, zone_name=zone_name)
        )
        await self._logs.flush()
