"""Pools as the Primary plans them: what a plan depends on, for one locked config or for all of a zone at a look.

Statements of one reading go out together; their number does not depend on how many configs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.core.pool.backoff import AVOIDED_S, BREAKS_COUNT_S
from greenroom.db.database import Connection, returned
from greenroom.db.launch.claims import FRESH_AGENT_S
from greenroom.db.launch.eviction import count_waiting
from greenroom.db.launch.ledger import AGENTS_OF_ZONE
from greenroom.db.workspace.images import IMAGE_JSON

_CONFIG: Final[LiteralString] = "SELECT c.*, clock_timestamp() AS now FROM staging_configs c"

# Those in use, and deleted ones with sessions left.
_IN_WORK: Final[LiteralString] = """
 WHERE c.zone_id = %(zone_id)s AND (c.deleted IS NULL OR EXISTS (SELECT 1 FROM sessions s
    WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL
      AND s.status NOT IN ('deleting', 'deleted')))
"""

_IMAGES: Final[LiteralString] = (
    "SELECT i.image_id, " + IMAGE_JSON + " AS image FROM images i WHERE i.image_id = ANY(%(images)s)"
)

# Without a user, not being deleted, not quarantined for inspection.
_SESSIONS: Final[LiteralString] = """
SELECT staging_config_id, session_id::text, agent_id::text, status, claimable, created, expires, started,
       replaces::text, config_hash, error, started IS NOT NULL AS was_usable, cores, memory
  FROM sessions WHERE staging_config_id = ANY(%(configs)s) AND user_id IS NULL
   AND status NOT IN ('deleting', 'deleted') AND set_aside_for IS NULL
 ORDER BY created, session_id
"""

_TOTALS: Final[LiteralString] = """
SELECT staging_config_id, max(created) FILTER (WHERE started IS NOT NULL) AS last_success,
       count(*) FILTER (WHERE status = 'deleting' AND user_id IS NULL) AS leaving
  FROM sessions WHERE staging_config_id = ANY(%(configs)s) AND status <> 'deleted' GROUP BY 1
"""

_BROKEN: Final[LiteralString] = """
SELECT staging_config_id, created, broke, config_hash, COALESCE(error, 'no reason was given') AS error FROM sessions
 WHERE staging_config_id = ANY(%(configs)s) AND broke > clock_timestamp() - make_interval(secs => %(breaks_count_s)s)
"""

_FAILED_ON: Final[LiteralString] = """
SELECT staging_config_id, agent_id::text, config_hash, max(created) AS created FROM sessions
 WHERE staging_config_id = ANY(%(configs)s) AND created > clock_timestamp() - make_interval(secs => %(avoided_s)s)
   AND user_id IS NULL AND started IS NULL AND error IS NOT NULL GROUP BY 1, 2, 3
"""

_IMAGES_ON_AGENTS: Final[LiteralString] = """
SELECT r.agent_id::text, r.name, r.state AS image_state, r.error AS image_error, r.progress AS image_progress
  FROM agent_images r JOIN agents a USING (agent_id)
 WHERE a.zone_id = %(zone_id)s AND r.name IN (SELECT name FROM images WHERE image_id = ANY(%(images)s))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRows:
    """What the plans of some configs of one zone depend on, beside the configs themselves."""

    zone: DictRow
    images: Mapping[UUID, dict[str, Any]]
    """By image id."""
    sessions: Mapping[UUID, list[DictRow]]
    """By config, the oldest first."""
    successes: Mapping[UUID, datetime | None]
    """By config: when the newest session that ever became usable was created."""
    leaving: Mapping[UUID, int]
    """By config: how many sessions without a user are on their way out."""
    broken: Mapping[UUID, list[DictRow]]
    """By config: sessions that stopped working lately, while they were staged."""
    failed_on: Mapping[UUID, list[DictRow]]
    """By config: agent_id and config_hash of starts that failed lately, and when the newest of them was created."""
    agents: list[DictRow]
    """As core.launch.placement.AgentView has them, of an image that none of them holds."""
    agent_images: Mapping[str, list[DictRow]]
    """By name of the image: what each Agent said of it, agent_id and the fields of core.launch.placement.AgentView."""
    people_waiting: int
    """People whose launch was just refused in the zone for want of room."""


