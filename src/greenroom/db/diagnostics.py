"""What Diagnostics shows: log rows and the requests Managers answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from greenroom.db.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which log rows; None = any. `level` and above; `q` is looked for in the message, ignoring case."""

    level: str | None = None
    component: str | None = None
    code: str | None = None
    q: str | None = None
    since: datetime | None = None
    session_id: str | None = None
    staging_config_id: str | None = None


async def list_logs(db: Database, wanted: LogFilter, *, before: int | None, limit: int) -> list[DictRow]:
    """Rows that match, newest first; those with a log_id below `before`."""
    return await db.fetch(
        "SELECT log_id, time, level, component, code, message, zone_name, session_id, user_id, username,"
        " staging_config_id, setting, details FROM logs"
        " WHERE (%(before)s::bigint IS NULL OR log_id < %(before)s)"
        " AND (%(level)s::text IS NULL OR array_position(ARRAY['DEBUG', 'INFO', 'WARNING', 'ERROR'], level)"
        "      >= array_position(ARRAY['DEBUG', 'INFO', 'WARNING', 'ERROR'], %(level)s))"
        " AND (%(component)s::text IS NULL OR component = %(component)s)"
        " AND (%(code)s::text IS NULL OR code = %(code)s)"
        " AND (%(q)s::text IS NULL OR strpos(lower(message), lower(%(q)s)) > 0)"
        " AND (%(since)s::timestamptz IS NULL OR time >= %(since)s)"
        " AND (%(session_id)s::uuid IS NULL OR session_id = %(session_id)s)"
        " AND (%(staging_config_id)s::uuid IS NULL OR staging_config_id = %(staging_config_id)s)"
        " ORDER BY log_id DESC LIMIT %(limit)s",
        {
            "before": before,
            "level": wanted.level,
            "component": wanted.component,
            "code": wanted.code,
            "q": wanted.q,
            "since": wanted.since,
            "session_id": wanted.session_id,
            "staging_config_id": wanted.staging_config_id,
            "limit": limit,
        },
    )


async def list_manager_requests(
    db: Database, *, status: int | None, agent_id: str | None, since: datetime | None, before: int | None, limit: int
) -> list[DictRow]:
    """Requests of Agents as Managers answered them, newest first; those with a request_id below `before`."""
    return await db.fetch(
        "SELECT request_id, time, agent_id, manager_instance_id, method, path, status, duration_ms, count"
        " FROM manager_requests WHERE (%(before)s::bigint IS NULL OR request_id < %(before)s)"
        " AND (%(status)s::int IS NULL OR status = %(status)s)"
        " AND (%(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s)"
        " AND (%(since)s::timestamptz IS NULL OR time >= %(since)s)"
        " ORDER BY request_id DESC LIMIT %(limit)s",
        {"before": before, "status": status, "agent_id": agent_id, "since": since, "limit": limit},
    )


async def prune_diagnostics(db: Database, keep_rows: int) -> None:
    """Delete all but about the newest `keep_rows` of both tables (ids have gaps after a rollback)."""
    await db.write("DELETE FROM logs WHERE log_id <= (SELECT max(log_id) FROM logs) - %s", (keep_rows,))
    await db.write(
        "DELETE FROM manager_requests WHERE request_id <= (SELECT max(request_id) FROM manager_requests) - %s",
        (keep_rows,),
    )
