"""Tasks of a running instance: restart processes that do not work, renew certificates, limit the size of log files.

A process that is frozen permanently and a Manager that hangs are restarted. The gateway loads changed certificates. The
log rows in the database are separate from the log files, and have a separate limit.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import psycopg
import structlog

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogRow, LogWriter
from greenroom.db.fleet.managers import list_managers
from greenroom.up import health, tls
from greenroom.up.restart_rules import NO_FAILED_CHECKS, decide_manager_restart, decide_restart
from greenroom.up.site import ManagerSite, Site
from greenroom.up.supervisor import Part

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S: Final = 10.0
"""The interval of health checks of the api and of Agents, in seconds. They are restarted only after a long silence."""
MANAGER_CHECK_INTERVAL_S: Final = 2.0

Restart = Callable[[Part, str], None]


class PartWatch:
    """Watches the api or an Agent, and restarts it if it does not answer for a long time. `restart` kills the process,
    and the supervisor then starts it again. A log row about the restart is written to `db`.
    """

    interval_s = CHECK_INTERVAL_S

    def __init__(self, part: Part, url: str, restart: Restart, db: Database) -> None:
        self._part = part
        self._url = url
        self._restart = restart
        self._logs = LogWriter(db, "up")
        self._pid: int | None = None
        self._failures = NO_FAILED_CHECKS

    async def run(self, http: httpx2.AsyncClient) -> None:
        while True:
            await asyncio.sleep(self.interval_s)
            await self.check(http, asyncio.get_running_loop().time())

    async def check(self, http: httpx2.AsyncClient, now_s: float) -> None:
        """Check the health once, and restart the part if `decide_restart` returns a reason."""
        status = await self._status(http)
        decision = decide_restart(self._part.name, self._failures, status, now_s)
        self._failures = decision.failures
        if decision.reason is not None:
            await self._restart_part(LogCode.PART_RESTARTED, decision.reason, None)

    async def _status(self, http: httpx2.AsyncClient) -> int | None:
        if self._part.pid != self._pid:  # the failures of the previous process do not count for the new one
            self._pid, self._failures = self._part.pid, NO_FAILED_CHECKS
        status, text = await health.get_status(http, self._url)
        return None if health.is_frozen(text) else status

    async def _restart_part(self, code: LogCode, reason: str, zone_name: str | None) -> None:
        if self._part.pid != self._pid:
            return
        self._restart(self._part, reason)
        message = f"{reason}; it is started again."
        self._logs.add(LogRow(level=code.level, component="up", code=str(code), message=message, zone_name=zone_name))
        await self._logs.flush()


@dataclass(frozen=True, slots=True)
class _ManagerRecord:
    enabled: bool
    zone_name: str


class ManagerWatch(PartWatch):
    """Watches a Manager, whose row in `db` states whether it is enabled. A Manager that hangs responds with 500."""

    interval_s = MANAGER_CHECK_INTERVAL_S

    def __init__(self, manager: ManagerSite, part: Part, restart: Restart, db: Database) -> None:
        super().__init__(part, manager.health_url, restart, db)
        self._manager = manager
        self._db = db

    async def check(self, http: httpx2.AsyncClient, now_s: float) -> None:
        status = await self._status(http)
        record = await self._record() if status in (500, None) else None
        name, enabled = self._manager.instance_id, record.enabled if record else None
        decision = decide_manager_restart(name, self._failures, status, now_s, enabled=enabled)
        self._failures = decision.failures
        if decision.reason is not None and record is not None:
            await self._restart_part(LogCode.MANAGER_RESTARTED, decision.reason, record.zone_name)

    async def _record(self) -> _ManagerRecord | None:
        """Return the record of the Manager; None if the database cannot be read. A deleted Manager counts as
        enabled.
        """
        try:
            managers = await list_managers(self._db)
        except (GreenroomError, psycopg.Error) as error:
            log.warning("it is unknown whether a Manager is enabled", reason=str(error).strip())
            return None
        manager = next((manager for manager in managers if manager.instance_id == self._manager.instance_id), None)
        return (
            _ManagerRecord(manager.enabled, manager.zone_name) if manager else _ManagerRecord(True, self._manager.zone)
        )


CERTIFICATE_CHECK_S: Final = 3600.0


async def renew_certificates(site: Site) -> None:
    """Renew certificates before they expire, until cancelled."""
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        try:
            tls.ensure_certificates(site.layout, site.settings, site.accounts.gateway, datetime.now(UTC))
        except (SetupError, OSError) as error:
            log.error("the gateway keeps its certificates", reason=str(error))


MAX_LOG_BYTES: Final = 20 << 20
LOG_CHECK_S: Final = 60.0


async def limit_log_sizes(folder: Path) -> None:
    """Move the content of large logs to second files, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(move_large_logs, folder, MAX_LOG_BYTES)
        except OSError as error:
            log.warning("a large log could not be cut", folder=str(folder), reason=str(error), next_try_s=LOG_CHECK_S)
        await asyncio.sleep(LOG_CHECK_S)


def move_large_logs(folder: Path, max_bytes: int) -> list[Path]:
    """Move the content of each log of more than `max_bytes` to `<name>.log.1`, which is replaced. Return these logs.

    The writers append, so they continue at the beginning of the emptied file. A line that is written at the same time
    may be lost.
    """
    large = [file for file in folder.glob("*.log") if file.stat().st_size > max_bytes]
    for file in large:
        shutil.copyfile(file, file.with_suffix(".log.1"))
        os.truncate(file, 0)
    return large
