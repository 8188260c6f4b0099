"""Workspaces, which the database calls images: their definitions, groups and uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.catalogue.fetch_methods import ImageProgress
from greenroom.core.errors import require_row
from greenroom.core.launch.placement import ImageState
from greenroom.core.listing import SortOrder
from greenroom.core.pool.rotation import Rollover
from greenroom.core.workspace.definition import Definition
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.listing import ListColumn, ListDefinition
from greenroom.db.rows import assignments, columns_of, insert_values, qualified, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOnAgentRow(ImageProgress):
    """The state of a workspace's image on one Agent."""

    agent_id: str
    hostname: str
    zone_name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRow(Definition):
    """A stored workspace. `facts` is the input for launches. `available`: an Agent has its image. `groups` are the ids
    of the groups whose members may use it. `warnings` are sentences about settings without effect."""

    image_id: str
    image_type: str
    created: datetime
    facts: ImageFacts
    zone_name: str | None
    filter_policy_name: str | None
    available: bool
    agents: list[ImageOnAgentRow]
    groups: list[str]
    client_fields: dict[str, Any]
    """The data that clients of the published interface store with the workspace."""
    warnings: tuple[str, ...] = ()


FIELDS: Final = columns_of(Definition)

MAX_NAMED_USERS: Final = 5

_JSON_FIELDS: Final = frozenset({"port_map", "run_config", "exec_config", "volume_mappings", "categories"})

IMAGE_FACTS: Final[LiteralString] = (
    "((to_jsonb(i) - 'docker_token_encrypted') || jsonb_build_object('filter_policy', i.filter_policy_id,"
    " 'only_zone_id', CASE WHEN i.restrict_to_zone THEN i.zone_id END,"
    " 'only_agent_id', CASE WHEN i.restrict_to_server THEN i.server_id END,"
    " 'cpu_mode', CASE WHEN CASE i.cpu_allocation_method WHEN 'Inherit'"
    "   THEN (SELECT value #>> '{}' FROM settings WHERE name = 'default_cpu_allocation_method')"
    "   ELSE i.cpu_allocation_method END = 'Quotas' THEN 'Quotas' ELSE 'Shares' END))"
)
"""SQL for the row `i` of an image as JSON for `ImageFacts`."""

BY_NAME: Final = SortOrder("name")
IMAGES: Final = ListDefinition(
    row_type=WorkspaceRow,
    noun="workspace",
    select=(
        qualified(FIELDS, "i") + ", i.image_id::text, i.zone_id::text, i.server_id::text,"
        " i.filter_policy_id::text, i.image_type, i.client_fields, i.created, i.revision, z.zone_name,"
        " p.name AS filter_policy_name,"
        " EXISTS (SELECT 1 FROM agent_images a WHERE a.name = i.name AND a.state = 'present') AS available,"
        " COALESCE((SELECT jsonb_agg(jsonb_build_object('agent_id', a.agent_id, 'hostname', a.hostname,"
        "   'zone_name', (SELECT n.zone_name FROM zones n WHERE n.zone_id = a.zone_id),"
        "   'state', r.state, 'how', r.how, 'reason', r.reason, 'progress', r.progress, 'digest', r.digest,"
        "   'size_bytes', r.size_bytes, 'error', r.error) ORDER BY a.hostname, a.agent_id)"
        "   FROM agent_images r JOIN agents a USING (agent_id) WHERE r.name = i.name), '[]') AS agents,"
        " ARRAY(SELECT g.group_id::text FROM group_images g WHERE g.image_id = i.image_id ORDER BY 1) AS groups,"
        f" {IMAGE_FACTS} AS facts"
    ),
    source=("FROM images i LEFT JOIN zones z USING (zone_id) LEFT JOIN filter_policies p USING (filter_policy_id)"),
    key="i.image_id",
    columns={"name": ListColumn("lower(i.friendly_name)")},
    order=BY_NAME,
)
list_images: Final = IMAGES.read
get_image: Final = IMAGES.get
lock_image: Final = IMAGES.lock
_INSERT: Final[LiteralString] = "INSERT INTO images " + insert_values(FIELDS) + " RETURNING image_id"
_UPDATE: Final[LiteralString] = (
    f"UPDATE images SET {assignments(FIELDS)}, revision = revision + %(increment)s"
    " WHERE image_id = %(image_id)s RETURNING 1"
)


