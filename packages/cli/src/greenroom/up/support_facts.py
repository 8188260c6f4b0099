"""The facts about an installation for a support archive: counts, settings and log rows, but no rows of users, sessions
or secrets.

Log rows, and lines of logs, are reduced to an allow list of fields, because no list of the fields and sentences with
names or texts of people could be complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, LiteralString, cast

from greenroom.core.log_codes import is_security_event
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


_PRIVATE: Final[LiteralString] = (
    "SELECT text FROM users, LATERAL (VALUES (username), (first_name), (last_name),"
    " (nullif(concat_ws(' ', first_name, last_name), '')), (phone), (notes)) private (text)"
    " UNION SELECT url FROM webhooks"
    " UNION SELECT value #>> '{}' FROM group_settings WHERE jsonb_typeof(value) = 'string'"
)
TEXT: Final = "(text)"
"""Stands for a text that is not in the allow list of fields."""
SECURITY_EVENT: Final = "(the sentence of a security event)"
_SENTENCES: Final = ("message", "event")
_ALLOWED_FIELDS: Final = frozenset(
    {
        *_SENTENCES,
        *("time", "timestamp", "level", "component", "code", "process", "logger", "version"),
        *("zone_name", "zone", "session_id", "agent_id", "manager_id", "instance_id", "staging_config_id", "setting"),
        *("reason", "error", "exception", "stack", "part", "role", "file", "loop", "task", "path"),
    }
)
"""The fields of log rows, and of lines of logs, whose texts an archive contains."""


def allowed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a log row, or a line of a log, with the texts of allowed fields only. Numbers of all fields remain. A
    security event has no sentence, because it contains what people are called and what they typed."""
    details = row.get("details")
    has_details = isinstance(details, dict)
    is_security = is_security_event(
        "api", str(row.get("code", "")), cast("dict[str, Any]", details) if has_details else {}
    )
    return {
        name: SECURITY_EVENT
        if is_security and name in _SENTENCES
        else value
        if name in _ALLOWED_FIELDS
        else _without_texts(value)
        for name, value in row.items()
    }


def allowed_lines(text: str) -> str:
    """Return the lines of a log. Lines that are JSON objects have the allowed fields only."""
    return "\n".join(map(_allowed_line, text.split("\n")))


def _allowed_line(line: str) -> str:
    try:
        row = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        return line
    return line if row is None else json.dumps(allowed_row(row), ensure_ascii=False)


def _without_texts(value: object) -> object:
    """Return a JSON value with `TEXT` in place of each text. The names of fields remain."""
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value)
        return {name: _without_texts(part) for name, part in parts.items()}
    if isinstance(value, list):
        return [_without_texts(part) for part in cast("list[object]", value)]
    return TEXT if isinstance(value, str) and value else value


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
    """Return the latest log rows, the oldest first, with the allowed fields."""
    return [allowed_row(row) for row in reversed(await db.fetch(_LOGS, (limit,)))]


async def private_texts(db: Database) -> list[str]:
    """Return the names, telephone numbers and notes of users, the addresses of webhooks, and the texts of group
    settings, so that an archive can mask them in all files."""
    return [str(row["text"]) for row in await db.fetch(_PRIVATE) if row["text"]]


async def encrypted_values(db: Database) -> list[bytes]:
    """Return the ciphertexts of named secrets and registry tokens, so that an archive can mask their values."""
    return [bytes(row["value"]) for row in await db.fetch(_ENCRYPTED)]
