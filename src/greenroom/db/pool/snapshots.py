"""The input of the Primary's plans of pools, for one locked config or for all configs of a zone.

The statements of `read_pools` are sent together if the connection is in pipeline mode. Their number does not depend on
the number of configs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, TypeVar

from psycopg.rows import DictRow

from greenroom.core.launch.placement import ImageReadiness, PlacementAgent, Strategy
from greenroom.core.pool.model import BrokenSession, ConfigFields, PooledSession, ShortfallCode
from greenroom.core.pool.shortfalls import AVOIDED_S, BREAK_FORGOTTEN_S
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts
from greenroom.db.database import Connection, Database, returned_row, row_as, rows_as
from greenroom.db.fleet.liveness import TAKES_SESSIONS
from greenroom.db.launch.claims import CLAIMABLE, FRESH_AGENT_S
from greenroom.db.launch.on_demand import AGENTS_OF_ZONE, query_waiting_users
from greenroom.db.rows import assignments, columns_of, json_object, qualified, values_of
from greenroom.db.workspace.images import IMAGE_FACTS

T = TypeVar("T")
AgentsByImage = Mapping[str, tuple[PlacementAgent, ...]]
"""Image id → the Agents of a zone, each with the state of this image on the Agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlanState:
    """The state that a plan stores for the next plan of its pool."""

    shortfall_code: ShortfallCode | None
    shortfall_reason: str | None
    refill_code: ShortfallCode | None
    refill_reason: str | None
    failures: int
    last_error: str | None
    next_try: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigToPlan(ConfigFields):
    """The row of a config as a part of the input of its plan. `now` is the time of the database."""

    staging_config_id: str
    image_id: str
    recycled: datetime | None
    deleted: datetime | None
    plan_state: StoredPlanState
    now: datetime


_PLAN_STATE: Final = columns_of(StoredPlanState)
_CONFIG: Final[LiteralString] = (
    f"SELECT {qualified(columns_of(ConfigFields), 'c')}, c.staging_config_id::text, c.image_id::text, c.recycled,"
    f" c.deleted, clock_timestamp() AS now, {json_object(_PLAN_STATE, 'c')} AS plan_state FROM staging_configs c"
)

# Configs in use, and deleted configs that still have sessions.
_CONFIGS_TO_PLAN: Final[LiteralString] = """
 WHERE c.zone_id = %(zone_id)s AND (c.deleted IS NULL OR EXISTS (SELECT 1 FROM sessions s
    WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL
      AND s.status NOT IN ('deleting', 'deleted')))
"""

# Rows are compared by the transaction that wrote them (xmin). Rows of Agents change with every report, so only their
# relevant columns are compared. `readiness` is what the Agents of the zone would say to a further session of an image.
_CHECKSUMS: Final[LiteralString] = f"""
WITH readiness AS MATERIALIZED (
    SELECT i.image_id, bit_xor(hashtextextended(concat_ws(' ', a.agent_id, {TAKES_SESSIONS}, r.state, r.error,
           p.cores - p.cores_allocated >= i.cores AND p.memory - p.memory_allocated >= i.memory), 0)) AS sum
      FROM images i CROSS JOIN agents a LEFT JOIN agent_capacity p USING (agent_id)
      LEFT JOIN agent_images r ON r.agent_id = a.agent_id AND r.name = i.name
     WHERE a.zone_id = %(zone_id)s AND i.image_id IN (SELECT c.image_id FROM staging_configs c
           WHERE c.zone_id = %(zone_id)s AND c.deleted IS NULL)
     GROUP BY i.image_id
)
SELECT c.staging_config_id::text, hashtextextended(concat_ws(' ', c.xmin, i.xmin, z.xmin,
         (SELECT bit_xor(hashtextextended(concat_ws(' ', name, xmin), 0)) FROM settings),
         (SELECT r.sum FROM readiness r WHERE r.image_id = i.image_id),
         bit_xor(hashtextextended(concat_ws(' ', s.session_id, s.xmin, a.zone_id, a.status, a.enabled, a.draining,
           (SELECT r.changed FROM agent_images r WHERE r.agent_id = s.agent_id AND r.name = i.name)), 0))
       ), 0) AS sum
  FROM staging_configs c JOIN images i USING (image_id) JOIN zones z ON z.zone_id = c.zone_id
  LEFT JOIN sessions s ON s.staging_config_id = c.staging_config_id AND s.user_id IS NULL
                      AND s.status NOT IN ('deleting', 'deleted')
  LEFT JOIN agents a ON a.agent_id = s.agent_id
 WHERE c.zone_id = %(zone_id)s AND (c.deleted IS NULL OR s.session_id IS NOT NULL)
 GROUP BY c.staging_config_id, i.image_id, z.zone_id
 ORDER BY c.num_sessions - count(*) FILTER (WHERE s.claimable) DESC, c.staging_config_id
"""

