"""Launches: what a user may choose, the snapshot a launch is planned on, and the ledger with every launch's trace.

The snapshot is read in one round trip. The ledger is shown page by page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from greenroom.core.launch.placement import AgentView
from greenroom.core.launch.plan import TraceStep
from greenroom.core.listing import Order, Word
from greenroom.db.database import Database
from greenroom.db.launch.claims import FRESH_AGENT_S
from greenroom.db.listing import Column, Conditions, Listing, Position
from greenroom.db.session.sessions import COUNTING, NUMBER_OF_USER
from greenroom.db.workspace.images import IMAGE_JSON

# Who launches, with the settings that apply; `counting` is `sessions.COUNTING`.
_LAUNCHER: Final[LiteralString] = (
    """
SELECT
  (SELECT to_jsonb(u) - 'password_hash' FROM users u WHERE u.user_id = %(user_id)s) AS launching_user,
  (SELECT to_jsonb(t) - 'ssh_private_key_encrypted' FROM user_attributes t WHERE t.user_id = %(user_id)s) AS attributes,
  COALESCE((SELECT jsonb_agg(jsonb_build_object('group_id', g.group_id, 'name', g.name, 'priority', g.priority,
      'settings', COALESCE((SELECT jsonb_object_agg(s.name, s.value) FROM group_settings s
                             WHERE s.group_id = g.group_id), '{}')))
    FROM groups g JOIN user_groups ug USING (group_id) WHERE ug.user_id = %(user_id)s), '[]') AS groups,
  """
    + NUMBER_OF_USER
    + " AS num_sessions"
)

_SNAPSHOT: Final[LiteralString] = (
    _LAUNCHER
    + """,
  (SELECT """
    + IMAGE_JSON
    + """ FROM images i WHERE i.image_id = %(image_id)s) AS image,
  EXISTS (SELECT 1 FROM group_images gi JOIN user_groups ug USING (group_id)
           WHERE gi.image_id = %(image_id)s AND ug.user_id = %(user_id)s) AS image_allowed,
  (SELECT jsonb_agg(to_jsonb(z) ORDER BY z.zone_key) FROM zones z) AS zones,
  COALESCE((SELECT jsonb_agg(to_jsonb(c)) FROM staging_configs c
             WHERE c.image_id = %(image_id)s AND c.deleted IS NULL), '[]') AS pools,
  (SELECT jsonb_build_object('session_id', COALESCE(s.superseded_by, s.session_id), 'body', s.idempotency_body)
     FROM sessions s WHERE s.user_id = %(user_id)s AND s.idempotency_key = %(idempotency_key)s) AS repeated
"""
)

_IMAGES_OF_USER: Final[LiteralString] = (
    _LAUNCHER
    + """,
  ARRAY(SELECT DISTINCT gi.image_id::text FROM group_images gi JOIN user_groups ug USING (group_id)
         WHERE ug.user_id = %(user_id)s) AS image_ids
"""
)

_AGENTS: Final[LiteralString] = """
SELECT a.agent_id::text, agent_name(a) AS hostname, a.status, a.enabled, a.draining, a.runtime_error, a.edge_url,
       COALESCE(a.last_reported < clock_timestamp() - make_interval(secs => %(fresh_s)s), true) AS silent,
       COALESCE(c.cores, 0) AS cores, COALESCE(c.overcommit, 1) AS overcommit, COALESCE(c.memory, 0) AS memory,
       COALESCE(c.cores_allocated, 0) AS cores_allocated, COALESCE(c.memory_allocated, 0) AS memory_allocated,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS sessions,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status = 'failed'
           AND s.set_aside_for IS NOT NULL) AS set_aside,
       (a.usage->>'disk_free_bytes')::bigint AS disk_free_bytes,
       COALESCE((a.usage->>'disk_kept_bytes')::bigint, 0) AS disk_kept_bytes,
       (a.usage->>'disk_free_inodes')::double precision AS disk_free_inodes,
       COALESCE(a.usage->'runtime_classes', '[]') AS runtime_classes,
       (a.usage->>'cpu')::double precision AS cpu_used,
       (a.usage->>'memory_bytes')::double precision / NULLIF(c.memory_reported, 0) AS memory_used,
       COALESCE(i.state, CASE WHEN EXISTS (SELECT 1 FROM agent_images r WHERE r.agent_id = a.agent_id) THEN 'absent'
                              ELSE 'unknown' END) AS image_state,
       COALESCE(i.error, '') AS image_error, COALESCE(i.progress, 0) AS image_progress
  FROM agents a LEFT JOIN agent_capacity c USING (agent_id)
  LEFT JOIN agent_images i ON i.agent_id = a.agent_id AND i.name = %(image)s
 WHERE a.zone_id = %(zone_id)s
 ORDER BY a.agent_id
