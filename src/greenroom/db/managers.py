"""Managers and their zones in SQL.

Heartbeats never name `enabled` or `zone_id`: the database keeps "at least one enabled Manager per zone" with triggers
on exactly these columns (PROTOCOLS §1, DISABLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from greenroom.core.errors import LastEnabledManager, NotFound, SetupError
from greenroom.db.database import CHANNEL, Connection, Database
from greenroom.db.leases import evict
from greenroom.db.listener import ListenConnection

RUNNING_WITHIN_S: Final = 15.0
"""A Manager is `running` while its last report and its last finished round are at most this old (CONTRACT)."""

_INSTANCE_LOCK: Final = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerRow:
    """The record of one Manager and what it has to know of its zone and the installation."""

    manager_id: str
    manager_key: int
    instance_id: str
    enabled: bool
    zone_id: str
    zone_key: int
    zone_name: str
    installation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnabledChange:
    """What `set_enabled` did; `warning` is a sentence for the administrator, or None."""

    manager_id: str
    instance_id: str
    zone_name: str
    enabled: bool
    changed: bool
    warning: str | None = None


async def adopt(db: Database, instance_id: str, zone_name: str, hostname: str, version: str) -> ManagerRow:
    """Find the record of this instance id or make it, enabled; an existing one keeps zone, `enabled` and first report.

    Raises:
        SetupError: a new Manager names a zone that does not exist.
        Unavailable: the database cannot be reached.
    """
    await db.write(
        "INSERT INTO managers (instance_id, hostname, version, zone_id)"
        " SELECT %s, %s, %s, zone_id FROM zones WHERE zone_name = %s ON CONFLICT (instance_id) DO NOTHING",
        (instance_id, hostname, version, zone_name),
    )
    row = await db.fetch_one(
        "SELECT m.manager_id::text, m.manager_key, m.instance_id, m.enabled, m.zone_id::text, z.zone_key, z.zone_name,"
        " (SELECT installation_id::text FROM installation) AS installation_id"
        " FROM managers m JOIN zones z USING (zone_id) WHERE m.instance_id = %s",
        (instance_id,),
    )
    if row is None:
        raise SetupError(f"There is no zone named {zone_name}; create it, or set GREENROOM_ZONE to an existing one.")
    return ManagerRow(**row)


async def describe(db: Database, manager_id: str, hostname: str, version: str, gateway_url: str) -> None:
    """Write down where this Manager runs and how Agents reach it."""
    await db.write(
        "UPDATE managers SET hostname = %s, version = %s, gateway_url = %s, last_reported = clock_timestamp()"
        " WHERE manager_id = %s",
        (hostname, version, gateway_url, manager_id),
    )


async def hold_instance(connection: ListenConnection, manager_key: int, instance_id: str) -> None:
    """Take the lock of this instance id on L, waiting 5 s for a predecessor that is just ending.

    Raises:
        SetupError: another live process has this instance id.
        psycopg.OperationalError: the connection was lost.
    """
    await connection.execute("SELECT set_config('lock_timeout', '5s', false)")
    try:
        await connection.execute("SELECT pg_advisory_lock(%s, %s)", (_INSTANCE_LOCK, manager_key))
    except psycopg.errors.LockNotAvailable as error:
        raise SetupError(
            f"Another Manager process with the instance id {instance_id} is running; stop it, or give this one a "
            "folder of its own (GREENROOM_MANAGER_DIR)."
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a heartbeat brings back."""

    enabled: bool
    zone_id: str
    term: int
    heard_term: int
    """The highest term an Agent of the zone has heard."""


async def heartbeat(db: Database, manager_id: str, finished_ago_s: float | None) -> Beat | None:
    """Report this Manager alive, and when its last finished round ended; None if its record was deleted."""
    rows = await db.write(
        "UPDATE managers m SET last_reported = clock_timestamp(),"
        " last_round = coalesce(clock_timestamp() - make_interval(secs => %s::double precision), last_round)"
        " FROM zones z JOIN zone_leases l USING (zone_key) WHERE m.manager_id = %s AND z.zone_id = m.zone_id"
        " RETURNING m.enabled, m.zone_id::text, l.term,"
        " (SELECT coalesce(max(a.manager_term), 0) FROM agents a WHERE a.zone_id = m.zone_id) AS heard_term",
        (finished_ago_s, manager_id),
    )
    return Beat(**rows[0]) if rows else None


