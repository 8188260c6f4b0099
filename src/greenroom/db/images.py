"""Images (the administrator's "Workspaces"): what can be launched and how."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from greenroom.core.errors import NotFound
from greenroom.db.database import Connection, Database, returned

FIELDS: Final = (
    "name",
    "friendly_name",
    "description",
    "image_src",
    "enabled",
    "hidden",
    "cores",
    "memory",
    "memory_limit",
    "cpu_allocation_method",
    "docker_registry",
    "docker_user",
    "docker_token_encrypted",
    "port",
    "protocol",
    "auth_user",
    "run_config",
    "exec_config",
    "volume_mappings",
    "categories",
    "persistent_profile_path",
    "persistent_profile_config",
    "restrict_to_zone",
    "zone_id",
    "restrict_to_server",
    "server_id",
    "session_time_limit",
    "filter_policy_id",
)
"""The columns that can be set, in the order of the statements below."""

IN_THE_CONTAINER: Final = frozenset(
    {
        "name",
        "cores",
        "memory",
        "memory_limit",
        "cpu_allocation_method",
        "port",
        "protocol",
        "auth_user",
        "run_config",
        "exec_config",
        "volume_mappings",
        "restrict_to_zone",
        "zone_id",
        "restrict_to_server",
        "server_id",
        "filter_policy_id",
    }
)
"""A change of these makes staged sessions out of date, so `revision` grows."""

_JSON: Final = frozenset({"run_config", "exec_config", "volume_mappings", "categories", "persistent_profile_config"})

_SELECT: Final[LiteralString] = (
    "SELECT i.*, z.zone_name,"
    " EXISTS (SELECT 1 FROM agent_images a WHERE a.name = i.name AND a.state = 'present') AS available,"
    " ARRAY(SELECT g.group_id::text FROM group_images g WHERE g.image_id = i.image_id ORDER BY 1) AS groups"
    " FROM images i LEFT JOIN zones z USING (zone_id)"
)


async def list_images(db: Database) -> list[DictRow]:
    """All images, by friendly name; `available` = some Agent has it."""
    return await db.fetch(_SELECT + " ORDER BY lower(i.friendly_name)")


async def get_image(db: Database, image_id: str) -> DictRow:
    """One image.

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(_SELECT + " WHERE i.image_id = %s", (image_id,))
    if row is None:
        raise NotFound(f"There is no workspace {image_id}; it may have been deleted.")
    return row


async def list_launchable(db: Database, user_id: str) -> list[DictRow]:
    """Enabled, visible images of the user's groups; `ready` = a claimable session of it exists."""
    return await db.fetch(
        "SELECT i.image_id, i.name, i.friendly_name, i.description, i.image_src, i.categories,"
        " EXISTS (SELECT 1 FROM agent_images a WHERE a.name = i.name AND a.state = 'present') AS available,"
        " EXISTS (SELECT 1 FROM staging_configs c JOIN sessions s USING (staging_config_id)"
        "         JOIN agents a ON a.agent_id = s.agent_id"
        "         WHERE c.image_id = i.image_id AND c.deleted IS NULL AND NOT c.paused AND s.claimable AND a.enabled"
        "         AND a.status = 'running' AND (s.expires IS NULL OR s.expires > clock_timestamp())) AS ready"
        " FROM images i WHERE i.enabled AND NOT i.hidden AND EXISTS (SELECT 1 FROM group_images gi"
        " JOIN user_groups ug USING (group_id) WHERE gi.image_id = i.image_id AND ug.user_id = %s)"
        " ORDER BY lower(i.friendly_name)",
        (user_id,),
    )


async def insert_image(connection: Connection, fields: dict[str, Any], group_ids: list[str]) -> str:
    """Store a new image with all of `FIELDS`, for these groups; returns the id.

    Raises:
        Duplicate: the friendly name exists.
        Invalid: a zone or group does not exist.
    """
    cursor = await connection.execute(
        "INSERT INTO images (name, friendly_name, description, image_src, enabled, hidden, cores, memory, memory_limit,"
        " cpu_allocation_method, docker_registry, docker_user, docker_token_encrypted, port, protocol, auth_user,"
        " run_config, exec_config, volume_mappings, categories, persistent_profile_path, persistent_profile_config,"
        " restrict_to_zone, zone_id, restrict_to_server, server_id, session_time_limit, filter_policy_id)"
        " VALUES (%(name)s, %(friendly_name)s, %(description)s, %(image_src)s, %(enabled)s, %(hidden)s, %(cores)s,"
        " %(memory)s, %(memory_limit)s, %(cpu_allocation_method)s, %(docker_registry)s, %(docker_user)s,"
        " %(docker_token_encrypted)s, %(port)s, %(protocol)s, %(auth_user)s, %(run_config)s, %(exec_config)s,"
        " %(volume_mappings)s, %(categories)s, %(persistent_profile_path)s, %(persistent_profile_config)s,"
        " %(restrict_to_zone)s, %(zone_id)s, %(restrict_to_server)s, %(server_id)s, %(session_time_limit)s,"
        " %(filter_policy_id)s) RETURNING image_id",
        _values(fields),
    )
    row = await returned(cursor)
    image_id = str(row["image_id"])
    await set_groups_of_image(connection, image_id, group_ids)
    return image_id


