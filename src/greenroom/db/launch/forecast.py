"""What the installation could give to launches at this moment, read once for all who ask."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.launch.forecast import Measured, Supply
from greenroom.core.launch.plan import StagedPool
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db import row_mapping
from greenroom.db.database import Database
from greenroom.db.launch.claims import CLAIMABLE_NOW
from greenroom.db.launch.eviction import read_unready
from greenroom.db.launch.ledger import read_agents
from greenroom.db.workspace.images import IMAGE_JSON

MEASURED_STARTS: Final = 20
"""The expected start time is the median of this many starts."""

# A start counts from the row to the first usable moment, a hand-over from the claim to the Agent's acknowledgment.
_IMAGES: Final[LiteralString] = (
    "SELECT "
    + IMAGE_JSON
    + """ AS image, i.image_id::text, i.description, i.image_src, i.categories,
    EXISTS (SELECT 1 FROM agent_images a WHERE a.name = i.name AND a.state = 'present') AS available,
    m.start_s, m.hand_over_s
  FROM images i CROSS JOIN LATERAL (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM l.started - l.created)) AS start_s,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM h.at - c.at)) AS hand_over_s
      FROM (SELECT s.session_id, s.created, s.started FROM sessions s
             WHERE s.image_id = i.image_id AND s.started IS NOT NULL ORDER BY s.created DESC LIMIT %(starts)s) l
      LEFT JOIN session_steps c ON c.session_id = l.session_id AND c.name = 'claimed'
      LEFT JOIN session_steps h ON h.session_id = l.session_id AND h.name = 'handed_over') m
 WHERE i.enabled AND NOT i.hidden ORDER BY lower(i.friendly_name)"""
)

_CLAIMABLE: Final[LiteralString] = (
    "SELECT s.staging_config_id::text, s.config_hash, count(*) AS number FROM sessions s JOIN agents a USING (agent_id)"
    " WHERE s.staging_config_id IS NOT NULL AND " + CLAIMABLE_NOW + " GROUP BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """An enabled, visible workspace: `image` for the launch, the other columns for the launcher."""

    image: ImageFacts
    row: DictRow


@dataclass(frozen=True, slots=True)
class Offer:
    """The workspaces by id, ordered by name, and what there is for them."""

    workspaces: dict[str, Workspace]
    supply: Supply


async def read_offer(db: Database) -> Offer:
    """What could be launched now; the number of statements grows only with the zones."""
    zones = await db.fetch("SELECT * FROM zones ORDER BY zone_key")
    images = await db.fetch(_IMAGES, {"starts": MEASURED_STARTS})
    configs = await db.fetch("SELECT * FROM staging_configs WHERE deleted IS NULL")
    claimable = await db.fetch(_CLAIMABLE)
    states = await db.fetch(
        "SELECT name, agent_id::text, state AS image_state, error AS image_error, progress AS image_progress"
        " FROM agent_images"
    )
    zone_ids = [str(zone["zone_id"]) for zone in zones]
    return Offer(
        workspaces={row["image_id"]: Workspace(row_mapping.image_facts(row["image"]), row) for row in images},
        supply=Supply(
            zones=tuple(row_mapping.launch_zone(zone) for zone in zones),
            pools=_pools(configs),
            claimable={(row["staging_config_id"], row["config_hash"]): row["number"] for row in claimable},
            agents={zone_id: await read_agents(db, zone_id, "") for zone_id in zone_ids},
            image_states=_states(states),
            unready={zone_id: await read_unready(db, zone_id) for zone_id in zone_ids},
            measured={
                row["image_id"]: Measured(start_s=row["start_s"], hand_over_s=row["hand_over_s"]) for row in images
            },
        ),
    )


def _pools(configs: list[DictRow]) -> dict[str, list[StagedPool]]:
    pools: dict[str, list[StagedPool]] = defaultdict(list)
    for config in configs:
        pools[str(config["image_id"])].append(row_mapping.staged_pool(config))
    return pools


def _states(rows: list[DictRow]) -> dict[str, dict[str, dict[str, Any]]]:
    """Name of the image → id of the Agent → what that Agent reported of it."""
    states: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        states[row["name"]][row["agent_id"]] = {k: v for k, v in row.items() if k.startswith("image_")}
    return states