async def set_enabled(db: Database, manager_id: str, enabled: bool) -> EnabledChange:
    """Enable or disable a Manager: DISABLE of PROTOCOLS §1, which works on a frozen one too.

    The zones are locked first, all and by id as the trigger does, so that two administrators cannot deadlock.

    Raises:
        NotFound: no such Manager.
        LastEnabledManager: the zone would be left without an enabled Manager.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT 1 FROM zones ORDER BY zone_id FOR NO KEY UPDATE")
        row = await _with_others(connection, manager_id)
        if row["enabled"] != enabled:
            await _switch(connection, row, enabled)
    if not enabled:
        await evict(db, row["zone_key"])
    return EnabledChange(
        manager_id=manager_id,
        instance_id=row["instance_id"],
        zone_name=row["zone_name"],
        enabled=enabled,
        changed=row["enabled"] != enabled,
        warning=None if enabled else _warning(row),
    )


async def _with_others(connection: Connection, manager_id: str) -> dict[str, Any]:
    cursor = await connection.execute(
        "SELECT m.instance_id, m.enabled, z.zone_key, z.zone_name, count(o.*) AS others,"
        " count(o.*) FILTER (WHERE least(o.last_reported, coalesce(o.last_round, '-infinity'))"
        " >= clock_timestamp() - make_interval(secs => %s)) AS running_others"
        " FROM managers m JOIN zones z USING (zone_id)"
        " LEFT JOIN managers o ON o.zone_id = m.zone_id AND o.enabled AND o.manager_id <> m.manager_id"
        " WHERE m.manager_id = %s GROUP BY m.manager_id, z.zone_id",
        (RUNNING_WITHIN_S, manager_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such Manager; it may have been deleted.")
    return row


async def _switch(connection: Connection, row: dict[str, Any], enabled: bool) -> None:
    if not enabled and row["others"] == 0:
        raise LastEnabledManager(
            f"{row['instance_id']} is the last enabled Manager of zone {row['zone_name']}; "
            "enable another Manager of the zone first."
        )
    await connection.execute("UPDATE managers SET enabled = %s WHERE instance_id = %s", (enabled, row["instance_id"]))
    if not enabled:
        await connection.execute(
            "UPDATE zone_leases SET expires_at = '-infinity' WHERE zone_key = %s"
            " AND manager_id = (SELECT manager_id FROM managers WHERE instance_id = %s)",
            (row["zone_key"], row["instance_id"]),
        )
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"lease:{row['zone_key']}"))


def _warning(row: dict[str, Any]) -> str | None:
    if row["others"] == 0 or row["running_others"] > 0:
        return None
    return f"No other enabled Manager of zone {row['zone_name']} is running; nothing coordinates its Agents now."


_LIST: Final = (
    "SELECT m.manager_id::text, m.instance_id, m.hostname, m.version, m.enabled, m.first_reported, m.last_reported,"
    " m.zone_id::text, z.zone_name, m.gateway_url,"
    " CASE WHEN m.enabled AND least(m.last_reported, coalesce(m.last_round, '-infinity'))"
    " >= clock_timestamp() - make_interval(secs => %(within)s) THEN 'running' ELSE 'unknown' END AS status,"
    " (l.manager_id = m.manager_id AND l.expires_at > clock_timestamp()) IS TRUE AS is_primary, l.term"
    " FROM managers m JOIN zones z USING (zone_id) JOIN zone_leases l USING (zone_key)"
    " WHERE %(manager_id)s::uuid IS NULL OR m.manager_id = %(manager_id)s::uuid"
    " ORDER BY z.zone_name, m.first_reported, m.instance_id"
)


async def list_managers(db: Database, manager_id: str | None = None) -> list[dict[str, Any]]:
    """All Managers, or the one asked for, as `GET /managers` shows them; `term` is the zone's."""
    return await db.fetch(_LIST, {"within": RUNNING_WITHIN_S, "manager_id": manager_id})


async def find_manager(db: Database, name: str) -> str | None:
    """The manager_id for a manager_id or instance id."""
    row = await db.fetch_one(
        "SELECT manager_id::text FROM managers WHERE manager_id::text = %s OR instance_id = %s", (name, name)
    )
    return row["manager_id"] if row else None


async def delete_manager(db: Database, manager_id: str) -> None:
    """Remove the record of a Manager; a live one registers again as new.

    Raises:
        NotFound: no such Manager.
        LastEnabledManager: the zone would be left without an enabled Manager.
    """
    if not await db.write("DELETE FROM managers WHERE manager_id = %s RETURNING 1", (manager_id,)):
        raise NotFound("There is no such Manager; it may have been deleted.")
