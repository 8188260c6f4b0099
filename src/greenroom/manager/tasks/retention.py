"""The Primary deletes outdated rows and counts past hours, beside its rounds: nothing time-sensitive waits for it.

In its rounds it removes the records of Managers that left its zone long ago, if the installation's settings say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.liveness import Removal, departed
from greenroom.core.installation import installation_of
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.retention import Keep, prune
from greenroom.db.fleet import managers
from greenroom.db.fleet.leases import lock_lease
from greenroom.db.installation import stored_settings
from greenroom.db.pool.history import count_hours
from greenroom.kit.concurrency import logged_item, one_item
from greenroom.manager.tasks.context import PrimaryContext

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 60.0


class Retention:
    """Cleans up every `INTERVAL_S` while `is_primary()`. The Primaries of several zones take turns."""

    def __init__(self, db: Database, is_primary: Callable[[], bool]) -> None:
        self._db = db
        self._is_primary = is_primary

    async def run(self) -> None:
        """Forever; failures are logged and retried."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if self._is_primary():
                try:
                    with one_item("clean-up"):
                        await self.round()
                except GreenroomError as error:
                    log.warning("clean-up put off", reason=error.message)

    async def round(self) -> None:
        """Clean up and count once, by the present settings of the installation.

        Raises:
            Unavailable: the database cannot be reached.
        """
        settings = installation_of(await stored_settings(self._db))
        keep = Keep(
            log_rows=settings.log_retention_rows,
            log_days=settings.log_retention_days,
            security_rows=settings.security_log_retention_rows,
            security_days=settings.security_log_retention_days,
            launch_days=settings.launch_retention_days,
            recording_days=settings.recording_retention_days,
        )
        with logged_item("clean-up", "rows"):
            if deleted := await prune(self._db, keep):
                log.info("rows that need not be kept any longer were deleted", **deleted)
        with logged_item("clean-up", "hours"):
            await count_hours(self._db)


async def run_records(ctx: PrimaryContext) -> None:
    """Remove what `core.fleet.liveness.departed` names; a Manager that came back meanwhile stays.

    Raises:
        LeaseLost: the term ended meanwhile; nothing was written.
        Unavailable: the database cannot be reached.
    """
    keep_days = installation_of(await stored_settings(ctx.db)).manager_record_retention_days
    if ctx.quiet or keep_days == 0:
        return
    for removal in departed(await managers.read_records(ctx.db, ctx.zone_id), keep_days):
        if ctx.tasks.failures.in_backoff("records", removal.instance_id):
            continue
        async with ctx.tasks.isolated("records", removal.instance_id):
            await _remove(ctx, removal, keep_days)


async def _remove(ctx: PrimaryContext, removal: Removal, keep_days: float) -> None:
    async with ctx.db.transaction() as connection:
        await managers.lock_zones(connection)  # it precedes the lease in the lock order, so not `guarded`
        await lock_lease(connection, ctx.fence)
        removed = await managers.remove_record(connection, removal.manager_id, keep_days)
    if removed:
        ctx.news.log(LogCode.MANAGER_REMOVED, f"the record of {removal.instance_id} was removed: {removal.reason}")