_IMAGES: Final[LiteralString] = (
    "SELECT " + IMAGE_FACTS + " AS image FROM images i WHERE i.image_id = ANY(%(images)s::uuid[])"
)

# Sessions without a user, except sessions that are ending or quarantined.
_SESSIONS: Final[LiteralString] = f"""
SELECT staging_config_id::text, session_id::text, agent_id::text, status, {CLAIMABLE} AS claimable,
       created, expires, started, replaces::text, config_hash, error, started IS NOT NULL AS was_usable, cores, memory
  FROM sessions s WHERE staging_config_id = ANY(%(configs)s::uuid[]) AND user_id IS NULL
   AND status NOT IN ('deleting', 'deleted') AND set_aside_for IS NULL
 ORDER BY created, session_id
"""

_TOTALS: Final[LiteralString] = """
SELECT staging_config_id::text, max(created) FILTER (WHERE started IS NOT NULL) AS last_success,
       count(*) FILTER (WHERE status = 'deleting' AND user_id IS NULL) AS leaving
  FROM sessions WHERE staging_config_id = ANY(%(configs)s::uuid[]) AND status <> 'deleted' GROUP BY 1
"""

_BROKEN: Final[LiteralString] = """
SELECT staging_config_id::text, created, broke, config_hash, COALESCE(error, 'no reason was given') AS error
  FROM sessions WHERE staging_config_id = ANY(%(configs)s::uuid[])
   AND broke > clock_timestamp() - make_interval(secs => %(break_forgotten_s)s)
"""

_FAILED_ON: Final[LiteralString] = """
SELECT staging_config_id::text, agent_id::text, config_hash, max(created) AS created FROM sessions
 WHERE staging_config_id = ANY(%(configs)s::uuid[])
   AND created > clock_timestamp() - make_interval(secs => %(avoided_s)s)
   AND user_id IS NULL AND started IS NULL AND error IS NOT NULL GROUP BY 1, 2, 3
"""

_IMAGES_ON_AGENTS: Final[LiteralString] = """
SELECT r.agent_id::text, i.image_id::text, r.state AS image_state, r.error AS image_error,
       r.progress AS image_progress, r.changed AS image_changed
  FROM agent_images r JOIN agents a USING (agent_id) JOIN images i USING (name)
 WHERE a.zone_id = %(zone_id)s AND i.image_id = ANY(%(images)s::uuid[])
"""


_ZONE: Final[LiteralString] = """
SELECT zone_id::text, zone_name, allow_origin_domain, upstream_auth_address, load_balancing_strategy AS strategy
  FROM zones WHERE zone_id = %(zone_id)s
"""


@dataclass(frozen=True, slots=True)
class FailedStart:
    """Recent failed starts with one `config_hash` on one Agent; `created` is the creation time of the newest."""

    agent_id: str
    config_hash: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRows:
    """The input of the plans of configs of one zone, without the rows of the configs.

    `images` are by image id; `sessions` (oldest first), `last_successes` (creation time of the newest session that was
    ever usable), `leaving` (number of ending sessions without a user), `broken` (staged sessions that stopped working
    recently) and `failed_on` (recent failed starts) are by config. `agents` are the Agents of the zone with the state
    of an image, by image id.
    """

    zone: ZoneFacts
    strategy: Strategy
    images: Mapping[str, ImageFacts]
    sessions: Mapping[str, Sequence[PooledSession]]
    last_successes: Mapping[str, datetime | None]
    leaving: Mapping[str, int]
    broken: Mapping[str, Sequence[BrokenSession]]
    failed_on: Mapping[str, Sequence[FailedStart]]
    agents: AgentsByImage
    num_waiting_users: int
    """Number of users whose launch was recently refused in the zone for lack of room."""


async def read_checksums(db: Database, zone_id: str) -> dict[str, int]:
    """Return the configs of a zone that may need a change, those that lack the most sessions first, each with a
    checksum of the rows on which the plan of a full pool depends."""
    rows = await db.fetch(_CHECKSUMS, {"zone_id": zone_id})
    return {row["staging_config_id"]: row["sum"] for row in rows}


