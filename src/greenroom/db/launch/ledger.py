"""The ledger with the trace of every launch, and the input of launches: the snapshot from which one launch is planned,
the user of the launcher page, and the staged sessions and Agents that can serve launches (the supply).

The snapshot is read in one round trip. The ledger is read page by page. The supply is read once for all callers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from greenroom.core.launch.forecast import MeasuredStarts, Supply
from greenroom.core.launch.placement import ImageReadiness
from greenroom.core.launch.plan import LaunchZone, StagedPool, TraceStep, outcome_reason
from greenroom.core.launch.request import LaunchingUser, LaunchSnapshot
from greenroom.core.listing import SortOrder, Word
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.access.groups import GROUPS_OF_USER
from greenroom.db.access.users import USERNAME_REUSED, require_user
from greenroom.db.database import Database, rows_as
from greenroom.db.fleet.zones import LAUNCH_ZONE, NamedZone
from greenroom.db.launch.claims import CLAIMABLE_NOW
from greenroom.db.launch.on_demand import read_agents, read_starting_staged
from greenroom.db.listing import Conditions, ListColumn, ListDefinition, ListPage, Position, Total
from greenroom.db.pool.configs import STAGED_POOL
from greenroom.db.session.sessions import COUNTED_SESSIONS, COUNTED_STATUSES
from greenroom.db.workspace.images import IMAGE_FACTS

# The launching user, with the settings in force for them. The parameters are those of `sessions.COUNTED_SESSIONS`.
_USER_COLUMNS: Final[LiteralString] = f"""
SELECT
  u.username, {USERNAME_REUSED} AS username_reused, u.disabled, u.locked, t.preferred_language, t.preferred_timezone,
  COALESCE(t.ssh_public_key, '') <> '' OR t.ssh_private_key_encrypted IS NOT NULL AS has_ssh_keys,
  {GROUPS_OF_USER} AS groups, {COUNTED_SESSIONS} AS num_sessions"""

_FROM_USER: Final[LiteralString] = (
    " FROM users u LEFT JOIN user_attributes t USING (user_id) WHERE u.user_id = %(user_id)s"
)

LAUNCH_TARGETS: Final[LiteralString] = (
    f"(SELECT {IMAGE_FACTS} FROM images i WHERE i.image_id = %(image_id)s) AS image,"
    f" COALESCE((SELECT jsonb_agg({LAUNCH_ZONE} ORDER BY z.zone_key) FROM zones z), '[]') AS zones,"
    f" COALESCE((SELECT jsonb_agg({STAGED_POOL}"
    ") FROM staging_configs c WHERE c.image_id = %(image_id)s AND c.deleted IS NULL), '[]') AS pools"
)
"""The columns for launches of workspace `image_id`: `image`, `zones` in the order of their creation, and `pools`."""

_SNAPSHOT: Final[LiteralString] = f"""{_USER_COLUMNS},
  {LAUNCH_TARGETS},
  t.ssh_public_key, t.ssh_private_key_encrypted,
  EXISTS (SELECT 1 FROM group_images gi JOIN user_groups ug USING (group_id)
           WHERE gi.image_id = %(image_id)s AND ug.user_id = %(user_id)s) AS image_allowed,
  (SELECT jsonb_build_object('session_id', COALESCE(s.superseded_by, s.session_id), 'body', s.idempotency_body)
     FROM sessions s WHERE s.user_id = %(user_id)s AND s.idempotency_key = %(idempotency_key)s) AS repeated,
  (SELECT h.agent_id::text FROM homes h WHERE h.user_id = %(user_id)s AND h.image_id = %(image_id)s
     AND h.removal_id IS NULL ORDER BY h.last_used DESC, h.home_id LIMIT 1) AS home_agent_id{_FROM_USER}"""

_LATEST_LAUNCHES: Final[LiteralString] = "50"
"""The number of launches of the user in which the launcher looks for the latest launch of each workspace."""

_IMAGES_OF_USER: Final[LiteralString] = f"""{_USER_COLUMNS},
  ARRAY(SELECT DISTINCT gi.image_id::text FROM group_images gi JOIN user_groups ug USING (group_id)
         WHERE ug.user_id = %(user_id)s) AS image_ids,
  COALESCE((SELECT jsonb_object_agg(image_id, at) FROM (
    SELECT image_id, max(at) AS at FROM (
      SELECT image_id, at FROM launches WHERE user_id = %(user_id)s AND image_id IS NOT NULL AND outcome <> 'failed'
       ORDER BY at DESC, launch_id DESC LIMIT {_LATEST_LAUNCHES}) latest
     GROUP BY image_id) launched), '{{}}') AS last_launched{_FROM_USER}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOfLauncher(LaunchingUser):
    """The user of the launcher page. `image_ids` are the workspaces of the groups of the user. `last_launched` has the
    time of the latest launch of each workspace that the user launched recently."""

    image_ids: list[str]
    last_launched: dict[str, datetime]


