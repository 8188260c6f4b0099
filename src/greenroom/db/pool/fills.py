"""How full all pools are, for metrics: sessions are counted once for all, workspaces and zones read once each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.core.pool.model import Shortfall, ShortfallCode
from greenroom.core.pool.shortfalls import barrier, shown_shortfall
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts
from greenroom.db.database import Database, rows_as
from greenroom.db.fleet.managers import RUNNING_WITHIN_S, RUNS
from greenroom.db.launch.claims import CLAIMABLE, CLAIMABLE_NOW, COMING
from greenroom.db.workspace.images import IMAGE_FACTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFill:
    """How full a pool is, and why it is short; `age_s` is that of its oldest claimable session, None = it has none."""

    staging_config_id: str
    zone_name: str
    workspace: str
    num_sessions: int
    current: int
    coming: int
    age_s: float | None
    shortfall: Shortfall | None


_POOLS: Final[LiteralString] = (
    """
WITH staged AS (
    SELECT s.staging_config_id, count(*) FILTER (WHERE """
    + CLAIMABLE_NOW
    + """) AS current, min(s.created) FILTER (WHERE """
    + CLAIMABLE
    + """) AS oldest, count(*) FILTER (WHERE """
    + COMING
    + """) AS coming
      FROM sessions s LEFT JOIN agents a USING (agent_id)
     WHERE s.staging_config_id IS NOT NULL AND s.user_id IS NULL AND s.status <> 'deleted' GROUP BY 1
)
SELECT c.staging_config_id::text, c.zone_id::text, c.image_id::text, c.num_sessions, c.paused, c.shortfall_code,
       coalesce(c.shortfall_reason, '') AS shortfall_reason, coalesce(current, 0) AS current,
       coalesce(coming, 0) AS coming, extract(epoch FROM clock_timestamp() - oldest)::double precision AS age_s
  FROM staging_configs c LEFT JOIN staged USING (staging_config_id) WHERE c.deleted IS NULL
"""
)
_ZONES: Final[LiteralString] = (
    "SELECT to_jsonb(z) AS facts, EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND "
    + RUNS
    + ") AS has_manager FROM zones z"
)
_IMAGES: Final[LiteralString] = (
    "SELECT "
    + IMAGE_FACTS
    + " AS facts FROM images i WHERE image_id IN (SELECT image_id FROM staging_configs WHERE deleted IS NULL)"
)


async def list_fills(db: Database) -> list[PoolFill]:
    """All pools."""
    pools = await db.fetch(_POOLS)
    images = {image.image_id: image for image in rows_as(ImageFacts, [row["facts"] for row in await db.fetch(_IMAGES)])}
    zone_rows = await db.fetch(_ZONES, {"running_within_s": RUNNING_WITHIN_S})
    zones = {zone.zone_id: zone for zone in rows_as(ZoneFacts, [row["facts"] for row in zone_rows])}
    attended = {row["facts"]["zone_id"] for row in zone_rows if row["has_manager"]}
    made: list[PoolFill] = []
    for row in pools:
        image, zone = images.get(row["image_id"]), zones.get(row["zone_id"])
        if image is None or zone is None:
            continue  # it was made while this was read
        code: ShortfallCode | None = row["shortfall_code"]
        shortfall = shown_shortfall(
            Shortfall(code, row["shortfall_reason"]) if code else None,
            barred=barrier(image, zone),
            is_paused=row["paused"],
            num_sessions=row["num_sessions"],
            current=row["current"],
            coming=row["coming"],
            has_manager=zone.zone_id in attended,
        )
        made.append(
            PoolFill(
                staging_config_id=row["staging_config_id"],
                zone_name=zone.zone_name,
                workspace=image.friendly_name,
                num_sessions=row["num_sessions"],
                current=row["current"],
                coming=row["coming"],
                age_s=row["age_s"],
                shortfall=shortfall,
            )
        )
    return made
