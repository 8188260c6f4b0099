"""The settings of the installation in memory, and the periodic work of the api: clean-up, and shortfalls of pools.

While a zone has no running Manager, no Primary can record the shortfalls of its pools, so the api records them.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.api.access.accounts import delete_expired_anonymous_users, delete_homes_of_deleted_users
from greenroom.core.events import ChangeEvent
from greenroom.core.installation import Installation, installation_of
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.model import config_title
from greenroom.db.access.credentials import prune_logins
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.diagnostics.retention import CleanUps
from greenroom.db.installation import stored_settings
from greenroom.db.pool.configs import StagingConfig, list_configs, record_shortfall
from greenroom.kit.concurrency import log_item_error, wait_for, warn_of_item_error

log = structlog.get_logger(__name__)

RELOAD_S: Final = 30.0


class SettingsSnapshot:
    """The present settings, in `installation`. They have their defaults until the first read, and are read again after
    changes and every `RELOAD_S`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._changed = asyncio.Event()
        self.installation = Installation()

    def request_reload(self) -> None:
        """Let `run` read the settings again now, because a setting was changed."""
        self._changed.set()

    async def reload(self) -> None:
        """Read the settings again. Raises Unavailable: the database is unreachable."""
        self.installation = installation_of(await stored_settings(self._db))

    async def run(self) -> None:
        """Keep the settings up to date, forever. While the database is unreachable, they do not change."""
        while True:
            self._changed.clear()
            with warn_of_item_error(log, "settings not read", "settings"):
                await self.reload()
            await wait_for(self._changed, RELOAD_S)


PRUNE_INTERVAL_S: Final = 300.0


async def clean_up_periodically(db: Database, snapshot: SettingsSnapshot, logs: LogWriter) -> None:
    """Delete ended log-ins, old anonymous users and homes of deleted users every `PRUNE_INTERVAL_S`, forever.

    Several processes may do this.
    """
    clean_ups = CleanUps(logs)
    while True:
        await asyncio.sleep(PRUNE_INTERVAL_S)
        with warn_of_item_error(log, "the clean-up is deferred", "clean-up"):
            await clean_up(db, snapshot.installation, logs, clean_ups)


async def clean_up(db: Database, settings: Installation, logs: LogWriter, clean_ups: CleanUps) -> None:
    """Run all clean-ups of the api once. Raises Unavailable: the database cannot be reached."""
    with clean_ups.isolated("log-ins"):
        await prune_logins(db, settings.login_window_s)
    with clean_ups.isolated("anonymous users"):
        await delete_expired_anonymous_users(db, settings.anonymous_user_retention_s, logs)
    with clean_ups.isolated("homes of deleted users"):
        await delete_homes_of_deleted_users(db, settings.homes_of_deleted_users_days, logs)


UNATTENDED_INTERVAL_S: Final = 5.0
START_DELAY_S: Final = 15.0
"""The delay of the first check, so that Managers that start together with this process have reported."""


async def watch_unattended_pools(db: Database, logs: LogWriter) -> None:
    """Call `record_unattended_pools` every `UNATTENDED_INTERVAL_S`, forever. Several processes may do this."""
    await asyncio.sleep(START_DELAY_S)
    while True:
        with warn_of_item_error(log, "pools without a running Manager not checked", "pools"):
            await record_unattended_pools(db, logs)
        await asyncio.sleep(UNATTENDED_INTERVAL_S)


async def record_unattended_pools(db: Database, logs: LogWriter) -> None:
    """Store and log the shortfall of each pool whose zone has no running Manager, once.

    The next Primary clears it. Raises Unavailable: the database cannot be reached.
    """
    for config in (await list_configs(db, without_manager=True)).rows:
        with log_item_error("pool", config.staging_config_id):
            await _record_unattended_pool(db, logs, config)


async def _record_unattended_pool(db: Database, logs: LogWriter, config: StagingConfig) -> None:
    shortfall, staging_config_id = config.shortfall, config.staging_config_id
    if shortfall is None or shortfall.code != "no-running-manager":
        return
    if not await record_shortfall(db, staging_config_id, shortfall.code, shortfall.reason):
        return
    await db.notify(ChangeEvent.staging(staging_config_id))
    logs.write(
        LogCode.STAGING_SHORTFALL,
        f"{config_title(config.image_friendly_name, config.zone_name, staging_config_id)}: {shortfall.reason}",
        level="ERROR",
        zone_name=config.zone_name,
        staging_config_id=staging_config_id,
        details={"code": shortfall.code},
    )