async def update_image(connection: Connection, image_id: str, fields: dict[str, Any], *, outdates_staged: bool) -> None:
    """Store all of `FIELDS`; `revision` grows when staged sessions are out of date now.

    Raises:
        NotFound: it was deleted meanwhile.
        Duplicate: the friendly name exists.
        Invalid: a zone does not exist.
    """
    cursor = await connection.execute(
        "UPDATE images SET name = %(name)s, friendly_name = %(friendly_name)s, description = %(description)s,"
        " image_src = %(image_src)s, enabled = %(enabled)s, hidden = %(hidden)s, cores = %(cores)s,"
        " memory = %(memory)s, memory_limit = %(memory_limit)s, cpu_allocation_method = %(cpu_allocation_method)s,"
        " docker_registry = %(docker_registry)s, docker_user = %(docker_user)s,"
        " docker_token_encrypted = %(docker_token_encrypted)s, port = %(port)s, protocol = %(protocol)s,"
        " auth_user = %(auth_user)s, run_config = %(run_config)s, exec_config = %(exec_config)s,"
        " volume_mappings = %(volume_mappings)s, categories = %(categories)s,"
        " persistent_profile_path = %(persistent_profile_path)s,"
        " persistent_profile_config = %(persistent_profile_config)s, restrict_to_zone = %(restrict_to_zone)s,"
        " zone_id = %(zone_id)s, restrict_to_server = %(restrict_to_server)s, server_id = %(server_id)s,"
        " session_time_limit = %(session_time_limit)s, filter_policy_id = %(filter_policy_id)s,"
        " revision = revision + %(step)s WHERE image_id = %(image_id)s RETURNING 1",
        _values(fields) | {"image_id": image_id, "step": int(outdates_staged)},
    )
    if await cursor.fetchone() is None:
        raise NotFound(f"There is no workspace {image_id}; it may have been deleted.")


async def set_groups_of_image(connection: Connection, image_id: str, group_ids: list[str]) -> None:
    """Let exactly the members of these groups use the image.

    Raises:
        Invalid: a group does not exist.
    """
    await connection.execute(
        "DELETE FROM group_images WHERE image_id = %s AND group_id <> ALL(%s::uuid[])", (image_id, group_ids)
    )
    for group_id in sorted(group_ids):
        await connection.execute(
            "INSERT INTO group_images (group_id, image_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (group_id, image_id)
        )


async def delete_image(connection: Connection, image_id: str) -> None:
    """Delete an image that nothing uses; what remains of ended sessions and staging configs goes with it.

    Raises:
        NotFound: there is none with this id.
        Invalid: a session or staging config still uses it.
    """
    await connection.execute("DELETE FROM sessions WHERE image_id = %s AND status = 'deleted'", (image_id,))
    await connection.execute(
        "DELETE FROM staging_configs c WHERE image_id = %s AND deleted IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.staging_config_id = c.staging_config_id)",
        (image_id,),
    )
    cursor = await connection.execute("DELETE FROM images WHERE image_id = %s RETURNING 1", (image_id,))
    if await cursor.fetchone() is None:
        raise NotFound(f"There is no workspace {image_id}; it may have been deleted.")


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(fields[name]) if name in _JSON else fields[name] for name in FIELDS}


async def users_of_image(db: Database, image_id: str) -> str:
    """What uses an image, e.g. "2 sessions, 1 staging configs"; empty when nothing does."""
    row = await db.fetch_one(
        "SELECT (SELECT count(*) FROM sessions WHERE image_id = %(id)s AND status <> 'deleted') AS sessions,"
        " (SELECT count(*) FROM staging_configs WHERE image_id = %(id)s AND deleted IS NULL) AS configs",
        {"id": image_id},
    )
    counts = {"sessions": row["sessions"], "staging configs": row["configs"]} if row else {}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
