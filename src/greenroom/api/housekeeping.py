"""What no longer matters is deleted: ended log-ins, old failures, anonymous users."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.anonymous import forget_anonymous_users
from greenroom.api.snapshot import Snapshot
from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.logins import prune_logins
from greenroom.db.logs import LogWriter

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 300.0


async def housekeeping(db: Database, snapshot: Snapshot, logs: LogWriter) -> None:
    """Clean up every `INTERVAL_S`, for ever; any number of processes may do so at once."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await prune_logins(db, snapshot.installation.login_window_s)
            await forget_anonymous_users(db, snapshot.installation.anonymous_user_retention_s, logs)
        except Unavailable as error:
            log.warning("clean-up put off", reason=error.message)
