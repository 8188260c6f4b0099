"""The settings of the installation: in memory, read again when they changed and every `RELOAD_S`; and their changes."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.bodies import Json
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller
from greenroom.api.session.withdrawals import change_of_rights
from greenroom.core.errors import GreenroomError
from greenroom.core.installation import INSTALLATION_SETTINGS, Installation, installation_of, validated_installation
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.installation import change_installation_settings, stored_settings
from greenroom.kit.concurrency import one_item

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
                with one_item("settings"):
                    await self.reload()
            except GreenroomError as error:
                log.warning("settings not read", reason=error.message)
            try:
                async with asyncio.timeout(RELOAD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue


async def change_settings(db: Database, logs: LogWriter, caller: Caller, snapshot: Snapshot, sent: Json) -> None:
    """Set each name to its value; None restores the default.

    Raises:
        Invalid: there is no such setting, or a value is not allowed.
    """
    changes = {
        name: None if value is None and name in INSTALLATION_SETTINGS else validated_installation(name, value)
        for name, value in sent.items()
    }
    before = snapshot.installation
    async with change_of_rights(db, logs) as connection:
        await change_installation_settings(connection, changes)
    await snapshot.reload()
    old, new = ({name: getattr(each, name) for name in changes} for each in (before, snapshot.installation))
    audit(logs, caller, LogCode.SETTING_CHANGED, "of the installation", before=old, after=new)
