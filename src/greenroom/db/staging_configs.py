"""Staging configs: their fields, how full their pools are, and what the Primary needs to plan them."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import DictRow

from greenroom.core.errors import NotFound
from greenroom.db.database import Connection, Database, returned
from greenroom.db.launches import AGENTS_OF_ZONE

FIELDS: Final = (
    "num_sessions",
    "expiration",
    "paused",
    "allow_kasm_audio",
    "allow_kasm_uploads",
    "allow_kasm_downloads",
    "allow_kasm_clipboard_down",
    "allow_kasm_clipboard_up",
    "allow_kasm_microphone",
    "allow_kasm_gamepad",
    "allow_kasm_webcam",
)
"""What can be changed of a config; zone and image are fixed when it is made."""

# Current: unassigned, claimable, on an Agent that is not missing (CONTRACT). Without a Manager that reported lately
# nobody fills the pool, whatever the last Primary wrote down.
_SELECT: Final[LiteralString] = """
SELECT c.*, z.zone_name, z.zone_key, i.friendly_name AS image_friendly_name,
       (SELECT count(*) FROM sessions s JOIN agents a USING (agent_id) WHERE s.staging_config_id = c.staging_config_id
           AND s.claimable AND a.status = 'running' AND s.expires > clock_timestamp()) AS num_current_sessions,
       (SELECT count(*) FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL
           AND s.status IN ('requested', 'starting')) AS num_starting_sessions,
       EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = c.zone_id AND m.enabled
           AND m.last_reported > clock_timestamp() - interval '15 s'
           AND m.last_round > clock_timestamp() - interval '15 s') AS has_manager
  FROM staging_configs c JOIN zones z USING (zone_id) JOIN images i USING (image_id)
 WHERE c.deleted IS NULL
