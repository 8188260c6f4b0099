"""What no longer matters is deleted: ended log-ins, old failures, log rows beyond the retention."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.snapshot import Snapshot
from greenroom.core.errors import Unavailable
from greenroom.db.database import Database
from greenroom.db.diagnostics import prune_diagnostics
from greenroom.db.logins import prune_logins

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 300.0


async def housekeeping(db: Database, snapshot: Snapshot) -> None:
    """Clean up every `INTERVAL_S`, for ever; any number of processes may do so at once."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await prune_logins(db, snapshot.installation.login_window_s)
            await prune_diagnostics(db, snapshot.installation.log_retention_rows)
        except Unavailable as error:
            log.warning("clean-up put off", reason=error.message)
