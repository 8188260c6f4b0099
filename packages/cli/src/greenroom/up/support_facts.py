"""The facts about a database for a support archive: counts and settings, but no rows of users, sessions or secrets."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from greenroom.core.masking import MASK
from greenroom.db.database import Database
from greenroom.db.migrate import pending_files

LOG_ROWS: Final = 2000

QUERIES: Final[dict[str, LiteralString]] = {
    "server": (
        "SELECT version(), pg_database_size(current_database()) AS bytes, pg_postmaster_start_time()::text AS start"
    ),
    "migrations": "SELECT name, applied::text FROM schema_migrations ORDER BY name",
    "tables": (
        "SELECT relname AS table, n_live_tup AS estimated_rows, pg_total_relation_size(relid) AS bytes"
        " FROM pg_stat_user_tables ORDER BY relname"
    ),
    "counts": (
        "SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM groups) AS groups,"
        " (SELECT count(*) FROM api_keys) AS api_keys, (SELECT count(*) FROM images) AS workspaces,"
        " (SELECT count(*) FROM images WHERE enabled) AS enabled_workspaces,"
        " (SELECT count(*) FROM homes) AS homes, (SELECT count(*) FROM leases) AS leases,"
        " (SELECT count(*) FROM secrets) AS secrets, (SELECT count(*) FROM webhooks) AS webhooks"
    ),
    "sessions": (
        "SELECT status, staging_config_id IS NOT NULL AND user_id IS NULL AS staged, count(*)"
        " FROM sessions GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "installation_settings": "SELECT name, value FROM settings ORDER BY name",
    "zones": (
        "SELECT zone_name, allow_origin_domain, upstream_auth_address, load_balancing_strategy, search_alternate_zones,"
        " proxy_connections, proxy_hostname, proxy_path, proxy_port FROM zones ORDER BY zone_name"
    ),
    "managers": (
        "SELECT instance_id, hostname, version, zone_name, enabled, last_reported::text, last_round::text"
        " FROM managers JOIN zones USING (zone_id) ORDER BY instance_id"
    ),
    "agents": (
        "SELECT agent_id::text, hostname, zone_name, status, enabled, draining, last_reported::text, runtime_error,"
        " refused_reason FROM agents JOIN zones USING (zone_id) ORDER BY hostname, agent_id"
    ),
    "pools": (
        "SELECT staging_config_id::text, zone_name, friendly_name, num_sessions, expiration, paused, shortfall_code,"
        " shortfall_reason, failures, last_error FROM staging_configs JOIN zones USING (zone_id)"
        " JOIN images USING (image_id) WHERE staging_configs.deleted IS NULL ORDER BY zone_name, friendly_name"
    ),
}
"""Name of a part → its query. A query names its columns, so that new columns do not become part of archives."""

_GROUP_SETTINGS: Final[LiteralString] = (
    "SELECT groups.name AS group, group_settings.name AS name, value FROM group_settings JOIN groups USING (group_id)"
    " ORDER BY 1, 2"
)
_LOGS: Final[LiteralString] = (
    "SELECT time::text, level, component, code, message, zone_name, session_id::text, setting, details FROM logs"
    " ORDER BY log_id DESC LIMIT %s"
)
_ENCRYPTED: Final[LiteralString] = (
    "SELECT value_encrypted AS value FROM secrets UNION ALL SELECT docker_token_encrypted FROM images"
    " WHERE docker_token_encrypted IS NOT NULL"
)


async def support_facts(db: Database) -> dict[str, Any]:
    """Return name → rows of each part. Values of group settings that are texts or objects are masked, because they can
    contain variables. Raises GreenroomError: the database does not answer."""
    facts: dict[str, Any] = {name: await db.fetch(query) for name, query in QUERIES.items()}
    facts["pending_files"] = await pending_files(db.dsn)
    facts["group_settings"] = [
        {**row, "value": row["value"] if isinstance(row["value"], (bool, int, float)) else MASK}
        for row in await db.fetch(_GROUP_SETTINGS)
    ]
    return facts


async def recent_log_rows(db: Database, limit: int = LOG_ROWS) -> list[dict[str, Any]]:
    """Return the latest log rows, the oldest first, without the columns that contain users."""
    return list(reversed(await db.fetch(_LOGS, (limit,))))


async def encrypted_values(db: Database) -> list[bytes]:
    """Return the ciphertexts of named secrets and registry tokens, so that an archive can mask their values."""
    return [bytes(row["value"]) for row in await db.fetch(_ENCRYPTED)]