"""
AGENTS_OF_ZONE: Final = _AGENTS
"""The Agents of zone `zone_id` with the state of image `image`: the fields of core.launch.placement.AgentView.
`fresh_s` is `claims.FRESH_AGENT_S`.
"""


async def read_launch(db: Database, user_id: str, image_id: str, idempotency_key: str | None) -> DictRow:
    """Everything a launch depends on except the Agents, which only a launch on demand needs.

    Columns: launching_user, attributes, image (None = there is none), groups, image_allowed, zones by creation, pools
    (staging configs of the image), repeated ({session_id, body} of an earlier request with the same key), num_sessions
    (those that count towards the user's limit).
    """
    row = await db.fetch_one(
        _SNAPSHOT,
        {"user_id": user_id, "image_id": image_id, "idempotency_key": idempotency_key, "counting": COUNTING},
    )
    if row is None:
        raise LookupError("a SELECT without FROM returned no row")
    return row


async def read_launcher(db: Database, user_id: str) -> DictRow:
    """What applies to all launches of a user: launching_user, attributes, groups, num_sessions, image_ids."""
    (row,) = await db.fetch(_IMAGES_OF_USER, {"user_id": user_id, "counting": COUNTING})
    return row


async def read_agents(db: Database, zone_id: str, image: str) -> list[AgentView]:
    """The Agents of a zone, with the state of the image of this name."""
    return await db.fetch_as(AgentView, _AGENTS, {"zone_id": zone_id, "image": image, "fresh_s": FRESH_AGENT_S})


async def read_ssh_keys(db: Database, user_id: str) -> tuple[str | None, bytes | None]:
    """The user's public key, and the encrypted private key; None for a missing one."""
    row = await db.fetch_one(
        "SELECT ssh_public_key, ssh_private_key_encrypted FROM user_attributes WHERE user_id = %s", (user_id,)
    )
    return (row["ssh_public_key"], row["ssh_private_key_encrypted"]) if row else (None, None)


async def record_failed_launch(
    db: Database, *, launch_id: str, user_id: str, image_id: str, steps: Sequence[TraceStep], duration_ms: float
) -> None:
    """Write a launch that nothing could serve into the ledger; successful ones are written with their session."""
    await db.write(
        "INSERT INTO launches (launch_id, user_id, image_id, outcome, steps, duration_ms)"
        " VALUES (%s, %s, %s, 'failed', %s, %s)",
        (launch_id, user_id, image_id, Jsonb(steps), duration_ms),
    )


async def launch_of_session(db: Database, session_id: str) -> DictRow | None:
    """The launch of a session: launch_id, outcome, steps, at, duration_ms; None for a staged one."""
    return await db.fetch_one(
        "SELECT l.launch_id::text, l.outcome, l.steps, l.at, l.duration_ms FROM launches l"
        " JOIN sessions s ON s.launch_id = l.launch_id WHERE s.session_id = %s",
        (session_id,),
    )


async def read_result(db: Database, session_id: str, user_id: str) -> DictRow | None:
    """status, auth_epoch, staging_config_id, agent_id, username and the proxy fields of a user's session."""
    return await db.fetch_one(
        "SELECT s.status, s.auth_epoch, s.staging_config_id, s.agent_id::text, u.username, z.proxy_connections,"
        " z.proxy_hostname, z.proxy_path, z.proxy_port, a.edge_url"
        " FROM sessions s JOIN users u USING (user_id) JOIN zones z ON z.zone_id = s.zone_id"
        " LEFT JOIN agents a ON a.agent_id = s.agent_id"
        " WHERE s.session_id = %s AND s.user_id = %s",
        (session_id, user_id),
    )


_LISTED: Final[LiteralString] = (
    "l.launch_id, l.session_id, l.user_id, u.username, l.image_id, i.friendly_name AS image_friendly_name, l.outcome,"
    " l.steps, l.at, l.duration_ms"
)
_LISTED_FROM: Final[LiteralString] = (
    "FROM launches l LEFT JOIN users u USING (user_id) LEFT JOIN images i USING (image_id)"
)

LAUNCHES: Final = Listing(
    {
        "time": Column("l.at", "timestamptz"),
        "user": Column("lower(COALESCE(u.username, ''))"),
        "workspace": Column("lower(COALESCE(i.friendly_name, ''))"),
        "outcome": Column("replace(l.outcome, '_', ' ')"),
        "reason": Column("COALESCE(l.steps -> -1 ->> 'reason', '')"),
        "session": Column("COALESCE(l.session_id::text, '')"),
        "duration": Column("l.duration_ms", "double precision"),
    },
    key="l.launch_id",
    source=_LISTED_FROM,
)

NEWEST_FIRST: Final = Order("time", descending=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFilter:
    """Which launches a list shows; None = any. `words`: all must match."""

    outcome: str | None = None
    user_id: UUID | None = None
    image_id: UUID | None = None
    words: Sequence[Word] = ()


async def list_launches(
    db: Database,
    wanted: LaunchFilter,
    *,
    order: Order = NEWEST_FIRST,
    after: Position | None = None,
    limit: int | None = None,
) -> list[DictRow]:
    """Launches that match, each with its `position` in this order; see `Listing.read`."""
    return await LAUNCHES.read(db, _LISTED, _list_conditions(wanted), order=order, after=after, limit=limit)


async def count_launches(db: Database, wanted: LaunchFilter) -> int:
    """How many launches match."""
    return await LAUNCHES.count(db, _list_conditions(wanted))


async def get_launch(db: Database, launch_id: UUID) -> DictRow | None:
    """One launch as `list_launches` has it."""
    return await db.fetch_one(f"SELECT {_LISTED} {_LISTED_FROM} WHERE l.launch_id = %s", (launch_id,))


def _list_conditions(wanted: LaunchFilter) -> Conditions:
    conditions = Conditions()
    if wanted.outcome is not None:
        conditions.add("l.outcome = %(outcome)s", outcome=wanted.outcome)
    if wanted.user_id is not None:
        conditions.add("l.user_id = %(user_id)s", user_id=wanted.user_id)
    if wanted.image_id is not None:
        conditions.add("l.image_id = %(image_id)s", image_id=wanted.image_id)
    LAUNCHES.require(conditions, wanted.words)
    return conditions


async def list_zones(db: Database) -> list[DictRow]:
    """Every zone by name."""
    return await db.fetch("SELECT zone_id, zone_name FROM zones ORDER BY lower(zone_name)")


async def list_images_with_profile(db: Database) -> list[str]:
    """Enabled images that have a persistent profile path."""
    rows = await db.fetch(
        "SELECT image_id::text FROM images WHERE enabled AND coalesce(persistent_profile_path, '') <> ''"
        " ORDER BY lower(friendly_name)"
    )
    return [row["image_id"] for row in rows]
