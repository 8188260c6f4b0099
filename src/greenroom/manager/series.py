"""Records time series while this Manager is Primary of its zone. One Primary records for all zones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.db.database import Database
from greenroom.db.series.recording import database_now_s, is_sampled, record
from greenroom.kit.concurrency import warn_of_item_error

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S: Final = 10.0
"""Pause between two checks. A new Primary records the present minute if the old one did not."""


class SeriesRecorder:
    """Records each minute once, while `is_primary()` returns True."""

    def __init__(self, db: Database, is_primary: Callable[[], bool]) -> None:
        self._db = db
        self._is_primary = is_primary

    async def run(self) -> None:
        """Run forever; failures are logged and retried at the next check."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if self._is_primary():
                with warn_of_item_error(log, "the time series are not recorded", "series"):
                    await self.round()

    async def round(self) -> None:
        """Record the present minute, unless it is recorded. Raises Unavailable: the database cannot be reached."""
        now_s = await database_now_s(self._db)
        if not await is_sampled(self._db, now_s):
            await record(self._db, now_s)