async def look_at_pools(connection: Connection, zone_id: str) -> list[DictRow]:
    """The configs of a zone that may need something, without holding them."""
    cursor = await connection.execute(_CONFIG + _IN_WORK + " ORDER BY c.staging_config_id", {"zone_id": zone_id})
    return await cursor.fetchall()


async def lock_pool(connection: Connection, zone_id: str, staging_config_id: str) -> DictRow | None:
    """First statement of a pool's plan: hold the config's row; None = the zone has no config with this id."""
    cursor = await connection.execute(
        _CONFIG + " WHERE c.staging_config_id::text = %s AND c.zone_id = %s FOR NO KEY UPDATE",
        (staging_config_id, zone_id),
    )
    return await cursor.fetchone()


async def read_pools(connection: Connection, zone_id: str, configs: Sequence[DictRow]) -> PoolRows:
    """All else that plans of these configs depend on; sessions are counted in a later statement than the lock's."""
    values = {
        "zone_id": zone_id,
        "configs": [config["staging_config_id"] for config in configs],
        "images": list({config["image_id"] for config in configs}),
        "image": "",
        "fresh_s": FRESH_AGENT_S,
        "avoided_s": AVOIDED_S,
        "breaks_count_s": BREAKS_COUNT_S,
    }
    async with connection.pipeline():
        zone = await connection.execute("SELECT * FROM zones WHERE zone_id = %(zone_id)s", values)
        images = await connection.execute(_IMAGES, values)
        sessions = await connection.execute(_SESSIONS, values)
        totals = await connection.execute(_TOTALS, values)
        broken = await connection.execute(_BROKEN, values)
        failed_on = await connection.execute(_FAILED_ON, values)
        agents = await connection.execute(AGENTS_OF_ZONE, values)
        agent_images = await connection.execute(_IMAGES_ON_AGENTS, values)
        waiting = await count_waiting(connection, zone_id)
    of_configs = {row["staging_config_id"]: row for row in await totals.fetchall()}
    return PoolRows(
        zone=await returned(zone),
        images={row["image_id"]: row["image"] for row in await images.fetchall()},
        sessions=_by("staging_config_id", await sessions.fetchall()),
        successes={config_id: row["last_success"] for config_id, row in of_configs.items()},
        leaving={config_id: row["leaving"] for config_id, row in of_configs.items()},
        broken=_by("staging_config_id", await broken.fetchall()),
        failed_on=_by("staging_config_id", await failed_on.fetchall()),
        agents=await agents.fetchall(),
        agent_images=_by("name", await agent_images.fetchall()),
        people_waiting=(await returned(waiting))["number"],
    )


def _by(name: str, rows: Sequence[DictRow]) -> dict[Any, list[DictRow]]:
    """Rows by the value of one column, which they lose."""
    groups: dict[Any, list[DictRow]] = {}
    for row in rows:
        groups.setdefault(row.pop(name), []).append(row)
    return groups


async def remember_plan(connection: Connection, staging_config_id: str, memory: dict[str, Any]) -> None:
    """Store what a plan remembers: shortfall_code, shortfall_reason, failures, last_error, next_try; if it changed."""
    await connection.execute(
        "UPDATE staging_configs SET shortfall_code = %(shortfall_code)s, shortfall_reason = %(shortfall_reason)s,"
        " failures = %(failures)s, last_error = %(last_error)s, next_try = %(next_try)s"
        " WHERE staging_config_id = %(staging_config_id)s"
        " AND (shortfall_code, shortfall_reason, failures, last_error, next_try) IS DISTINCT FROM"
        " (%(shortfall_code)s, %(shortfall_reason)s, %(failures)s, %(last_error)s, %(next_try)s)",
        memory | {"staging_config_id": staging_config_id},
    )
