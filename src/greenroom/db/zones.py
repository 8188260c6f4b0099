"""Zones: names, addresses and how their load is balanced."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.errors import NotFound, Refused
from greenroom.db.database import Connection, Database, returned

_SELECT: Final[LiteralString] = (
    "SELECT z.*,"
    " (SELECT count(*) FROM managers m WHERE m.zone_id = z.zone_id) AS num_managers,"
    " (SELECT count(*) FROM agents a WHERE a.zone_id = z.zone_id) AS num_agents,"
    " (SELECT count(*) FROM sessions s WHERE s.zone_id = z.zone_id AND s.status <> 'deleted') AS num_sessions"
    " FROM zones z"
)


async def list_zones(db: Database) -> list[DictRow]:
    """All zones by name."""
    return await db.fetch(_SELECT + " ORDER BY z.zone_name")


async def get_zone(db: Database, zone_id: str) -> DictRow:
    """One zone.

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(_SELECT + " WHERE z.zone_id = %s", (zone_id,))
    if row is None:
        raise NotFound(f"There is no zone {zone_id}; it may have been deleted.")
    return row


async def insert_zone(connection: Connection, fields: dict[str, Any]) -> str:
    """Store a new zone; returns the id.

    Raises:
        Duplicate: the name exists.
        Invalid: a value is not allowed.
    """
    cursor = await connection.execute(
        "INSERT INTO zones (zone_name, allow_origin_domain, upstream_auth_address, load_balancing_strategy,"
        " search_alternate_zones, proxy_connections, proxy_hostname, proxy_path, proxy_port)"
        " VALUES (%(zone_name)s, %(allow_origin_domain)s, %(upstream_auth_address)s, %(load_balancing_strategy)s,"
        " %(search_alternate_zones)s, %(proxy_connections)s, %(proxy_hostname)s, %(proxy_path)s, %(proxy_port)s)"
        " RETURNING zone_id",
        fields,
    )
    return str((await returned(cursor))["zone_id"])


async def update_zone(connection: Connection, zone_id: str, fields: dict[str, Any]) -> None:
    """Store all fields of a zone.

    Raises:
        NotFound: it was deleted meanwhile.
        Duplicate: the name exists.
        Invalid: a value is not allowed.
    """
    cursor = await connection.execute(
        "UPDATE zones SET zone_name = %(zone_name)s, allow_origin_domain = %(allow_origin_domain)s,"
        " upstream_auth_address = %(upstream_auth_address)s, load_balancing_strategy = %(load_balancing_strategy)s,"
        " search_alternate_zones = %(search_alternate_zones)s, proxy_connections = %(proxy_connections)s,"
        " proxy_hostname = %(proxy_hostname)s, proxy_path = %(proxy_path)s, proxy_port = %(proxy_port)s"
        " WHERE zone_id = %(zone_id)s RETURNING 1",
        fields | {"zone_id": zone_id},
    )
    if await cursor.fetchone() is None:
        raise NotFound(f"There is no zone {zone_id}; it may have been deleted.")


async def delete_zone(connection: Connection, zone: DictRow) -> None:
    """Delete a zone that nothing belongs to; what remains of its ended sessions and configs goes with it.

    Raises:
        Refused: it has Managers, Agents, sessions or staging configs.
    """
    used = [f"{zone[f'num_{what}']} {what}" for what in ("managers", "agents", "sessions") if zone[f"num_{what}"]]
    cursor = await connection.execute(
        "SELECT count(*) AS configs FROM staging_configs WHERE zone_id = %s AND deleted IS NULL", (zone["zone_id"],)
    )
    configs = (await returned(cursor))["configs"]
    if used or configs:
        used += [f"{configs} staging configs"] if configs else []
        raise Refused(f"Zone {zone['zone_name']} is in use: {', '.join(used)}. Remove or move them first.")
    await connection.execute("DELETE FROM sessions WHERE zone_id = %s AND status = 'deleted'", (zone["zone_id"],))
    await connection.execute("DELETE FROM staging_configs WHERE zone_id = %s", (zone["zone_id"],))
    await connection.execute("DELETE FROM zones WHERE zone_id = %s", (zone["zone_id"],))
