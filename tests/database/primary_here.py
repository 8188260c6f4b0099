"""A Primary inside the test: its rounds are called one by one, on rows that a test made."""

from __future__ import annotations

import uuid
from pathlib import Path

from greenroom.db.database import Database
from greenroom.db.fleet.leases import Fence
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.isolation import TaskFailures, Tasks
from greenroom.manager.tasks.context import PrimaryContext, RoundEvents
from greenroom.manager.zone_log import ZoneLog

SECRETS = Secrets(b"k" * 32)


async def primary_of(db: Database, zone_id: str, folder: Path) -> PrimaryContext:
    """The lease of the zone for as long as the test lasts, in term 7.

    Args:
        db: of the test.
        zone_id: whose Primary it is.
        folder: named in its settings; nothing is written there.
    """
    holder = str(uuid.uuid4())
    (zone,) = await db.write(
        "UPDATE zone_leases l SET holder = %s, term = 7, expires_at = 'infinity' FROM zones z"
        " WHERE z.zone_key = l.zone_key AND z.zone_id = %s RETURNING l.zone_key, z.zone_name",
        (holder, zone_id),
    )
    logs = ZoneLog(db, zone["zone_name"])
    return PrimaryContext(
        db=db,
        fence=Fence(zone["zone_key"], holder, 7),
        zone_id=zone_id,
        config=ManagerConfig(database_url=db.dsn, secret_key_file=folder, manager_dir=folder),
        secrets=SECRETS,
        logs=logs,
        news=RoundEvents(db, logs),
        quiet=False,
        tasks=Tasks(TaskFailures(), logs),
    )
