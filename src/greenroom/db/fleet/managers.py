"""Managers: their registration, heartbeats, and changes by administrators.

Heartbeats never write `enabled` or `zone_id`. Triggers on these two columns ensure that every zone has at least one
enabled Manager (docs/explanation/protocols.md §1, DISABLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, LiteralString

import psycopg

from greenroom.core.errors import LastEnabledManager, ManagerRuns, NotFound, SetupError
from greenroom.core.fleet.liveness import DAY_S, ManagerRecord
from greenroom.db.database import Connection, Database, row_as
from greenroom.db.fleet.leadership import REMAINING, end_expired_connections
from greenroom.db.notifications import ListenConnection

RUNNING_WITHIN_S: Final = 15.0
"""Maximum age of the last report and of the last finished round of a Manager with the status `running`."""

MANAGER_RUNS: Final[LiteralString] = (
    "m.enabled AND least(m.last_reported, coalesce(m.last_round, '-infinity'))"
    " >= clock_timestamp() - make_interval(secs => %(running_within_s)s)"
)
"""Condition on `managers m`: the Manager has the status `running`. The parameter is `RUNNING_WITHIN_S`."""

_INSTANCE_LOCK: Final = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerRow:
    """The record of a Manager at its registration, with its zone and the installation."""

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
    """The result of `set_enabled`. `others` is the number of other enabled Managers of the zone."""

    instance_id: str
    zone_key: int
    zone_name: str
    changed: bool
    others: int
    running_others: int


async def find_or_insert_manager(
    db: Database, instance_id: str, zone_name: str, hostname: str, version: str
) -> ManagerRow:
    """Find the record of this instance id, or create it as enabled. An existing record keeps its zone, `enabled` and
    first report. Raises SetupError: the zone of a new Manager does not exist."""
    await db.write(
        "INSERT INTO managers (instance_id, hostname, version, zone_id)"
        " SELECT %s, %s, %s, zone_id FROM zones WHERE %s = ANY(zone_name || former_names)"
        " ON CONFLICT (instance_id) DO NOTHING",
        (instance_id, hostname, version, zone_name),
    )
    row = await db.fetch_one_as(
        ManagerRow,
        "SELECT m.manager_id::text, m.manager_key, m.instance_id, m.enabled, m.zone_id::text, z.zone_key, z.zone_name,"
        " (SELECT installation_id::text FROM installation) AS installation_id"
        " FROM managers m JOIN zones z USING (zone_id) WHERE m.instance_id = %s",
        (instance_id,),
    )
    if row is None:
        raise SetupError(f"There is no zone named {zone_name}; create it, or set GREENROOM_ZONE to an existing one.")
    return row


async def store_manager_info(
    db: Database, manager_id: str, hostname: str, version: str, gateway_url: str, *, crash_loop: str
) -> None:
    """Store the host of this Manager, its URL for Agents, and the reason why it is crash-looping."""
    await db.write(
        "UPDATE managers SET hostname = %s, version = %s, gateway_url = %s, crash_loop = %s,"
        " last_reported = clock_timestamp() WHERE manager_id = %s",
        (hostname, version, gateway_url, crash_loop, manager_id),
    )


async def read_gateway_urls(db: Database) -> list[str]:
    """Return the addresses for Agents of all Managers; each can be a comma list."""
    rows = await db.fetch("SELECT DISTINCT gateway_url FROM managers WHERE gateway_url <> '' ORDER BY 1")
    return [row["gateway_url"] for row in rows]


async def lock_instance_id(connection: ListenConnection, manager_key: int, instance_id: str) -> None:
    """Take the lock of this instance id on the notification connection, for as long as the connection is open; wait up
    to 5 s for a previous process that is ending.

    Raises:
        SetupError: another live process has this instance id.
        psycopg.OperationalError: the connection was lost.
    """
    await connection.execute("SELECT set_config('lock_timeout', '5s', false)")
    try:
        await connection.execute("SELECT pg_advisory_lock(%s, %s)", (_INSTANCE_LOCK, manager_key))
    except psycopg.errors.LockNotAvailable as error:
        raise SetupError(
            f"Another Manager process with the instance id {instance_id} is running. Stop it, or give this "
            "Manager a separate folder (GREENROOM_MANAGER_DIR)."
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The result of a heartbeat. `remaining_s` is the remaining time of the leadership (`db.fleet.leadership`);
    `seen_term` the highest term that an Agent of the zone has seen; `server_age_s` the time since the start of
    PostgreSQL."""

    enabled: bool
    zone_id: str
    zone_name: str
    term: int
    remaining_s: float
    seen_term: int
    server_age_s: float


