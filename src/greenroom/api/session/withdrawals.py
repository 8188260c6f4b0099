"""Changes of what users may do: shares and help that are not allowed any more end at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.session.shares import end_withdrawn


@asynccontextmanager
async def change_of_rights(db: Database, logs: LogWriter) -> AsyncGenerator[Connection]:
    """A transaction that changes groups, their members or the installation's settings."""
    async with db.transaction() as connection:
        yield connection
        ended, events = await end_withdrawn(connection)
    await db.notify(*events)
    for share in ended:
        message = f"the share {share.share_id} of session {share.session_id} is over: {share.reason}"
        logs.write(LogCode.SHARE_ENDED, message, session_id=share.session_id, pressing=True)
