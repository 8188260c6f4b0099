"""The facts in the database about which `greenroom doctor` warns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.log_codes import LogCode
from greenroom.core.session.observations import CONTAINER_GONE
from greenroom.db.database import Database


@dataclass(frozen=True, slots=True)
class FailedTasks:
    """The number of failed tasks of the Primary of a zone, with the time and message of the last failure."""

    zone_name: str
    failures: int
    time: datetime
    message: str


async def read_failed_tasks(db: Database, within_s: float) -> list[FailedTasks]:
    """Return the recent failed tasks of Primaries, by zone."""
    return await db.fetch_as(
        FailedTasks,
        "SELECT zone_name, failures, time, message FROM"
        " (SELECT zone_name, time, message, count(*) OVER of_zone AS failures,"
        "   row_number() OVER (of_zone ORDER BY log_id DESC) AS nth FROM logs"
        "   WHERE code = 'primary-task-failed' AND time > now() - make_interval(secs => %s)"
        "   WINDOW of_zone AS (PARTITION BY zone_name)) failed"
        " WHERE nth = 1 ORDER BY zone_name",
        (within_s,),
    )


@dataclass(frozen=True, slots=True)
class RestoreRepairs:
    """The numbers of sessions that ended because their container was gone, and of removed containers without a
    session."""

    ended: int
    removed: int


async def count_repairs(db: Database, since: datetime) -> RestoreRepairs:
    """Return the repairs since the restore of a backup."""
    row = await db.fetch_one(
        "SELECT (SELECT count(*) FROM sessions WHERE status_changed >= %(since)s AND error LIKE %(gone)s) AS ended,"
        " (SELECT count(*) FROM logs WHERE time >= %(since)s AND code = %(removed)s) AS removed",
        {"since": since, "gone": f"%{CONTAINER_GONE}%", "removed": LogCode.AGENT_STRANGER_REMOVED},
    )
    return RestoreRepairs(**row) if row else RestoreRepairs(0, 0)


async def read_free_disk(db: Database, agent_ids: list[str]) -> FreeDisk:
    """Return the free space of a host, from the latest reports of its Agents."""
    row = await db.fetch_one(
        "SELECT min((usage->>'disk_free_bytes')::bigint) AS free_bytes,"
        " coalesce(max((usage->>'disk_kept_bytes')::bigint), 0) AS kept_bytes,"
        " min((usage->>'disk_free_inodes')::float8) AS free_inodes"
        " FROM agents WHERE agent_id = ANY(%s::uuid[])",
        (agent_ids,),
    )
    return FreeDisk(**row) if row else FreeDisk()


async def read_recordings_full_message(db: Database, within_s: float) -> str | None:
    """Return the message of the newest log row about omitted pictures in the last `within_s`; None if there is none."""
    row = await db.fetch_one(
        "SELECT message FROM logs WHERE code = %s AND time > now() - make_interval(secs => %s)"
        " ORDER BY time DESC LIMIT 1",
        (LogCode.RECORDINGS_FULL, within_s),
    )
    return row["message"] if row else None