async def heartbeat(db: Database, manager_id: str, round_age_s: float | None, crash_loop: str = "") -> Heartbeat | None:
    """Store that this Manager is alive, the time since its last finished round, and the reason why it is crash-looping.
    None = its record was removed."""
    rows = await db.write(
        "UPDATE managers m SET last_reported = clock_timestamp(), crash_loop = %s,"
        " last_round = coalesce(clock_timestamp() - make_interval(secs => %s::double precision), last_round)"
        " FROM zones z JOIN zone_leases l USING (zone_key) WHERE m.manager_id = %s AND z.zone_id = m.zone_id"
        " RETURNING m.enabled, m.zone_id::text, z.zone_name, l.term, " + REMAINING + " AS remaining_s,"
        " (SELECT coalesce(max(a.manager_term), 0) FROM agents a WHERE a.zone_id = m.zone_id) AS seen_term,"
        " extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::double precision AS server_age_s",
        (crash_loop, round_age_s, manager_id),
    )
    return row_as(Heartbeat, rows[0]) if rows else None


async def set_enabled(db: Database, manager_id: str, enabled: bool) -> EnabledChange:
    """Enable or disable a Manager: DISABLE of docs/explanation/protocols.md §1, which also works if the Manager is
    frozen.

    Raises:
        NotFound: no such Manager.
        LastEnabledManager: the zone would have no enabled Manager.
    """
    async with db.transaction() as connection:
        await lock_zones(connection)
        cursor = await connection.execute(
            "SELECT me.instance_id, me.enabled <> %(enabled)s AS changed, z.zone_key, z.zone_name,"
            f" count(m.*) AS others, count(m.*) FILTER (WHERE {MANAGER_RUNS}) AS running_others"
            " FROM managers me JOIN zones z USING (zone_id)"
            " LEFT JOIN managers m ON m.zone_id = me.zone_id AND m.enabled AND m.manager_id <> me.manager_id"
            " WHERE me.manager_id = %(manager_id)s GROUP BY me.manager_id, z.zone_id",
            {"running_within_s": RUNNING_WITHIN_S, "manager_id": manager_id, "enabled": enabled},
        )
        change = row_as(EnabledChange, await cursor.fetchone())
        if change is None:
            raise NotFound("There is no such Manager; it may have been deleted.")
        if change.changed and not enabled and change.others == 0:
            raise LastEnabledManager(
                f"{change.instance_id} is the last enabled Manager of zone {change.zone_name}; "
                "enable another Manager of the zone first."
            )
        # Triggers end the leadership of a disabled Manager and notify.
        await connection.execute(
            "UPDATE managers SET enabled = %s WHERE manager_id = %s AND enabled <> %s", (enabled, manager_id, enabled)
        )
    if not enabled:
        await end_expired_connections(db, change.zone_key)
    return change


async def lock_zones(connection: Connection) -> None:
    """Lock all zones before a change of Managers. The triggers lock them in the same order, so that two changes cannot
    deadlock."""
    await connection.execute("SELECT 1 FROM zones ORDER BY zone_id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedManager:
    """A Manager, for administrators; `term` is the term of its zone."""

    manager_id: str
    instance_id: str
    hostname: str
    version: str
    enabled: bool
    first_reported: datetime
    last_reported: datetime
    zone_id: str
    zone_name: str
    gateway_url: str
    status: Literal["running", "unknown"]
    is_primary: bool
    term: int
    crash_loop: str

    @property
    def crash_looping(self) -> bool:
        return bool(self.crash_loop)

    @property
    def status_reason(self) -> str | None:
        return self.crash_loop or None


_LIST: Final = (
    "SELECT m.manager_id::text, m.instance_id, m.hostname, m.version, m.enabled, m.first_reported, m.last_reported,"
    " m.zone_id::text, z.zone_name, m.gateway_url,"
    " CASE WHEN " + MANAGER_RUNS + " THEN 'running' ELSE 'unknown' END AS status,"
    " (l.manager_id = m.manager_id AND l.expires_at > clock_timestamp()) IS TRUE AS is_primary, l.term, m.crash_loop"
    " FROM managers m JOIN zones z USING (zone_id) JOIN zone_leases l USING (zone_key)"
    " WHERE (%(manager_id)s::uuid IS NULL OR m.manager_id = %(manager_id)s::uuid)"
    " AND (%(zone_ids)s::uuid[] IS NULL OR m.zone_id = ANY(%(zone_ids)s::uuid[]))"
    " ORDER BY z.zone_name, m.instance_id"
)


async def list_managers(
    db: Database, manager_id: str | None = None, *, zone_ids: list[str] | None = None
) -> list[ListedManager]:
    """Return the Managers of all zones or of `zone_ids`, by zone; or one Manager."""
    return await db.fetch_as(
        ListedManager,
        _LIST,
        {"running_within_s": RUNNING_WITHIN_S, "manager_id": manager_id, "zone_ids": zone_ids},
    )


async def find_manager(db: Database, name: str) -> str | None:
    """Return the manager_id for a manager_id or instance id; None if there is no such Manager."""
    row = await db.fetch_one(
        "SELECT manager_id::text FROM managers WHERE manager_id::text = %s OR instance_id = %s", (name, name)
    )
    return row["manager_id"] if row else None


MANAGER_IS_LIVE: Final[LiteralString] = (
    "EXISTS (SELECT 1 FROM pg_locks p WHERE p.locktype = 'advisory' AND p.classid = 72 AND p.objsubid = 2"
    " AND p.objid = m.manager_key::oid AND p.granted"
    " AND p.database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
"""Condition on `managers m`: a process holds the lock of this instance id (`lock_instance_id`)."""


async def delete_manager(db: Database, manager_id: str, *, force: bool = False) -> None:
    """Remove the record of a Manager and end its leadership. A Manager that is alive registers again as a new Manager.

    Raises:
        NotFound: no such Manager.
        LastEnabledManager: the zone would have no enabled Manager.
        ManagerRuns: the process of the Manager is alive, and `force` is false.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "DELETE FROM managers m USING zones z WHERE m.manager_id = %s AND z.zone_id = m.zone_id"
            " RETURNING z.zone_key, m.instance_id, " + MANAGER_IS_LIVE + " AS is_live",
            (manager_id,),
        )
        row = await cursor.fetchone()
        if row is None:
            raise NotFound("There is no such Manager; it may have been deleted.")
        if row["is_live"] and not force:
            raise ManagerRuns(
                f"{row['instance_id']} is running: it would register again as a new, enabled record, and its "
                "First Reported Time would be lost. To take it out of service, disable it. To remove its record, "
                "stop its process first, or delete it with force."
            )
    await end_expired_connections(db, row["zone_key"])


async def read_records(db: Database, zone_id: str) -> list[ManagerRecord]:
    """Return the records of a zone's Managers."""
    return await db.fetch_as(
        ManagerRecord,
        "SELECT m.manager_id::text, m.instance_id, m.enabled, " + MANAGER_IS_LIVE + " AS is_live,"
        " extract(epoch FROM clock_timestamp() - m.last_reported)::double precision AS silent_s"
        " FROM managers m WHERE m.zone_id = %s ORDER BY m.instance_id",
        (zone_id,),
    )


async def remove_record(connection: Connection, manager_id: str, keep_days: float) -> bool:
    """Remove the record of a Manager that was silent for `keep_days`; False = it reported, or its process is alive. The
    caller must have called `lock_zones`. Raises LastEnabledManager: it is the last enabled Manager of its zone."""
    cursor = await connection.execute(
        "DELETE FROM managers m WHERE m.manager_id = %s AND NOT " + MANAGER_IS_LIVE + " AND"
        " m.last_reported < clock_timestamp() - make_interval(secs => %s) RETURNING 1",
        (manager_id, keep_days * DAY_S),
    )
    return await cursor.fetchone() is not None