async def may_use_image(db: Database, image_id: str, user_id: str) -> bool:
    """Return True if a group of the user may use the workspace."""
    row = await db.fetch_one(
        "SELECT 1 FROM group_images gi JOIN user_groups ug USING (group_id) WHERE gi.image_id = %s AND ug.user_id = %s",
        (image_id, user_id),
    )
    return row is not None


async def insert_image(connection: Connection, fields: Definition, group_ids: list[str]) -> str:
    """Store a new image for these groups; returns the id.

    Raises:
        Duplicate: the friendly name exists.
        Invalid: a zone or group does not exist.
    """
    cursor = await connection.execute(_INSERT, _values(fields))
    row = await returned_row(cursor)
    image_id = str(row["image_id"])
    await set_groups_of_image(connection, image_id, group_ids)
    return image_id


async def update_image(connection: Connection, image_id: str, fields: Definition, *, rollover: Rollover) -> None:
    """Store an image and apply `rollover` to its staged sessions. The failures of its pools are cleared, so that the
    pools try again immediately. The caller must have called `lock_image`.

    The configs are locked before `recycled` becomes the present time, so that all sessions of the old image are older.

    Raises:
        NotFound: the image does not exist.
        Duplicate: the friendly name exists.
        Invalid: a zone does not exist.
    """
    increment = int(rollover is Rollover.END)
    cursor = await connection.execute(_UPDATE, _values(fields) | {"image_id": image_id, "increment": increment})
    require_row(await cursor.fetchone(), "workspace", image_id)
    if rollover is not Rollover.KEEP:
        await connection.execute(
            "SELECT 1 FROM staging_configs WHERE image_id = %s ORDER BY staging_config_id FOR NO KEY UPDATE",
            (image_id,),
        )
        await connection.execute(
            "UPDATE staging_configs SET recycled = CASE WHEN %s THEN clock_timestamp() ELSE recycled END, failures = 0,"
            " last_error = NULL, next_try = NULL WHERE image_id = %s AND deleted IS NULL",
            (rollover is Rollover.REPLACE, image_id),
        )


async def add_client_fields(connection: Connection, image_id: str, fields: Mapping[str, Any]) -> None:
    """Add these values to the client fields of an image."""
    await connection.execute(
        "UPDATE images SET client_fields = client_fields || %s WHERE image_id = %s", (Jsonb(dict(fields)), image_id)
    )


async def set_groups_of_image(connection: Connection, image_id: str, group_ids: list[str]) -> None:
    """Allow exactly the members of these groups to use the image. Raises Invalid: a group does not exist."""
    await connection.execute(
        "DELETE FROM group_images WHERE image_id = %s AND group_id <> ALL(%s::uuid[])", (image_id, group_ids)
    )
    for group_id in sorted(group_ids):
        await connection.execute(
            "INSERT INTO group_images (group_id, image_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (group_id, image_id)
        )


async def request_refresh(db: Database, image_id: str) -> None:
    """Make all Agents pull the image from the registry again."""
    await db.write("UPDATE images SET refresh_requested = clock_timestamp() WHERE image_id = %s", (image_id,))


async def delete_image(connection: Connection, image_id: str) -> None:
    """Delete an unused image; its ended sessions and deleted staging configs are deleted with it.

    Raises:
        NotFound: there is no image with this id.
        Invalid: a session or staging config uses the image.
    """
    await connection.execute("DELETE FROM sessions WHERE image_id = %s AND status = 'deleted'", (image_id,))
    await connection.execute(
        "DELETE FROM staging_configs c WHERE image_id = %s AND deleted IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.staging_config_id = c.staging_config_id)",
        (image_id,),
    )
    cursor = await connection.execute("DELETE FROM images WHERE image_id = %s RETURNING 1", (image_id,))
    require_row(await cursor.fetchone(), "workspace", image_id)


def _values(fields: Definition) -> dict[str, Any]:
    values = values_of(Definition, fields)
    return values | {name: Jsonb(values[name]) for name in _JSON_FIELDS}


async def find_image(db: Database, id_or_name: str) -> str | None:
    """Return the id of the image with this id (with or without dashes) or friendly name; None if there is none."""
    row = await db.fetch_one(
        "SELECT image_id::text FROM images WHERE replace(image_id::text, '-', '') = replace(lower(%(name)s), '-', '')"
        " OR friendly_name = %(name)s ORDER BY friendly_name = %(name)s LIMIT 1",
        {"name": id_or_name},
    )
    return row["image_id"] if row else None


