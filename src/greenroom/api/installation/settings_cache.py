"""The settings of the installation in memory: read again when they changed, and every `RELOAD_S`."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.core.errors import Unavailable
from greenroom.core.installation import Installation, installation_of
from greenroom.db.database import Database
from greenroom.db.installation import stored_settings

log = structlog.get_logger(__name__)

RELOAD_S: Final = 30.0


class Snapshot:
    """`installation` has the present values; the defaults until the first read."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changed = asyncio.Event()
        self.installation = Installation()

    def changed(self) -> None:
        self._changed.set()

    async def reload(self) -> None:
        """Raises Unavailable: the database is away."""
        self.installation = installation_of(await stored_settings(self._db))

    async def run(self) -> None:
        """Keep the values current, forever; without a database the last ones stay."""
        while True:
            self._changed.clear()
            try:
                await self.reload()
            except Unavailable as error:
                log.warning("settings not read", reason=error.message)
            try:
                async with asyncio.timeout(RELOAD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue
