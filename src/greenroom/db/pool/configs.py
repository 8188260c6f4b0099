"""Staging configs: their fields, and the fill levels of their pools; `db.pool.snapshots` has the input of plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.errors import require_row
from greenroom.core.listing import SortOrder
from greenroom.core.pool.model import ConfigFields, Shortfall, ShortfallCode
from greenroom.core.pool.rotation import expiration_problem
from greenroom.core.pool.shortfalls import PoolState, effective_refill_problem, effective_shortfall, staging_obstacle
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts
from greenroom.db.database import Connection, Database, returned_row, row_as, rows_as
from greenroom.db.fleet.managers import MANAGER_RUNS, RUNNING_WITHIN_S
from greenroom.db.launch.claims import CLAIMABLE, CLAIMABLE_NOW, IS_STARTING
from greenroom.db.listing import Conditions, ListColumn, ListDefinition, ListPage, Position
from greenroom.db.rows import assignments, column_list, columns_of, insert_values, json_object, qualified, values_of
from greenroom.db.workspace.images import IMAGE_FACTS

FIELDS: Final = columns_of(ConfigFields)
STAGED_POOL: Final[LiteralString] = (
    json_object(("staging_config_id", "zone_id", "paused"), "c")
    + f" || jsonb_build_object('permissions', {json_object(STAGED_PERMISSIONS, 'c')})"
)
"""SQL for the config `c` as JSON for `StagedPool`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedConfig(ConfigFields):
    """A config whose row is locked."""

    zone_id: str
    image_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingConfig(ConfigFields):
    """A config with its workspace and zone, and the fill level of its pool."""

    staging_config_id: str
    zone_id: str
    zone_name: str
    zone_key: int
    zone: ZoneFacts
    image_id: str
    image_friendly_name: str
    image: ImageFacts
    shortfall_code: ShortfallCode | None
    shortfall_reason: str | None
    refill_code: ShortfallCode | None
    refill_reason: str | None
    failures: int
    last_error: str | None
    next_try: datetime | None
    created: datetime
    num_current_sessions: int
    num_starting_sessions: int
    start_s: float | None
    """The 95th percentile of the start times of its sessions; None = not known yet."""
    has_manager: bool
    hits_24h: int = 0
    misses_24h: int = 0

    @property
    def shortfall(self) -> Shortfall | None:
        return effective_shortfall(self.pool_state)

    @property
    def pool_state(self) -> PoolState:
        """The state of the pool from which `shortfall` is decided."""
        return PoolState(
            stored=Shortfall(self.shortfall_code, self.shortfall_reason or "") if self.shortfall_code else None,
            obstacle=staging_obstacle(self.image, self.zone),
            is_paused=self.paused,
            num_sessions=self.num_sessions,
            current=self.num_current_sessions,
            starting=self.num_starting_sessions,
            has_manager=self.has_manager,
            stored_refill_problem=Shortfall(self.refill_code, self.refill_reason or "") if self.refill_code else None,
        )

    @property
    def refill_problem(self) -> Shortfall | None:
        return effective_refill_problem(self.pool_state)

    @property
    def warning(self) -> str | None:
        problem = self.refill_problem
        texts = [problem.reason] if problem else []
        if expiration := expiration_problem(self.expiration, self.num_sessions, self.start_s):
            texts.append(expiration)
        return " ".join(texts) or None


# `num_current_sessions` excludes sessions on an Agent that is missing, disabled, draining or in another zone.
# `has_manager`: without a running Manager nothing fills the pool, and the shortfall of the last Primary is outdated.
BY_ZONE: Final = SortOrder("zone")
_CONFIGS: Final = ListDefinition(
    row_type=StagingConfig,
    select=f"""{qualified(FIELDS, "c")},
       c.staging_config_id::text, c.zone_id::text, c.image_id::text, c.shortfall_code, c.shortfall_reason,
       c.refill_code, c.refill_reason, c.failures, c.last_error, c.next_try, c.created, z.zone_name, z.zone_key,
       to_jsonb(z) AS zone, i.friendly_name AS image_friendly_name, {IMAGE_FACTS} AS image,
       (SELECT count(*) FROM sessions s JOIN agents a USING (agent_id) WHERE s.staging_config_id = c.staging_config_id
           AND {CLAIMABLE_NOW}) AS num_current_sessions,
       (SELECT count(*) FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL
           AND {IS_STARTING}) AS num_starting_sessions,
       (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM s.started - s.created)::float8)
          FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.status <> 'deleted') AS start_s,
       EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = c.zone_id AND {MANAGER_RUNS}) AS has_manager
""",
    source="""
  FROM staging_configs c LEFT JOIN zones z USING (zone_id) LEFT JOIN images i USING (image_id)
""",
    key="c.staging_config_id",
    columns={"zone": ListColumn("ARRAY[z.zone_name, lower(i.friendly_name)]", "text[]")},
    order=BY_ZONE,
)


async def list_configs(
    db: Database,
    *,
    zone_ids: list[str] | None = None,
    after: Position | None = None,
    limit: int | None = None,
    without_manager: bool = False,
) -> ListPage[StagingConfig]:
    """Return configs by zone and workspace, of all zones or of `zone_ids`. `without_manager`: only configs of zones
    without a running Manager."""
    conditions = Conditions()
    conditions.add("c.deleted IS NULL", running_within_s=RUNNING_WITHIN_S)
    if zone_ids is not None:
        conditions.add("c.zone_id = ANY(%(zone_ids)s::uuid[])", zone_ids=zone_ids)
    if without_manager:
        conditions.add("NOT EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = c.zone_id AND " + MANAGER_RUNS + ")")
    return await _CONFIGS.read(db, conditions, after=after, limit=limit)


async def get_config(db: Database, staging_config_id: str) -> StagingConfig:
    """Return the config with this id. Raises NotFound: there is no such config."""
    config = await _CONFIGS.find(
        db,
        "c.deleted IS NULL AND c.staging_config_id = %(staging_config_id)s",
        {"running_within_s": RUNNING_WITHIN_S, "staging_config_id": staging_config_id},
    )
    return require_row(config, "staging config", staging_config_id)


async def staged_workspaces_of_zone(db: Database, zone_id: str) -> list[str]:
    """Return friendly names of the workspaces with a staging config of at least one session in a zone."""
    rows = await db.fetch(
        "SELECT DISTINCT i.friendly_name FROM staging_configs c JOIN images i USING (image_id)"
        " WHERE c.zone_id = %s AND c.deleted IS NULL AND c.num_sessions > 0 ORDER BY 1",
        (zone_id,),
    )
    return [row["friendly_name"] for row in rows]


async def insert_config(connection: Connection, zone_id: str, image_id: str, fields: ConfigFields) -> str:
    """Store a new config; returns the id.

    Raises:
        Duplicate: a config with this zone, image and set of permissions exists.
        Invalid: the zone or the image does not exist.
    """
    cursor = await connection.execute(
        f"INSERT INTO staging_configs {insert_values(('zone_id', 'image_id', *FIELDS))} RETURNING staging_config_id",
        values_of(ConfigFields, fields) | {"zone_id": zone_id, "image_id": image_id},
    )
    return str((await returned_row(cursor))["staging_config_id"])


async def lock_config(connection: Connection, staging_config_id: str) -> LockedConfig:
    """Lock a config until commit and return it. Sessions that were created while this call waited for the lock are
    visible only to later statements. Raises NotFound: there is no such config."""
    cursor = await connection.execute(
        f"SELECT zone_id::text, image_id::text, {column_list(FIELDS)} FROM staging_configs"
        " WHERE staging_config_id = %s AND deleted IS NULL FOR NO KEY UPDATE",
        (staging_config_id,),
    )
    return require_row(row_as(LockedConfig, await cursor.fetchone()), "staging config", staging_config_id)


async def update_config(connection: Connection, staging_config_id: str, fields: ConfigFields) -> None:
    """Change a locked config. Earlier failures are cleared, so that the pool tries again immediately.

    A changed expiration also applies to existing staged sessions. Each session keeps at least half of the expiration as
    its remaining time, so that old sessions can be replaced one at a time. Raises Duplicate: another config has this
    zone, image and set of permissions.
    """
    values = values_of(ConfigFields, fields) | {"staging_config_id": staging_config_id}
    await connection.execute(
        "WITH locked AS MATERIALIZED (SELECT s.session_id FROM sessions s JOIN staging_configs c"
        "   USING (staging_config_id) WHERE c.staging_config_id = %(staging_config_id)s"
        "   AND c.expiration <> %(expiration)s AND s.user_id IS NULL"
        "   AND s.status IN ('requested', 'starting', 'running') ORDER BY s.session_id FOR NO KEY UPDATE OF s)"
        " UPDATE sessions SET expires = GREATEST(created + %(expiration)s * interval '1 h',"
        " clock_timestamp() + %(expiration)s * interval '1 h' / 2)"
        " WHERE session_id IN (SELECT session_id FROM locked) AND user_id IS NULL",
        values,
    )
    await connection.execute(
        "UPDATE staging_configs SET " + assignments(FIELDS) + ", failures = 0, last_error = NULL, next_try = NULL"
        " WHERE staging_config_id = %(staging_config_id)s",
        values,
    )


async def recycle_config(connection: Connection, staging_config_id: str) -> None:
    """Request the replacement of a locked config's staged sessions (`core.pool.rotation`), and clear its failures."""
    await connection.execute(
        "UPDATE staging_configs SET recycled = clock_timestamp(), failures = 0, last_error = NULL, next_try = NULL"
        " WHERE staging_config_id = %s",
        (staging_config_id,),
    )


async def record_shortfall(db: Database, staging_config_id: str, code: str, reason: str) -> bool:
    """Store the shortfall of a pool if its stored code differs; False = another process has stored it."""
    rows = await db.write(
        "UPDATE staging_configs SET shortfall_code = %(code)s, shortfall_reason = %(reason)s"
        " WHERE staging_config_id = %(staging_config_id)s AND deleted IS NULL"
        " AND shortfall_code IS DISTINCT FROM %(code)s RETURNING 1",
        {"staging_config_id": staging_config_id, "code": code, "reason": reason},
    )
    return bool(rows)


async def mark_deleted(connection: Connection, staging_config_id: str) -> None:
    """Delete a locked config; its row remains for the sessions that were created from it."""
    await connection.execute(
        "UPDATE staging_configs SET deleted = clock_timestamp(), shortfall_code = NULL, shortfall_reason = NULL"
        " WHERE staging_config_id = %s",
        (staging_config_id,),
    )


@dataclass(frozen=True, slots=True)
class GroupSet:
    """A set of groups, and the number of users who are in exactly these groups."""

    group_ids: tuple[str, ...]
    number: int


async def group_sets_of_image(db: Database, image_id: str) -> list[GroupSet]:
    """Return the distinct sets of groups of the users who may use an image and log in."""
    return await db.fetch_as(
        GroupSet,
        "SELECT group_ids, count(*) AS number FROM ("
        " SELECT ARRAY(SELECT ug.group_id::text FROM user_groups ug WHERE ug.user_id = u.user_id ORDER BY 1)"
        "  AS group_ids FROM users u WHERE NOT u.disabled AND NOT u.locked AND EXISTS (SELECT 1 FROM group_images gi"
        "  JOIN user_groups m USING (group_id) WHERE gi.image_id = %s AND m.user_id = u.user_id)) sets"
        " GROUP BY group_ids",
        (image_id,),
    )


@dataclass(frozen=True, slots=True)
class UserCount:
    """The users who can log in: those in one of some groups, and all of them."""

    in_groups: int
    number: int


async def count_users(db: Database, group_ids: Sequence[str]) -> UserCount:
    """Return the number of users in at least one of these groups, and of all users."""
    (row,) = await db.fetch_as(
        UserCount,
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM user_groups m WHERE m.user_id = u.user_id"
        " AND m.group_id = ANY(%s::uuid[]))) AS in_groups, count(*) AS number FROM users u"
        " WHERE NOT u.disabled AND NOT u.locked",
        (list(group_ids),),
    )
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFill:
    """The fill level and shortfall of a pool. `age_s` is the age of its oldest claimable session; None = no session is
    claimable."""

    staging_config_id: str
    zone_name: str
    workspace: str
    num_sessions: int
    current: int
    starting: int
    age_s: float | None
    shortfall: Shortfall | None
    refill_problem: Shortfall | None


POOL_FILLS: Final[LiteralString] = f"""
WITH staged AS (
    SELECT s.staging_config_id, count(*) FILTER (WHERE {CLAIMABLE_NOW}) AS current,
           min(s.created) FILTER (WHERE {CLAIMABLE}) AS oldest, count(*) FILTER (WHERE {IS_STARTING}) AS starting
      FROM sessions s LEFT JOIN agents a USING (agent_id)
     WHERE s.staging_config_id IS NOT NULL AND s.user_id IS NULL AND s.status <> 'deleted' GROUP BY 1
)
SELECT c.staging_config_id::text, c.zone_id::text, c.image_id::text, c.num_sessions, c.paused, c.shortfall_code,
       coalesce(c.shortfall_reason, '') AS shortfall_reason, c.refill_code,
       coalesce(c.refill_reason, '') AS refill_reason, coalesce(current, 0) AS current,
       coalesce(starting, 0) AS starting, extract(epoch FROM clock_timestamp() - oldest)::double precision AS age_s
  FROM staging_configs c LEFT JOIN staged USING (staging_config_id) WHERE c.deleted IS NULL
"""
"""Statement, or part of a statement, that selects the fill levels of all pools."""
_ZONES: Final[LiteralString] = (
    f"SELECT to_jsonb(z) AS facts, EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND {MANAGER_RUNS}"
    ") AS has_manager FROM zones z"
)
_IMAGES: Final[LiteralString] = (
    f"SELECT {IMAGE_FACTS}"
    " AS facts FROM images i WHERE image_id IN (SELECT image_id FROM staging_configs WHERE deleted IS NULL)"
)


async def list_pool_fills(db: Database) -> list[PoolFill]:
    """Return the fill levels of all pools."""
    pools = await db.fetch(POOL_FILLS)
    images = {image.image_id: image for image in rows_as(ImageFacts, [row["facts"] for row in await db.fetch(_IMAGES)])}
    zone_rows = await db.fetch(_ZONES, {"running_within_s": RUNNING_WITHIN_S})
    zones = {zone.zone_id: zone for zone in rows_as(ZoneFacts, [row["facts"] for row in zone_rows])}
    zones_with_manager = {row["facts"]["zone_id"] for row in zone_rows if row["has_manager"]}
    fills: list[PoolFill] = []
    for row in pools:
        image, zone = images.get(row["image_id"]), zones.get(row["zone_id"])
        if image is None or zone is None:
            continue  # the workspace or zone was deleted after `pools` was read, or is unreadable
        code: ShortfallCode | None = row["shortfall_code"]
        refill_code: ShortfallCode | None = row["refill_code"]
        state = PoolState(
            stored=Shortfall(code, row["shortfall_reason"]) if code else None,
            obstacle=staging_obstacle(image, zone),
            is_paused=row["paused"],
            num_sessions=row["num_sessions"],
            current=row["current"],
            starting=row["starting"],
            has_manager=zone.zone_id in zones_with_manager,
            stored_refill_problem=Shortfall(refill_code, row["refill_reason"]) if refill_code else None,
        )
        fills.append(
            PoolFill(
                staging_config_id=row["staging_config_id"],
                zone_name=zone.zone_name,
                workspace=image.friendly_name,
                num_sessions=row["num_sessions"],
                current=row["current"],
                starting=row["starting"],
                age_s=row["age_s"],
                shortfall=effective_shortfall(state),
                refill_problem=effective_refill_problem(state),
            )
        )
    return fills