async def image_references(db: Database) -> list[str]:
    """Return the references of the images of all workspaces, each once."""
    return [row["name"] for row in await db.fetch("SELECT DISTINCT name FROM images ORDER BY name")]


async def names_of_images(db: Database, user_id: str) -> list[str]:
    """Return friendly names of the enabled images of the user's groups."""
    rows = await db.fetch(
        "SELECT friendly_name FROM images WHERE enabled AND image_id IN (SELECT gi.image_id FROM group_images gi"
        " JOIN user_groups ug USING (group_id) WHERE ug.user_id = %s) ORDER BY 1",
        (user_id,),
    )
    return [row["friendly_name"] for row in rows]


async def uses_of_image(db: Database, image_id: str) -> str:
    """Return the sessions and staging configs that use an image, as text, e.g. "2 sessions (ada, staged), 1 staging
    config (zone eu)"; empty if nothing uses it."""
    row = await db.fetch_one(
        "SELECT ARRAY(SELECT coalesce(u.username, 'staged') FROM sessions s LEFT JOIN users u USING (user_id)"
        "   WHERE s.image_id = %(id)s AND s.status <> 'deleted' ORDER BY 1) AS sessions,"
        " ARRAY(SELECT 'zone ' || z.zone_name FROM staging_configs c JOIN zones z USING (zone_id)"
        "   WHERE c.image_id = %(id)s AND c.deleted IS NULL ORDER BY 1) AS configs",
        {"id": image_id},
    )
    uses: dict[str, list[str]] = {"session": row["sessions"], "staging config": row["configs"]} if row else {}
    return ", ".join(
        f"{len(names)} {noun}{'' if len(names) == 1 else 's'} ({_shortened_names(names)})"
        for noun, names in uses.items()
        if names
    )


def _shortened_names(names: list[str]) -> str:
    different = list(dict.fromkeys(names))
    omitted = len(different) - MAX_NAMED_USERS
    return ", ".join(different[:MAX_NAMED_USERS]) + (f" and {omitted} more" if omitted > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOffer:
    """The cores and the memory (bytes) that an Agent offers to sessions, and the folders of its host below which they
    may mount folders (None = not known)."""

    cores: float
    memory: int
    hostname: str
    image_state: ImageState
    image_error: str
    mount_folders: tuple[str, ...] | None = None


async def offers_for_image(db: Database, image_id: str) -> list[AgentOffer]:
    """Return the offers of the Agents that may run sessions of a workspace, without dead Agents and empty offers."""
    return await db.fetch_as(
        AgentOffer,
        "SELECT c.cores, c.memory, a.hostname, coalesce(r.error, '') AS image_error, coalesce(r.state,"
        " CASE WHEN EXISTS (SELECT 1 FROM agent_images o WHERE o.agent_id = a.agent_id) THEN 'absent'"
        " ELSE 'unknown' END) AS image_state, nullif(a.usage->'mount_folders', 'null') AS mount_folders"
        " FROM images i CROSS JOIN agents a JOIN agent_capacity c USING (agent_id)"
        " LEFT JOIN agent_images r ON r.agent_id = a.agent_id AND r.name = i.name"
        " WHERE i.image_id = %s AND a.status <> 'dead' AND c.cores > 0"
        " AND NOT (i.restrict_to_zone AND a.zone_id <> i.zone_id)"
        " AND NOT (i.restrict_to_server AND a.agent_id <> i.server_id) ORDER BY a.hostname, a.agent_id",
        (image_id,),
    )


async def mount_folders_of_agents(db: Database) -> list[tuple[str, list[str] | None]]:
    """Return the hostname and the `mount_folders` (as in `AgentOffer`) of all Agents, without dead Agents and empty
    offers."""
    rows = await db.fetch(
        "SELECT a.hostname, nullif(a.usage->'mount_folders', 'null') AS folders FROM agents a"
        " JOIN agent_capacity c USING (agent_id) WHERE a.status <> 'dead' AND c.cores > 0"
        " ORDER BY a.hostname, a.agent_id"
    )
    return [(row["hostname"], row["folders"]) for row in rows]
