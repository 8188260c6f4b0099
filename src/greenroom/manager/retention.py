"""The Primary deletes what need not be kept any longer, beside its rounds: nothing time-sensitive waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.installation import installation_of
from greenroom.db.database import Database
from greenroom.db.retention import Keep, prune
from greenroom.db.settings import stored_settings

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 60.0


class Retention:
    """Cleans up every `INTERVAL_S` while `is_primary()`. The Primaries of several zones take turns."""

    def __init__(self, db: Database, is_primary: Callable[[], bool]) -> None:
        self._db = db
        self._is_primary = is_primary

    async def run(self) -> None:
        """For ever; what goes wrong is logged and tried again."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if self._is_primary():
                try:
                    await self.round()
                except (GreenroomError, psycopg.Error) as error:
                    log.warning("clean-up put off", reason=str(error).strip())

    async def round(self) -> None:
        """Clean up once, by the settings of the installation as they are now.

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
        )
        if deleted := await prune(self._db, keep):
            log.info("rows that need not be kept any longer were deleted", **deleted)
