"""What Diagnostics shows: log rows and the requests Managers answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.fleet.disk import FreeDisk
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogRow
from greenroom.db.diagnostics.requests import RequestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which log rows; None = any. `level` and above; `q` is searched in the message, ignoring case; from `since` on,
    before `until`.
    """

    level: str | None = None
    component: str | None = None
    code: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    zone_name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    staging_config_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLogRow(LogRow):
    """A log row as it was written."""

    log_id: int
    staging_config_title: str | None
    """Workspace and zone of its config then."""


async def list_logs(db: Database, wanted: LogFilter, *, before: int | None, limit: int) -> list[StoredLogRow]:
    """Rows that match, newest first; those with a log_id below `before`."""
    return await db.fetch_as(
        StoredLogRow,
        "SELECT log_id, time, level, component, code, message, zone_name, session_id::text, user_id::text,"
        " coalesce(username, (SELECT u.username FROM users u WHERE u.user_id = logs.user_id)) AS username,"
        " staging_config_id::text, staging_config_title, setting, details FROM logs WHERE "
        + _where(asdict(wanted) | {"before": before}, _LOGS, _LEVELS.get(wanted.level or ""))
        + " ORDER BY log_id DESC LIMIT %(limit)s",
        {**asdict(wanted), "before": before, "limit": limit},
    )


def _where(
    given: Mapping[str, object], conditions: Mapping[str, LiteralString], more: LiteralString | None
) -> LiteralString:
    """Only what is asked for is in the statement, so that PostgreSQL sees which index has it."""
    asked: list[LiteralString] = [condition for name, condition in conditions.items() if given[name] is not None]
    return " AND ".join(["true", *asked] if more is None else [more, *asked])


_LOGS: Final[Mapping[str, LiteralString]] = {
    "before": "log_id < %(before)s",
    "component": "component = %(component)s",
    "code": "code = %(code)s",
    "q": "strpos(lower(message), lower(%(q)s)) > 0",
    "since": "time >= %(since)s",
    "until": "time < %(until)s",
    "zone_name": "zone_name = %(zone_name)s",
    "user_id": "user_id = %(user_id)s",
    "session_id": "session_id = %(session_id)s",
    "staging_config_id": "staging_config_id = %(staging_config_id)s",
}
_LEVELS: Final[Mapping[str, LiteralString]] = {
    "INFO": "level <> 'DEBUG'",
    "WARNING": "level IN ('WARNING', 'ERROR')",
    "ERROR": "level = 'ERROR'",
}
"""A level and above, as in the indexes logs_warnings and logs_errors."""


@dataclass(frozen=True, slots=True)
class FailedTasks:
    """How often the Primary of a zone could not do something; `time` and `message` are of the last time."""

    zone_name: str
    times: int
    time: datetime
    message: str


async def failed_tasks(db: Database, within_s: float) -> list[FailedTasks]:
    """Recent failed tasks of Primaries, by zone."""
    return await db.fetch_as(
        FailedTasks,
        "SELECT zone_name, times, time, message FROM"
        " (SELECT zone_name, time, message, count(*) OVER of_zone AS times,"
        "   row_number() OVER (of_zone ORDER BY log_id DESC) AS nth FROM logs"
        "   WHERE code = 'primary-task-failed' AND time > now() - make_interval(secs => %s)"
        "   WINDOW of_zone AS (PARTITION BY zone_name)) failed"
        " WHERE nth = 1 ORDER BY zone_name",
        (within_s,),
    )


async def disk_of(db: Database, agent_ids: list[str]) -> FreeDisk:
    """The disk of a host, from its Agents' latest reports."""
    row = await db.fetch_one(
        "SELECT min((usage->>'disk_free_bytes')::bigint) AS free_bytes,"
        " coalesce(max((usage->>'disk_kept_bytes')::bigint), 0) AS kept_bytes,"
        " min((usage->>'disk_free_inodes')::float8) AS free_inodes"
        " FROM agents WHERE agent_id = ANY(%s::uuid[])",
        (agent_ids,),
    )
    return FreeDisk(**row) if row else FreeDisk()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFilter:
    """Which requests; None = any. `refused` True = not answered with 2xx, False = only the others."""

    status: int | None = None
    refused: bool | None = None
    agent_id: str | None = None
    manager_instance_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True, kw_only=True)
class StoredRequestRow(RequestRow):
    """A request as it was written."""

    request_id: int


async def list_manager_requests(
    db: Database, wanted: RequestFilter, *, before: int | None, limit: int
) -> list[StoredRequestRow]:
    """Requests of Agents, newest first; those with a request_id below `before`."""
    return await db.fetch_as(
        StoredRequestRow,
        "SELECT request_id, time, agent_id::text, manager_instance_id, method, path, status, duration_ms, count"
        " FROM manager_requests WHERE "
        + _where(asdict(wanted) | {"before": before}, _REQUESTS, _answered(wanted))
        + " ORDER BY request_id DESC LIMIT %(limit)s",
        {**asdict(wanted), "before": before, "limit": limit},
    )


_REQUESTS: Final[Mapping[str, LiteralString]] = {
    "before": "request_id < %(before)s",
    "status": "status = %(status)s",
    "agent_id": "agent_id = %(agent_id)s",
    "manager_instance_id": "manager_instance_id = %(manager_instance_id)s",
    "since": "time >= %(since)s",
    "until": "time < %(until)s",
}
_REFUSED: Final[LiteralString] = "status NOT BETWEEN 200 AND 299"
"""As in the index manager_requests_refused."""


def _answered(wanted: RequestFilter) -> LiteralString | None:
    if wanted.refused or (wanted.status is not None and not 200 <= wanted.status <= 299 and wanted.refused is None):
        return _REFUSED
    return None if wanted.refused is None else "status BETWEEN 200 AND 299"