async def read_launch_snapshot(
    db: Database, user_id: str, image_id: str, idempotency_key: str | None, *, leased: bool = False
) -> LaunchSnapshot:
    """Return the snapshot of a launch. `leased`: the launch is for a lease. Raises NotFound: there is no such user."""
    values = {
        "user_id": user_id,
        "image_id": image_id,
        "idempotency_key": idempotency_key,
        "counted_statuses": COUNTED_STATUSES,
        "leased": leased,
    }
    return require_user(await db.fetch_one_as(LaunchSnapshot, _SNAPSHOT, values), user_id)


async def read_user_of_launcher(db: Database, user_id: str) -> UserOfLauncher:
    """Return the user of the launcher page. Raises NotFound: there is no such user."""
    values = {"user_id": user_id, "counted_statuses": COUNTED_STATUSES, "leased": False}
    return require_user(await db.fetch_one_as(UserOfLauncher, _IMAGES_OF_USER, values), user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLaunch:
    """A launch that no pool or Agent could serve. Successful launches are stored together with their session."""

    launch_id: str
    user_id: str
    image_id: str
    steps: Sequence[TraceStep]
    duration_ms: float


FAILED_LAUNCHES: Final[LiteralString] = """
INSERT INTO launches (launch_id, user_id, image_id, outcome, steps, duration_ms)
SELECT launch_id, user_id, image_id, 'failed', steps, duration_ms
  FROM jsonb_populate_recordset(NULL::launches, %(rows)s)
"""
"""Statement that writes `FailedLaunch`es into the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLaunch:
    """A launch of the ledger; the objects that it names may be deleted."""

    launch_id: str
    session_id: str | None
    """None = the launch produced no session."""
    user_id: str | None
    username: str | None
    image_id: str | None
    image_friendly_name: str | None
    outcome: str
    steps: list[TraceStep]
    at: datetime
    duration_ms: float
    waited_ms: float | None
    """Time until the user could use the session or was refused; None = neither happened yet, or it is unknown."""

    @property
    def reason(self) -> str:
        return outcome_reason(self.steps)


WAITED_MS: Final[LiteralString] = (
    "l.duration_ms + CASE WHEN l.session_id IS NULL THEN 0 ELSE 1000 * extract(epoch FROM CASE l.outcome"
    " WHEN 'staged' THEN h.at WHEN 'on_demand' THEN s.started END - l.at) END"
)
"""SQL for `RecordedLaunch.waited_ms` of `launches l`, with the joins `WAITED_JOINS`."""
WAITED_JOINS: Final[LiteralString] = (
    " LEFT JOIN sessions s ON s.session_id = l.session_id"
    " LEFT JOIN session_steps h ON h.session_id = l.session_id AND h.name = 'handed_over'"
)

NEWEST_FIRST: Final = SortOrder("time", descending=True)
LAUNCHES: Final = ListDefinition(
    row_type=RecordedLaunch,
    select=(
        "l.launch_id::text, l.session_id::text, l.user_id::text, u.username, l.image_id::text,"
        " i.friendly_name AS image_friendly_name, l.outcome, l.steps, l.at, l.duration_ms,"
        f" {WAITED_MS} AS waited_ms"
    ),
    source=f"FROM launches l LEFT JOIN users u USING (user_id) LEFT JOIN images i USING (image_id){WAITED_JOINS}",
    key="l.launch_id",
    columns={
        "time": ListColumn("l.at", "timestamptz"),
        "user": ListColumn("lower(COALESCE(u.username, ''))", orders=False),
        "workspace": ListColumn(
            "lower(COALESCE(i.friendly_name, ''))",
            search_sql="l.image_id IN (SELECT image_id FROM images WHERE strpos(lower(friendly_name), {word}) > 0)",
            orders=False,
        ),
        "outcome": ListColumn("replace(l.outcome, '_', ' ')", orders=False),
        "reason": ListColumn("jsonb_path_query_array(l.steps, '$[*].reason')::text", orders=False),
        "session": ListColumn("COALESCE(l.session_id::text, '')", orders=False),
        "duration": ListColumn("l.duration_ms", "double precision"),
    },
    order=NEWEST_FIRST,
    filters={
        "outcome": "l.outcome = %(outcome)s",
        "user_id": "l.user_id = %(user_id)s",
        "image_id": "l.image_id = %(image_id)s",
        "since": "l.at >= %(since)s",
        "until": "l.at < %(until)s",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFilter:
    """The filter of a list of launches; None = any. `words`: all must match."""

    outcome: str | None = None
    user_id: UUID | None = None
    image_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: Sequence[Word] = ()


async def list_launches(
    db: Database,
    launch_filter: LaunchFilter,
    *,
    order: SortOrder = NEWEST_FIRST,
    after: Position | None = None,
    limit: int | None = None,
) -> ListPage[RecordedLaunch]:
    """Return the launches that match; see `ListDefinition.read`."""
    return await LAUNCHES.read(db, _conditions(launch_filter), order=order, after=after, limit=limit)


async def count_launches(db: Database, launch_filter: LaunchFilter) -> Total:
    """Return the number of launches that match."""
    return await LAUNCHES.count(db, _conditions(launch_filter), "time")


async def get_launch(db: Database, launch_id: UUID) -> RecordedLaunch | None:
    """Return the launch with this id; None = it is not in the ledger."""
    return await LAUNCHES.find(db, "l.launch_id = %s", (launch_id,))


async def launch_of_session(db: Database, session_id: str) -> RecordedLaunch | None:
    """Return the launch of a session; None for a staged session."""
    where: LiteralString = "l.launch_id = (SELECT s.launch_id FROM sessions s WHERE s.session_id = %s)"
    return await LAUNCHES.find(db, where, (session_id,))


def _conditions(launch_filter: LaunchFilter) -> Conditions:
    return LAUNCHES.matching(
        launch_filter.words,
        outcome=launch_filter.outcome,
        user_id=launch_filter.user_id,
        image_id=launch_filter.image_id,
        since=launch_filter.since,
        until=launch_filter.until,
    )


async def list_zones(db: Database) -> list[NamedZone]:
    """Return all zones by name."""
    return await db.fetch_as(NamedZone, "SELECT zone_id::text, zone_name FROM zones ORDER BY lower(zone_name)")


async def list_profile_paths(db: Database) -> list[tuple[str, str]]:
    """Return enabled images that have a persistent profile, each with its path."""
    rows = await db.fetch(
        "SELECT image_id::text, persistent_profile_path FROM images"
        " WHERE enabled AND coalesce(persistent_profile_path, '') <> '' ORDER BY lower(friendly_name)"
    )
    return [(row["image_id"], row["persistent_profile_path"]) for row in rows]


NUM_MEASURED_STARTS: Final = 20
"""The expected start time is the median of this many starts."""

# `start_s` is the time until a new session is usable, `hand_over_s` the time from a claim to its confirmation.
SELECT_MEASURED_STARTS: Final[LiteralString] = """
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
  FROM images i CROSS JOIN LATERAL ({SELECT_MEASURED_STARTS}) m
 WHERE i.enabled AND NOT i.hidden ORDER BY lower(i.friendly_name)"""

_CLAIMABLE: Final[LiteralString] = (
    "SELECT s.staging_config_id::text, s.config_hash, count(*) AS number FROM sessions s JOIN agents a USING (agent_id)"
    " WHERE s.staging_config_id IS NOT NULL AND " + CLAIMABLE_NOW + " GROUP BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """An enabled, visible workspace: `image` for the launch, the other fields for the launcher page."""

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


async def read_workspace_supply(db: Database) -> WorkspaceSupply:
    """Read the current supply for launches; the number of statements grows only with the zones."""
    zones = await db.fetch("SELECT " + LAUNCH_ZONE + " AS zone FROM zones z ORDER BY z.zone_key")
    launch_zones = rows_as(LaunchZone, (row["zone"] for row in zones))
    workspaces = await db.fetch_as(Workspace, _IMAGES, {"starts": NUM_MEASURED_STARTS})
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
            starting={zone.zone_id: await read_starting_staged(db, zone.zone_id) for zone in launch_zones},
            measured={workspace.image.image_id: workspace.measured for workspace in workspaces},
        ),
    )


def _pools(rows: list[DictRow]) -> dict[str, list[StagedPool]]:
    pools: dict[str, list[StagedPool]] = defaultdict(list)
    for row in rows:
        pools[row["image_id"]] += rows_as(StagedPool, [row["pool"]])
    return pools


def _states(rows: list[DictRow]) -> dict[str, dict[str, ImageReadiness]]:
    """Return image name → agent_id → the state of the image on this Agent."""
    states: dict[str, dict[str, ImageReadiness]] = defaultdict(dict)
    for row in rows:
        states[row["name"]] |= {report.agent_id: report for report in rows_as(ImageReadiness, [row])}
    return states
