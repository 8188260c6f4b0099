"""The current supply of the installation for launches, read once for all callers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.launch.forecast import MeasuredStarts, Supply
from greenroom.core.launch.placement import ImageReadiness
from greenroom.core.launch.plan import LaunchZone, StagedPool
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.database import Database, rows_as
from greenroom.db.fleet.zones import LAUNCH_ZONE
from greenroom.db.launch.claims import CLAIMABLE_NOW
from greenroom.db.launch.ledger import read_agents
from greenroom.db.launch.on_demand import read_unready
from greenroom.db.pool.configs import STAGED_POOL
from greenroom.db.workspace.images import IMAGE_FACTS

MEASURED_STARTS: Final = 20
"""The expected start time is the median of this many starts."""

# A start counts from the row to the first usable moment, a hand-over from the claim to the Agent's acknowledgment.
MEASURED: Final[LiteralString] = """
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM l.started - l.created)) AS start_s,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM h.at - c.at)) AS hand_over_s
      FROM (SELECT s.session_id, s.created, s.started FROM sessions s
             WHERE s.image_id = i.image_id AND s.started IS NOT NULL ORDER BY s.created DESC LIMIT %(starts)s) l
      LEFT JOIN session_steps c ON c.session_id = l.session_id AND c.name = 'claimed'
      LEFT JOIN session_steps h ON h.session_id = l.session_id AND h.name = 'handed_over'"""
"""The columns of `core.launch.forecast.MeasuredStarts` for the workspace `i`."""

_IMAGES: Final[LiteralString] = f"""SELECT {IMAGE_FACTS} AS image, i.description, i.image_src, i.categories,
    EXISTS (SELECT 1 FROM agent_images a WHERE a.name = i.name AND a.state = 'present') AS available,
    to_jsonb(m) AS measured
  FROM images i CROSS JOIN LATERAL ({MEASURED}) m
 WHERE i.enabled AND NOT i.hidden ORDER BY lower(i.friendly_name)"""

_CLAIMABLE: Final[LiteralString] = (
    "SELECT s.staging_config_id::text, s.config_hash, count(*) AS number FROM sessions s JOIN agents a USING (agent_id)"
    " WHERE s.staging_config_id IS NOT NULL AND " + CLAIMABLE_NOW + " GROUP BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """An enabled, visible workspace: `image` for the launch, the other fields for the launcher."""

    image: ImageFacts
    description: str
    image_src: str
    categories: list[str]
    available: bool
    """True if an Agent has the image."""
    measured: MeasuredStarts


@dataclass(frozen=True, slots=True)
class WorkspaceSupply:
    """The workspaces by id, ordered by name, and the supply for them."""

    workspaces: dict[str, Workspace]
    supply: Supply


async def read_offer(db: Database) -> WorkspaceSupply:
    """Read the current supply for launches; the number of statements grows only with the zones."""
    zones = await db.fetch("SELECT " + LAUNCH_ZONE + " AS zone FROM zones z ORDER BY z.zone_key")
    launch_zones = rows_as(LaunchZone, (row["zone"] for row in zones))
    workspaces = await db.fetch_as(Workspace, _IMAGES, {"starts": MEASURED_STARTS})
    pools = await db.fetch(
        "SELECT c.image_id::text, " + STAGED_POOL + " AS pool FROM staging_configs c WHERE c.deleted IS NULL"
    )
    claimable = await db.fetch(_CLAIMABLE)
    states = await db.fetch(
        "SELECT name, agent_id::text, state AS image_state, error AS image_error, progress AS image_progress"
        " FROM agent_images"
    )
    return WorkspaceSupply(
        workspaces={workspace.image.image_id: workspace for workspace in workspaces},
        supply=Supply(
            zones=tuple(launch_zones),
            pools=_pools(pools),
            claimable={(row["staging_config_id"], row["config_hash"]): row["number"] for row in claimable},
            agents={zone.zone_id: await read_agents(db, zone.zone_id, "") for zone in launch_zones},
            image_states=_states(states),
            unready={zone.zone_id: await read_unready(db, zone.zone_id) for zone in launch_zones},
            measured={workspace.image.image_id: workspace.measured for workspace in workspaces},
        ),
    )


def _pools(rows: list[DictRow]) -> dict[str, list[StagedPool]]:
    pools: dict[str, list[StagedPool]] = defaultdict(list)
    for row in rows:
        pools[row["image_id"]] += rows_as(StagedPool, [row["pool"]])
    return pools


def _states(rows: list[DictRow]) -> dict[str, dict[str, ImageReadiness]]:
    """Name of the image → id of the Agent → that Agent's report of it."""
    states: dict[str, dict[str, ImageReadiness]] = defaultdict(dict)
    for row in rows:
        states[row["name"]] |= {report.agent_id: report for report in rows_as(ImageReadiness, [row])}
    return states
