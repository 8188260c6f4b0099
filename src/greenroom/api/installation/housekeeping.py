"""Housekeeping: deletes ended log-ins, old failures and anonymous users, and records unattended pools.

While a zone has no running Manager, no Primary can record that its pools are short.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.access.accounts import forget_anonymous_users
from greenroom.api.installation.service import Snapshot
from greenroom.api.pool.service import title
from greenroom.core.errors import GreenroomError
from greenroom.core.events import Event
from greenroom.core.log_codes import LogCode
from greenroom.db.access.credentials import prune_logins
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.pool.configs import StagingConfig, list_configs, note_shortfall
from greenroom.kit.concurrency import logged_item, one_item

log = structlog.get_logger(__name__)

PRUNE_INTERVAL_S: Final = 300.0


async def housekeeping(db: Database, snapshot: Snapshot, logs: LogWriter) -> None:
    """Clean up every `INTERVAL_S`, forever; any number of processes may do so at once."""
    while True:
        await asyncio.sleep(PRUNE_INTERVAL_S)
        settings = snapshot.installation
        for work in (
            prune_logins(db, settings.login_window_s),
            forget_anonymous_users(db, settings.anonymous_user_retention_s, logs),
        ):
            try:
                with one_item("clean-up"):
                    await work
            except GreenroomError as error:
                log.warning("clean-up put off", reason=error.message)


UNATTENDED_INTERVAL_S: Final = 5.0
START_DELAY_S: Final = 15.0
"""Before the first look, so that Managers that start together with this process have reported."""


async def watch_unattended_pools(db: Database, logs: LogWriter) -> None:
    """Look every `INTERVAL_S`, forever; any number of processes may do so at once."""
    await asyncio.sleep(START_DELAY_S)
    while True:
        try:
            with one_item("pools"):
                await note_unattended_pools(db, logs)
        except GreenroomError as error:
            log.warning("pools not looked at", reason=error.message)
        await asyncio.sleep(UNATTENDED_INTERVAL_S)


async def note_unattended_pools(db: Database, logs: LogWriter) -> None:
    """Record and log, once, each pool that is short because its zone has no Manager; the next Primary clears that.

    Raises:
        Unavailable: the database cannot be reached.
    """
    for config in (await list_configs(db, unattended=True)).rows:
        with logged_item("pool", config.staging_config_id):
            await _note_unattended(db, logs, config)


async def _note_unattended(db: Database, logs: LogWriter, config: StagingConfig) -> None:
    shortfall, staging_config_id = config.shortfall, config.staging_config_id
    if shortfall is None or shortfall.code != "no-running-manager":
        return
    if not await note_shortfall(db, staging_config_id, shortfall.code, shortfall.reason):
        return
    await db.notify(Event.staging(staging_config_id))
    logs.write(
        LogCode.STAGING_SHORTFALL,
        f"{title(config)}: {shortfall.reason}",
        level="ERROR",
        zone_name=config.zone_name,
        staging_config_id=staging_config_id,
        details={"code": shortfall.code},
    )