async def find_configs_to_plan(
    connection: Connection, zone_id: str, config_ids: Collection[str] | None
) -> list[ConfigToPlan]:
    """Return the configs of a zone that may need a change: only `config_ids`, or all (None). No row is locked."""
    condition: LiteralString = "" if config_ids is None else " AND c.staging_config_id::text = ANY(%(ids)s)"
    cursor = await connection.execute(
        _CONFIG + _CONFIGS_TO_PLAN + condition + " ORDER BY c.staging_config_id",
        {"zone_id": zone_id, "ids": list(config_ids or ())},
    )
    return rows_as(ConfigToPlan, await cursor.fetchall())


async def lock_pool(connection: Connection, zone_id: str, staging_config_id: str) -> ConfigToPlan | None:
    """Lock the row of a config, as the first statement of a plan, and return it; None = the zone has no such config."""
    cursor = await connection.execute(
        _CONFIG + " WHERE c.staging_config_id::text = %s AND c.zone_id = %s FOR NO KEY UPDATE",
        (staging_config_id, zone_id),
    )
    return row_as(ConfigToPlan, await cursor.fetchone())


async def read_pools(
    connection: Connection, zone_id: str, configs: Sequence[ConfigToPlan], agents: AgentsByImage
) -> PoolRows:
    """Read the input of plans, except the rows of their configs. A plan that changes sessions must lock its config."""
    values = {
        "zone_id": zone_id,
        "configs": [config.staging_config_id for config in configs],
        "images": list({config.image_id for config in configs}),
        "avoided_s": AVOIDED_S,
        "break_forgotten_s": BREAK_FORGOTTEN_S,
    }
    zone = await connection.execute(_ZONE, values)
    images = await connection.execute(_IMAGES, values)
    sessions = await connection.execute(_SESSIONS, values)
    totals = await connection.execute(_TOTALS, values)
    broken = await connection.execute(_BROKEN, values)
    failed_on = await connection.execute(_FAILED_ON, values)
    waiting = await query_waiting_users(connection, zone_id)
    zone_row, total_rows, image_rows = await returned_row(zone), await totals.fetchall(), await images.fetchall()
    (facts,) = rows_as(ZoneFacts, [zone_row])
    return PoolRows(
        zone=facts,
        strategy=zone_row["strategy"],
        images={image.image_id: image for image in rows_as(ImageFacts, [row["image"] for row in image_rows])},
        sessions=_grouped_by("staging_config_id", PooledSession, await sessions.fetchall()),
        last_successes={row["staging_config_id"]: row["last_success"] for row in total_rows},
        leaving={row["staging_config_id"]: row["leaving"] for row in total_rows},
        broken=_grouped_by("staging_config_id", BrokenSession, await broken.fetchall()),
        failed_on=_grouped_by("staging_config_id", FailedStart, await failed_on.fetchall()),
        agents=agents,
        num_waiting_users=(await returned_row(waiting))["number"],
    )


async def read_agents(connection: Connection, zone_id: str, image_ids: Collection[str]) -> AgentsByImage:
    """Return image id → the Agents of a zone, each with the state of this image on the Agent."""
    values = {"zone_id": zone_id, "images": list(image_ids), "image": "", "fresh_s": FRESH_AGENT_S}
    agents = await connection.execute(AGENTS_OF_ZONE, values)
    images = await connection.execute(_IMAGES_ON_AGENTS, values)
    placement_agents = rows_as(PlacementAgent, await agents.fetchall())
    readiness = _grouped_by("image_id", ImageReadiness, await images.fetchall())
    agents_by_image: dict[str, tuple[PlacementAgent, ...]] = {}
    for image_id in image_ids:
        states = {state.agent_id: state for state in readiness.get(image_id, ())}
        agents_by_image[image_id] = tuple(agent.with_image(states.get(agent.agent_id)) for agent in placement_agents)
    return agents_by_image


def _grouped_by(name: str, kind: type[T], rows: Iterable[DictRow]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        groups[row[name]] += rows_as(kind, [row])
    return groups


async def store_plan_state(connection: Connection, staging_config_id: str, state: StoredPlanState) -> None:
    """Store the state that a plan computed, if it changed."""
    await connection.execute(
        "UPDATE staging_configs SET " + assignments(_PLAN_STATE) + " WHERE staging_config_id = %(staging_config_id)s"
        " AND (" + ", ".join(_PLAN_STATE) + ") IS DISTINCT FROM (%(" + ")s, %(".join(_PLAN_STATE) + ")s)",
        values_of(StoredPlanState, state) | {"staging_config_id": staging_config_id},
    )
