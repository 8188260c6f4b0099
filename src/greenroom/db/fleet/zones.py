"""Zones: names, addresses and load balancing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.errors import Refused, require_row
from greenroom.core.launch.placement import Strategy
from greenroom.core.workspace.spec_builder import ZoneFacts
from greenroom.db.database import Connection, Database, returned_row, row_as
from greenroom.db.fleet.managers import RUNNING_WITHIN_S, lock_zones
from greenroom.db.rows import assignments, columns_of, insert_values, json_object, qualified, values_of


@dataclass(frozen=True, slots=True)
class NamedZone:
    """The id and the current name of a zone."""

    zone_id: str
    zone_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """The settings of a zone that administrators can change."""

    zone_name: str
    allow_origin_domain: str
    upstream_auth_address: str
    load_balancing_strategy: Strategy
    search_alternate_zones: bool
    proxy_connections: bool
    proxy_hostname: str
    proxy_path: str
    proxy_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone(ZoneSettings):
    """A stored zone."""

    zone_id: str
    zone_key: int
    created: datetime

    @property
    def facts(self) -> ZoneFacts:
        return ZoneFacts(**values_of(ZoneFacts, self))


PROXY_JSON: Final = json_object(("proxy_connections", "proxy_hostname", "proxy_path", "proxy_port"), "z")
"""SQL for the fields of `ProxyFacts` of zone `z` as JSON, without `edge_url`."""
LAUNCH_ZONE: Final[LiteralString] = (
    json_object(("zone_key", "search_alternate_zones", "load_balancing_strategy", "former_names"), "z")
    + f" || jsonb_build_object('facts', {json_object(columns_of(ZoneFacts), 'z')}, 'proxy', {PROXY_JSON})"
)
"""SQL for zone `z` as JSON for `LaunchZone`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedZone(Zone):
    """A zone, and the numbers of its Managers, Agents and sessions."""

    num_managers: int
    num_agents: int
    num_sessions: int


_SETTABLE: Final = columns_of(ZoneSettings)

_COLUMNS: Final[LiteralString] = "SELECT z.zone_id::text, z.zone_key, z.created, " + qualified(_SETTABLE, "z")
_SELECT: Final[LiteralString] = (
    _COLUMNS + ","
    " (SELECT count(*) FROM managers m WHERE m.zone_id = z.zone_id) AS num_managers,"
    " (SELECT count(*) FROM agents a WHERE a.zone_id = z.zone_id) AS num_agents,"
    " (SELECT count(*) FROM sessions s WHERE s.zone_id = z.zone_id AND s.status <> 'deleted') AS num_sessions"
    " FROM zones z"
)


async def list_zones(db: Database, zone_ids: list[str] | None = None) -> list[ListedZone]:
    """Return all zones or those of `zone_ids`, by name."""
    return await db.fetch_as(
        ListedZone,
        _SELECT + " WHERE %(ids)s::uuid[] IS NULL OR z.zone_id = ANY(%(ids)s::uuid[]) ORDER BY z.zone_name",
        {"ids": zone_ids},
    )


async def get_zone(db: Database, zone_id: str) -> ListedZone:
    """Return the zone with this id. Raises NotFound: there is no such zone."""
    return require_row(
        await db.fetch_one_as(ListedZone, _SELECT + " WHERE z.zone_id = %s", (zone_id,)), "zone", zone_id
    )


async def lock_zone(connection: Connection, zone_id: str) -> Zone:
    """Lock all zones until the transaction ends, because a new name also changes the `former_names` of others.
    Return the zone with this id. Raises NotFound: there is no such zone."""
    await lock_zones(connection)
    cursor = await connection.execute(_COLUMNS + " FROM zones z WHERE z.zone_id = %s", (zone_id,))
    return require_row(row_as(Zone, await cursor.fetchone()), "zone", zone_id)