"""


async def list_configs(db: Database) -> list[DictRow]:
    """All configs by zone, workspace and age."""
    return await db.fetch(_SELECT + " ORDER BY z.zone_name, lower(i.friendly_name), c.created, c.staging_config_id")


async def get_config(db: Database, staging_config_id: str) -> DictRow:
    """One config.

    Raises:
        NotFound: there is none with this id.
    """
    row = await db.fetch_one(_SELECT + " AND c.staging_config_id = %s", (staging_config_id,))
    if row is None:
        raise NotFound(f"There is no staging config {staging_config_id}; it may have been deleted.")
    return row


async def insert_config(connection: Connection, fields: dict[str, Any]) -> str:
    """Store a new config with zone_id, image_id and all of `FIELDS`; returns the id.

    Raises:
        Duplicate: one with this zone, image and set of permissions exists.
        Invalid: zone or image do not exist.
    """
    cursor = await connection.execute(
        "INSERT INTO staging_configs (zone_id, image_id, num_sessions, expiration, paused, allow_kasm_audio,"
        " allow_kasm_uploads, allow_kasm_downloads, allow_kasm_clipboard_down, allow_kasm_clipboard_up,"
        " allow_kasm_microphone, allow_kasm_gamepad, allow_kasm_webcam) VALUES (%(zone_id)s, %(image_id)s,"
        " %(num_sessions)s, %(expiration)s, %(paused)s, %(allow_kasm_audio)s, %(allow_kasm_uploads)s,"
        " %(allow_kasm_downloads)s, %(allow_kasm_clipboard_down)s, %(allow_kasm_clipboard_up)s,"
        " %(allow_kasm_microphone)s, %(allow_kasm_gamepad)s, %(allow_kasm_webcam)s) RETURNING staging_config_id",
        fields,
    )
    return str((await returned(cursor))["staging_config_id"])


async def lock_config(connection: Connection, staging_config_id: str) -> DictRow:
    """Hold the config's row until commit: whoever counts its sessions does so in a later statement.

    Raises:
        NotFound: it was deleted.
    """
    cursor = await connection.execute(
        "SELECT * FROM staging_configs WHERE staging_config_id = %s AND deleted IS NULL FOR NO KEY UPDATE",
        (staging_config_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no staging config {staging_config_id}; it may have been deleted.")
    return row


async def update_config(connection: Connection, staging_config_id: str, fields: dict[str, Any]) -> None:
    """Store all of `FIELDS` of a locked config. Earlier failures are forgiven, so that it tries again at once.

    Raises:
        Duplicate: another config has this zone, image and set of permissions.
    """
    await connection.execute(
        "UPDATE staging_configs SET num_sessions = %(num_sessions)s, expiration = %(expiration)s, paused = %(paused)s,"
        " allow_kasm_audio = %(allow_kasm_audio)s, allow_kasm_uploads = %(allow_kasm_uploads)s,"
        " allow_kasm_downloads = %(allow_kasm_downloads)s, allow_kasm_clipboard_down = %(allow_kasm_clipboard_down)s,"
        " allow_kasm_clipboard_up = %(allow_kasm_clipboard_up)s, allow_kasm_microphone = %(allow_kasm_microphone)s,"
        " allow_kasm_gamepad = %(allow_kasm_gamepad)s, allow_kasm_webcam = %(allow_kasm_webcam)s,"
        " failures = 0, last_error = NULL, next_try = NULL WHERE staging_config_id = %(staging_config_id)s",
        fields | {"staging_config_id": staging_config_id},
    )


async def recycle_config(connection: Connection, staging_config_id: str) -> None:
    """Make all staged sessions of a locked config out of date, and forgive earlier failures."""
    await connection.execute(
        "UPDATE staging_configs SET revision = revision + 1, failures = 0, last_error = NULL, next_try = NULL"
        " WHERE staging_config_id = %s",
        (staging_config_id,),
    )


async def mark_deleted(connection: Connection, staging_config_id: str) -> None:
    """Take a locked config out of use; its row stays for the sessions that came from it."""
    await connection.execute(
        "UPDATE staging_configs SET deleted = clock_timestamp(), shortfall_code = NULL, shortfall_reason = NULL"
        " WHERE staging_config_id = %s",
        (staging_config_id,),
    )


async def group_sets_of_image(db: Database, image_id: str) -> list[DictRow]:
    """The different sets of groups of those who may use an image and log in: group_ids, number of users."""
    return await db.fetch(
        "SELECT group_ids, count(*) AS number FROM ("
        " SELECT ARRAY(SELECT ug.group_id::text FROM user_groups ug WHERE ug.user_id = u.user_id ORDER BY 1)"
        "  AS group_ids FROM users u WHERE NOT u.disabled AND EXISTS (SELECT 1 FROM group_images gi"
        "  JOIN user_groups m USING (group_id) WHERE gi.image_id = %s AND m.user_id = u.user_id)) sets"
        " GROUP BY group_ids",
        (image_id,),
    )


# For the Primary ------------------------------------------------------------------------------------------------------


async def pools_of_zone(db: Database, zone_id: str) -> list[str]:
    """Ids of the configs that may need something: those in use, and deleted ones with sessions left."""
    rows = await db.fetch(
        "SELECT c.staging_config_id::text FROM staging_configs c WHERE c.zone_id = %s AND (c.deleted IS NULL"
        " OR EXISTS (SELECT 1 FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL"
        "            AND s.status NOT IN ('deleting', 'deleted')))"
        " ORDER BY c.staging_config_id",
        (zone_id,),
    )
    return [row["staging_config_id"] for row in rows]


async def lock_pool(connection: Connection, staging_config_id: str) -> DictRow | None:
    """First statement of a pool's plan: hold the config's row; None = it is gone for good."""
    cursor = await connection.execute(
        "SELECT c.*, clock_timestamp() AS now FROM staging_configs c WHERE c.staging_config_id = %s FOR NO KEY UPDATE",
        (staging_config_id,),
    )
    return await cursor.fetchone()


async def look_at_pool(connection: Connection, staging_config_id: str) -> DictRow | None:
    """The config as `lock_pool` gives it, without holding it."""
    cursor = await connection.execute(
        "SELECT c.*, clock_timestamp() AS now FROM staging_configs c WHERE c.staging_config_id = %s",
        (staging_config_id,),
    )
    return await cursor.fetchone()


async def read_pool(connection: Connection, config: DictRow) -> DictRow:
    """Second statement: image, zone, sessions without a user, last success, counted after the lock."""
    cursor = await connection.execute(
        """
        SELECT (SELECT to_jsonb(i) - 'docker_token_encrypted' FROM images i WHERE i.image_id = %(image_id)s) AS image,
               (SELECT to_jsonb(z) FROM zones z WHERE z.zone_id = %(zone_id)s) AS zone,
               (SELECT max(s.created) FROM sessions s WHERE s.staging_config_id = %(staging_config_id)s
                   AND s.status <> 'deleted' AND s.started IS NOT NULL) AS last_success
        """,
        config,
    )
    return await returned(cursor)


async def read_pool_sessions(connection: Connection, staging_config_id: str) -> list[DictRow]:
    """The sessions a plan counts: without a user, not on their way out, not set aside for inspection."""
    cursor = await connection.execute(
        "SELECT session_id::text, agent_id::text, status, claimable, created, expires, config_hash, error"
        " FROM sessions WHERE staging_config_id = %s AND user_id IS NULL AND status NOT IN ('deleting', 'deleted')"
        " AND set_aside_for IS NULL ORDER BY created, session_id",
        (staging_config_id,),
    )
    return await cursor.fetchall()


async def read_pool_agents(connection: Connection, zone_id: str, image: str) -> list[DictRow]:
    """The Agents of the zone, as core.placement.AgentView has them."""
    cursor = await connection.execute(AGENTS_OF_ZONE, {"zone_id": zone_id, "image": image})
    return await cursor.fetchall()


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
