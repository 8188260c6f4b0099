"""The events of operations whose processes ended before they stored a result."""

from __future__ import annotations

import asyncio

import structlog

from greenroom.db.database import Database
from greenroom.db.diagnostics.audit import append_separately
from greenroom.db.diagnostics.audit_operations import CONFIRM_INTERVAL_S, BegunOperations, take_abandoned
from greenroom.kit.concurrency import warn_of_item_error
from greenroom.kit.secrets import Secrets

log = structlog.get_logger(__name__)


async def append_unknown(db: Database, secrets: Secrets) -> None:
    """Add the events of operations whose processes ended before they stored a result. Raises Unavailable: the database
    cannot be reached."""
    async with db.transaction() as connection:
        await append_separately(connection, secrets, await take_abandoned(connection, secrets))


async def watch_operations(db: Database, secrets: Secrets, operations: BegunOperations) -> None:
    """Confirm the operations of this process, and end those of ended processes, forever. After an outage of the
    database, each process confirms its operations before another process ends them."""
    was_reachable = False
    while True:
        await asyncio.sleep(CONFIRM_INTERVAL_S)
        is_reachable = False
        with warn_of_item_error(log, "the operations of the audit were not confirmed", "audit"):
            await operations.confirm()
            if was_reachable:
                await append_unknown(db, secrets)
            is_reachable = True
        was_reachable = is_reachable