async def insert_zone(connection: Connection, new: ZoneSettings) -> str:
    """Store a new zone; returns the id. The name is removed from the former names of other zones.

    Raises:
        Duplicate: the name exists.
        Invalid: a value is not allowed.
    """
    await lock_zones(connection)
    cursor = await connection.execute(f"INSERT INTO zones {insert_values(_SETTABLE)} RETURNING zone_id", asdict(new))
    zone_id = str((await returned_row(cursor))["zone_id"])
    await _remove_former_name(connection, new.zone_name)
    return zone_id


async def update_zone(connection: Connection, zone: Zone) -> None:
    """Store the settings of a zone. A renamed zone is still found by its old names. The caller must have called
    `lock_zone`.

    Raises:
        NotFound: the zone does not exist.
        Duplicate: the name exists.
        Invalid: a value is not allowed.
    """
    cursor = await connection.execute(
        f"UPDATE zones SET {assignments(_SETTABLE)}"
        ", former_names = CASE WHEN zone_name = %(zone_name)s THEN former_names"
        "  ELSE array_append(former_names, zone_name) END"
        " WHERE zone_id = %(zone_id)s RETURNING 1",
        asdict(zone),
    )
    require_row(await cursor.fetchone(), "zone", zone.zone_id)
    await _remove_former_name(connection, zone.zone_name)


async def _remove_former_name(connection: Connection, name: str) -> None:
    """Remove the name from the former names of all zones. The caller must have locked the zones."""
    await connection.execute(
        "UPDATE zones SET former_names = array_remove(former_names, %(name)s) WHERE %(name)s = ANY(former_names)",
        {"name": name},
    )


_USES: Final[LiteralString] = """
SELECT 'Manager ' || instance_id AS what FROM managers WHERE zone_id = %(zone_id)s
    AND last_reported > clock_timestamp() - make_interval(secs => %(reported_within_s)s)
UNION ALL SELECT 'Agent ' || coalesce(nullif(hostname, ''), agent_id::text) FROM agents WHERE zone_id = %(zone_id)s
UNION ALL SELECT 'gateway ' || coalesce(nullif(hostname, ''), gateway_id::text) FROM gateways
    WHERE zone_id = %(zone_id)s
UNION ALL SELECT 'staging config of ' || i.friendly_name FROM staging_configs c JOIN images i USING (image_id)
    WHERE c.zone_id = %(zone_id)s AND c.deleted IS NULL
UNION ALL SELECT 'workspace ' || friendly_name || ', which is restricted to it' FROM images
    WHERE zone_id = %(zone_id)s AND restrict_to_zone
UNION ALL SELECT 'session ' || session_id || ' (' || status || ')' FROM sessions
    WHERE zone_id = %(zone_id)s AND status <> 'deleted'
"""
MAX_LISTED_USES: Final = 8
"""The maximum number of uses that the error of `delete_zone` names."""


async def delete_zone(connection: Connection, zone: Zone) -> None:
    """Delete a zone that is not in use, its Managers that do not report, and its ended sessions. Raises Refused: a
    Manager that reports, an Agent, a gateway, a session, a staging config or a workspace uses the zone."""
    parameters = {"zone_id": zone.zone_id, "reported_within_s": RUNNING_WITHIN_S}
    await lock_zones(connection)
    cursor = await connection.execute(_USES, parameters)
    uses = [row["what"] for row in await cursor.fetchall()]
    if uses:
        listed_uses = "; ".join(uses[:MAX_LISTED_USES])
        more_text = f"; and {len(uses) - MAX_LISTED_USES} more" if len(uses) > MAX_LISTED_USES else ""
        raise Refused(f"Zone {zone.zone_name} is in use: {listed_uses}{more_text}. Remove or move them first.")
    # A trigger refuses to delete the last enabled Manager of a zone with `had_manager`.
    await connection.execute("UPDATE zones SET had_manager = false WHERE zone_id = %(zone_id)s", parameters)
    await connection.execute("DELETE FROM managers WHERE zone_id = %(zone_id)s", parameters)
    await connection.execute("DELETE FROM sessions WHERE zone_id = %(zone_id)s AND status = 'deleted'", parameters)
    await connection.execute("DELETE FROM staging_configs WHERE zone_id = %(zone_id)s", parameters)
    await connection.execute("DELETE FROM zones WHERE zone_id = %(zone_id)s", parameters)
