"""Reads the page Today: the state from which the list *Needs attention* is made, and the facts of the last hours.

`read_watched` reads for all callers together, so its statements have no conditions for a caller. The number of
statements is constant, and each reads a limited number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.diagnostics.first_steps import Beginning
from greenroom.core.diagnostics.watched import (
    AuditBacklog,
    BackupState,
    CertificateWarning,
    ExpiringCredential,
    FailedLaunches,
    FailingFilter,
    FailingSignOn,
    FailingWebhook,
    ImageFailure,
    LoggedErrors,
    UnrecordedSessions,
    UnsynchronizedDirectory,
    Watched,
    WatchedAgent,
    WatchedManager,
    WatchedPool,
    WatchedZone,
)
from greenroom.core.installation import Installation
from greenroom.core.launch.plan import TraceStep, own_zone_reason
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.shortfalls import is_expected
from greenroom.core.recording.session_video import MAX_SEGMENT_S, SETTING
from greenroom.db.database import Database
from greenroom.db.diagnostics import batches, retention
from greenroom.db.fleet.liveness import FREE_DISK
from greenroom.db.fleet.managers import MANAGER_RUNS, RUNNING_WITHIN_S, list_managers
from greenroom.db.pool.configs import StagingConfig, list_configs
from greenroom.db.session.views import IN_SCOPE, SessionScope

MAX_LAUNCHES: Final = 5000
"""The maximum number of launches of the last 24 hours that are read, the newest first."""
MAX_CREDENTIALS: Final = 100
_DEFAULTS: Final = Installation()
SHOWN: Final = 5
"""The number of refused users that are returned, the newest first."""
OVERDUE_AFTER_S: Final = 3600.0
"""A directory is overdue if it was not synchronized for two of its intervals and this time."""

_ZONES: Final[LiteralString] = (
    "SELECT z.zone_id::text, z.zone_name, count(m.*) AS num_managers,"
    f" count(m.*) FILTER (WHERE {MANAGER_RUNS}) AS num_running_managers,"
    " (SELECT count(*) FROM agents a WHERE a.zone_id = z.zone_id) AS num_agents"
    " FROM zones z LEFT JOIN managers m USING (zone_id) GROUP BY z.zone_id ORDER BY z.zone_name"
)
_AGENTS: Final[LiteralString] = (
    "SELECT a.agent_id::text, a.hostname, a.zone_id::text, z.zone_name, a.status AS stored_status, a.enabled,"
    " a.draining, a.registered, a.last_reported, a.runtime_error, a.crash_loop, a.check_in_refused,"
    " a.edge_url_requested,"
    " extract(epoch FROM clock_timestamp() - a.last_reported)::double precision AS silent_s,"
    f" EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = a.zone_id AND {MANAGER_RUNS}) AS has_manager,"
    " coalesce(c.cores, 0) AS cores, coalesce(c.cores_allocated, 0) AS cores_allocated,"
    " coalesce(c.memory, 0) AS memory, coalesce(c.memory_allocated, 0) AS memory_allocated,"
    " (SELECT count(DISTINCT s.user_id) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted')"
    f" AS users, {FREE_DISK} AS disk"
    " FROM agents a JOIN zones z USING (zone_id) LEFT JOIN agent_capacity c USING (agent_id)"
    " ORDER BY z.zone_name, a.hostname, a.agent_id"
)
_IMAGES: Final[LiteralString] = (
    "SELECT i.image_id::text, i.name, i.friendly_name, a.agent_id::text, a.hostname, a.zone_id::text, r.error,"
    " coalesce(r.failed_since, r.updated) AS since"
    " FROM agent_images r JOIN agents a USING (agent_id) JOIN images i ON i.name = r.name"
    " WHERE r.state = 'failed' AND i.enabled AND a.enabled AND a.status = 'running'"
    " ORDER BY lower(i.friendly_name), i.image_id, a.hostname"
)
# The cause is the code in the own zone, as in `core.launch.plan.own_zone_codes`.
_LAUNCHES: Final[LiteralString] = """
WITH failed AS (
    SELECT l.launch_id::text, l.image_id, l.user_id, l.at, l.steps, coalesce(
        (SELECT string_agg(DISTINCT step ->> 'code', ' ' ORDER BY step ->> 'code') FROM jsonb_array_elements(l.steps)
             AS step WHERE step ->> 'step' = 'on_demand_here'), l.steps -> -1 ->> 'code', '') AS codes
      FROM launches l WHERE l.outcome = 'failed' AND l.at > now() - interval '24 hours'
     ORDER BY l.at DESC LIMIT %(max_launches)s
), grouped AS (
    SELECT f.image_id, f.codes, coalesce(array_agg(DISTINCT f.user_id::text) FILTER (WHERE f.user_id IS NOT NULL), '{}')
           AS user_ids, count(*) AS number, min(f.at) AS since, max(f.at) AS newest,
           (array_agg(f.steps ORDER BY f.at DESC))[1] AS steps,
           (array_agg(f.launch_id ORDER BY f.at DESC))[1] AS launch_id
      FROM failed f GROUP BY f.image_id, f.codes
)
SELECT g.launch_id, g.image_id::text, i.friendly_name, g.user_ids, g.number, g.since, g.steps
  FROM grouped g JOIN images i USING (image_id)
 WHERE NOT EXISTS (SELECT 1 FROM launches o WHERE o.image_id = g.image_id AND o.at > g.newest
                      AND o.outcome <> 'failed')
 ORDER BY g.newest DESC
"""
_FAILED_DELIVERIES: Final[LiteralString] = (
    "FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id AND d.state = 'waiting' AND d.attempts > 0"
    " AND (d.error <> '' OR d.status > 0)"
)
_WEBHOOKS: Final[LiteralString] = (
    "SELECT w.webhook_id::text, w.name, n.waiting, n.oldest,"
    " jsonb_build_object('status', last.status, 'error', last.error) AS last_attempt FROM webhooks w,"
    f" LATERAL (SELECT count(*) AS waiting, min(d.at) AS oldest {_FAILED_DELIVERIES}) n,"
    f" LATERAL (SELECT d.status, d.error {_FAILED_DELIVERIES} ORDER BY d.attempted DESC LIMIT 1) last"
    " WHERE webhook_sends(w) ORDER BY w.name"
)
_CREDENTIALS: Final[LiteralString] = """
SELECT * FROM (
    SELECT 'api_key' AS kind, k.key_id AS object_id, coalesce(nullif(k.name, ''), k.key_id) AS name, k.expires
      FROM api_keys k WHERE k.enabled
    UNION ALL SELECT 'service_account', a.user_id::text, u.username, a.expires
      FROM service_accounts a JOIN users u USING (user_id) WHERE NOT u.disabled AND NOT u.locked
    UNION ALL SELECT 'scim_client', c.client_id::text, c.name, c.expires FROM scim_clients c WHERE c.enabled
) credentials WHERE expires > now() ORDER BY expires, name LIMIT %(max_credentials)s
"""
_SIGN_ON: Final[LiteralString] = """
SELECT 'sign_on_provider' AS kind, p.provider_id::text AS source_id, p.title, f.problem, f.since
  FROM sign_on_problems f JOIN sign_on_providers p ON p.provider_id = f.source_id WHERE p.enabled
UNION ALL SELECT 'directory', d.directory_id::text, d.title, f.problem, f.since
  FROM sign_on_problems f JOIN directories d ON d.directory_id = f.source_id WHERE d.enabled ORDER BY title
"""
_BACKLOG: Final[LiteralString] = (
    "SELECT %(target)s AS target, h.last_id - coalesce(d.last_id, 0) AS number, (SELECT e.time FROM audit_events e"
    "  WHERE e.event_id > coalesce(d.last_id, 0) ORDER BY e.event_id LIMIT 1) AS oldest"
    " FROM (SELECT coalesce(max(last_id), 0) AS last_id FROM audit_head) h"
    " LEFT JOIN audit_deliveries d ON d.target = %(target)s"
)
_DIRECTORIES: Final[LiteralString] = (
    "SELECT directory_id::text, title, sync_problem AS problem, coalesce(synchronized, created) AS since"
    " FROM directories WHERE enabled AND sync_s > 0 AND (sync_problem <> '' OR coalesce(synchronized, created)"
    "  < now() - make_interval(secs => 2 * sync_s + %(overdue_s)s)) ORDER BY lower(title)"
)
UNRECORDED_AFTER_S: Final = MAX_SEGMENT_S + 60.0
"""The time after which a running session counts as not recorded if no further picture of it was stored."""
_UNRECORDED: Final[LiteralString] = (
    "SELECT count(*) AS number, count(DISTINCT r.user_id) AS people, min(r.since) AS since FROM"
    " (SELECT s.user_id, greatest(CASE WHEN v.duration_ms > 0 THEN v.latest END, s.status_changed) AS since"
    "  FROM sessions s"
    "  LEFT JOIN session_videos v USING (session_id) WHERE s.status = 'running' AND s.user_id IS NOT NULL"
    f"  AND (s.client_settings ->> '{SETTING}')::bool) r"
    " WHERE r.since < now() - make_interval(secs => %(unrecorded_s)s) HAVING count(*) > 0"
)
_ERRORS: Final[LiteralString] = (
    "SELECT code, count(*) AS number, max(time) AS newest, (array_agg(message ORDER BY log_id DESC))[1] AS message"
    " FROM (SELECT * FROM logs WHERE level = 'ERROR' AND time > now() - interval '1 hour'"
    "  ORDER BY log_id DESC LIMIT 1000) l GROUP BY code ORDER BY newest DESC"
)
TASKS_RECENT_S: Final = 120.0
"""The Primary tries a failing task again, and adds a row, at least every 30 s."""
FAILING: Final[Mapping[str, tuple[float, int]]] = {
    LogCode.ROWS_WAITING: (2 * batches.REPORT_INTERVAL_S, 1),
    LogCode.PRIMARY_TASK_FAILED: (TASKS_RECENT_S, 3),
    LogCode.CLEAN_UP_FAILED: (2 * retention.REPORT_INTERVAL_S, 1),
}
"""Code of log rows about work that fails → the maximum age of its rows in seconds, and the minimum number of them."""
_FAILING: Final[LiteralString] = (
    "SELECT code, count(*) AS number, max(time) AS newest, (array_agg(message ORDER BY log_id DESC))[1] AS message"
    " FROM logs WHERE code = %(code)s AND time > now() - make_interval(secs => %(recent_s)s)"
    " GROUP BY code, component, details HAVING count(*) >= %(minimum)s ORDER BY newest DESC"
)
_BACKUPS: Final[LiteralString] = (
    "SELECT good.time AS succeeded, CASE WHEN last.result = 'failed' THEN last.time END AS failed,"
    " last.message AS failure, %(warning_days)s AS warning_days"
    " FROM (SELECT time, result, message FROM audit_events WHERE code = 'backup' ORDER BY event_id DESC LIMIT 1) last"
    " LEFT JOIN LATERAL (SELECT time FROM audit_events WHERE code = 'backup' AND result = 'done'"
    "  ORDER BY event_id DESC LIMIT 1) good ON true"
)
FILTERS_RECENT_S: Final = 90.0
"""The maximum age of a log row about a web filter that fails. Its Agent tries again, and adds a row, at least every
30 s."""
_FILTERS: Final[LiteralString] = (
    "SELECT a.agent_id::text, a.hostname, a.zone_id::text, l.message, l.fails, l.newest,"
    " (SELECT count(DISTINCT s.user_id) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted'"
    "   AND s.spec ->> 'filter_policy' IS NOT NULL) AS people"
    " FROM (SELECT DISTINCT ON (details ->> 'agent_id', details ->> 'policy_id') details ->> 'agent_id' AS agent_id,"
    "   message, level = 'ERROR' AS fails, time AS newest FROM logs WHERE code = %(code)s AND component = 'agent'"
    "   AND time > now() - make_interval(secs => %(recent_s)s)"
    "  ORDER BY details ->> 'agent_id', details ->> 'policy_id', log_id DESC) l"
    " JOIN agents a ON a.agent_id::text = l.agent_id ORDER BY a.hostname"
)


# The third word of a warning is the file of the certificate.
_CERTIFICATES: Final[LiteralString] = (
    "SELECT DISTINCT ON (split_part(message, ' ', 3)) message AS sentence, time FROM logs WHERE code = %(code)s"
    " AND time > now() - make_interval(secs => %(recent_s)s) ORDER BY split_part(message, ' ', 3), log_id DESC"
)
CERTIFICATES_RECENT_S: Final = 7 * 3600.0
"""The maximum age of a warning about a certificate. Gateways repeat their warnings every six hours."""


async def read_fleet(db: Database) -> Watched:
    """Read the zones, Managers, Agents and pools of the installation."""
    times = await db.fetch("SELECT now() AS now")
    runs = {"running_within_s": RUNNING_WITHIN_S}
    return Watched(
        now=times[0]["now"],
        zones=tuple(await db.fetch_as(WatchedZone, _ZONES, runs)),
        managers=tuple(await _read_managers(db)),
        agents=tuple(await db.fetch_as(WatchedAgent, _AGENTS, runs)),
        pools=tuple(await _watched_pools(db, (await list_configs(db)).rows)),
    )


async def read_watched(db: Database, audit_target: str = "", settings: Installation = _DEFAULTS) -> Watched:
    """Read the state of the installation. `audit_target` is the syslog server that gets the audit; empty = none."""
    certificates = {"code": LogCode.CERTIFICATE_EXPIRES, "recent_s": CERTIFICATES_RECENT_S}
    filters = {"code": LogCode.WEB_FILTER_DOWN, "recent_s": FILTERS_RECENT_S}
    failing = [
        error
        for code, (recent_s, minimum) in FAILING.items()
        for error in await db.fetch_as(LoggedErrors, _FAILING, {"code": code, "recent_s": recent_s, "minimum": minimum})
    ]
    return replace(
        await read_fleet(db),
        images=tuple(await db.fetch_as(ImageFailure, _IMAGES)),
        launches=tuple(await db.fetch_as(FailedLaunches, _LAUNCHES, {"max_launches": MAX_LAUNCHES})),
        webhooks=tuple(await db.fetch_as(FailingWebhook, _WEBHOOKS)),
        credentials=tuple(await db.fetch_as(ExpiringCredential, _CREDENTIALS, {"max_credentials": MAX_CREDENTIALS})),
        backlog=await db.fetch_one_as(AuditBacklog, _BACKLOG, {"target": audit_target}) if audit_target else None,
        sign_on=tuple(await db.fetch_as(FailingSignOn, _SIGN_ON)),
        directories=tuple(await db.fetch_as(UnsynchronizedDirectory, _DIRECTORIES, {"overdue_s": OVERDUE_AFTER_S})),
        unrecorded=await db.fetch_one_as(UnrecordedSessions, _UNRECORDED, {"unrecorded_s": UNRECORDED_AFTER_S}),
        errors=tuple(await db.fetch_as(LoggedErrors, _ERRORS)),
        failing=tuple(failing),
        certificates=tuple(await db.fetch_as(CertificateWarning, _CERTIFICATES, certificates)),
        backups=await db.fetch_one_as(BackupState, _BACKUPS, {"warning_days": settings.backup_warning_days}),
        filters=tuple(await db.fetch_as(FailingFilter, _FILTERS, filters)),
    )


async def _read_managers(db: Database) -> list[WatchedManager]:
    managers = await list_managers(db)
    disabled = [manager.instance_id for manager in managers if not manager.enabled]
    rows = await db.fetch(
        "SELECT split_part(message, ' ', 1) AS instance_id, max(time) AS time FROM logs WHERE code = %s"
        " AND split_part(message, ' ', 1) = ANY(%s) GROUP BY 1",
        (LogCode.MANAGER_DISABLED, disabled),
    )
    since = {row["instance_id"]: row["time"] for row in rows}
    return [
        WatchedManager(
            manager_id=manager.manager_id,
            instance_id=manager.instance_id,
            zone_id=manager.zone_id,
            zone_name=manager.zone_name,
            enabled=manager.enabled,
            running=manager.status == "running",
            is_primary=manager.is_primary,
            last_reported=manager.last_reported,
            reason=manager.status_reason,
            disabled_since=since.get(manager.instance_id),
        )
        for manager in managers
    ]


async def _watched_pools(db: Database, configs: list[StagingConfig]) -> list[WatchedPool]:
    codes = {
        config.staging_config_id: LogCode.STAGING_SHORTFALL if config.shortfall else LogCode.STAGING_REFILL_BLOCKED
        for config in configs
        if config.shortfall or config.refill_problem
    }
    rows = await db.fetch(
        "SELECT c.staging_config_id::text, (SELECT l.time FROM logs l WHERE l.staging_config_id = c.staging_config_id"
        " AND l.code = c.code ORDER BY l.log_id DESC LIMIT 1) AS time"
        " FROM unnest(%s::uuid[], %s::text[]) AS c(staging_config_id, code)",
        (list(codes), list(codes.values())),
    )
    since = {row["staging_config_id"]: row["time"] for row in rows}
    return [
        WatchedPool(
            staging_config_id=config.staging_config_id,
            zone_id=config.zone_id,
            zone_name=config.zone_name,
            image_id=config.image_id,
            friendly_name=config.image_friendly_name,
            current=config.num_current_sessions,
            desired=0 if config.paused else config.num_sessions,
            paused=config.paused,
            shortfall=None if config.paused else config.shortfall,
            refill_problem=problem
            if (problem := config.refill_problem) and problem.needs_action and not is_expected(problem)
            else None,
            since=since.get(config.staging_config_id),
        )
        for config in configs
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFact:
    """A session of a user. `time` is when it began or when it expires."""

    session_id: str
    user_id: str
    username: str
    image_friendly_name: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSessionFacts:
    """The number of sessions of users, the oldest one, and the next one that expires; None = there is none."""

    users: int
    number: int
    oldest: SessionFact | None
    next_expiry: SessionFact | None


async def read_session_facts(db: Database, scope: SessionScope | None) -> UserSessionFacts:
    """Read the facts about the sessions of users in this scope; None = of all users."""
    condition: LiteralString = IN_SCOPE if scope else "true"
    fact: LiteralString = (
        "jsonb_build_object('session_id', s.session_id, 'user_id', u.user_id, 'username', u.username,"
        " 'image_friendly_name', i.friendly_name, 'time', %s)"
    )
    oldest, expiry = fact.replace("%s", "s.created"), fact.replace("%s", "s.expires")
    (row,) = await db.fetch_as(
        UserSessionFacts,
        "WITH shown AS MATERIALIZED (SELECT s.session_id, s.user_id, s.image_id, s.created,"
        " least(s.expires, s.time_limit_ends) AS expires FROM sessions s WHERE s.status <> 'deleted'"
        f" AND s.superseded_by IS NULL AND s.user_id IS NOT NULL AND ({condition}))"
        " SELECT (SELECT count(DISTINCT user_id) FROM shown) AS users, (SELECT count(*) FROM shown) AS number,"
        f" (SELECT {oldest} FROM shown s JOIN users u USING (user_id) JOIN images i USING (image_id)"
        "   ORDER BY s.created LIMIT 1) AS oldest,"
        f" (SELECT {expiry} FROM shown s JOIN users u USING (user_id) JOIN images i USING (image_id)"
        "   WHERE s.expires > now() ORDER BY s.expires LIMIT 1) AS next_expiry",
        scope.parameters if scope else {},
    )
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowestLaunch:
    """The launch of the last 24 hours after which its user waited longest."""

    launch_id: str
    session_id: str | None
    user_id: str | None
    username: str | None
    image_id: str | None
    image_friendly_name: str | None
    at: datetime
    waited_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedUser:
    """A user with a failed launch in the last 24 hours, and the newest of these launches."""

    launch_id: str
    user_id: str
    username: str
    image_id: str
    image_friendly_name: str
    at: datetime
    steps: list[TraceStep]
    number: int
    """The number of all refused users."""

    @property
    def reason(self) -> str:
        return own_zone_reason(self.steps)


_SLOWEST: Final[LiteralString] = """
SELECT l.launch_id::text, l.session_id::text, u.user_id::text, u.username, i.image_id::text,
       i.friendly_name AS image_friendly_name, l.at,
       l.duration_ms + 1000 * extract(epoch FROM CASE l.outcome WHEN 'staged' THEN h.at ELSE s.started END - l.at)
           ::double precision AS waited_ms
  FROM (SELECT * FROM launches WHERE at > now() - interval '24 hours' ORDER BY at DESC LIMIT %(max_launches)s) l
  LEFT JOIN users u USING (user_id) LEFT JOIN images i USING (image_id)
  LEFT JOIN sessions s ON s.session_id = l.session_id
  LEFT JOIN session_steps h ON h.session_id = l.session_id AND h.name = 'handed_over'
 WHERE l.outcome <> 'failed' AND CASE l.outcome WHEN 'staged' THEN h.at ELSE s.started END IS NOT NULL
 ORDER BY waited_ms DESC LIMIT 1
"""
_REFUSED: Final[LiteralString] = """
SELECT r.*, count(*) OVER () AS number FROM (
    SELECT DISTINCT ON (f.user_id) f.launch_id::text, f.user_id::text, u.username, f.image_id::text, i.friendly_name
           AS image_friendly_name, f.at, f.steps
      FROM (SELECT * FROM launches WHERE outcome = 'failed' AND at > now() - interval '24 hours'
             ORDER BY at DESC LIMIT %(max_launches)s) f
      JOIN users u USING (user_id) JOIN images i USING (image_id) ORDER BY f.user_id, f.at DESC) r
 ORDER BY at DESC LIMIT %(shown)s
"""


async def read_beginning(db: Database, user_id: str | None) -> Beginning:
    """Read the facts that end the first steps, for a caller."""
    (row,) = await db.fetch_as(
        Beginning,
        "SELECT coalesce((SELECT password_once FROM users WHERE user_id = %(user_id)s), false)"
        " AS has_one_time_password,"
        " (SELECT count(*) FROM images) AS workspaces, (SELECT count(*) FROM managers) AS managers,"
        " (SELECT count(*) FROM (SELECT FROM users u WHERE NOT EXISTS (SELECT FROM anonymous_users a"
        "  WHERE a.user_id = u.user_id) AND NOT EXISTS (SELECT FROM service_accounts s WHERE s.user_id = u.user_id)"
        "  LIMIT 2) persons) AS people,"
        " EXISTS (SELECT FROM sign_on_providers) OR EXISTS (SELECT FROM directories)"
        "  OR EXISTS (SELECT FROM scim_clients) AS has_sign_on,"
        " EXISTS (SELECT FROM audit_events WHERE code = 'backup' AND result = 'done') AS has_backup",
        {"user_id": user_id},
    )
    return row


async def read_slowest_launch(db: Database) -> SlowestLaunch | None:
    """Return the launch of the last 24 hours with the longest wait; None = there was no launch."""
    return await db.fetch_one_as(SlowestLaunch, _SLOWEST, {"max_launches": MAX_LAUNCHES})


async def read_refused_users(db: Database) -> list[RefusedUser]:
    """Return the users whose launches failed in the last 24 hours, the newest first; at most `SHOWN`."""
    return await db.fetch_as(RefusedUser, _REFUSED, {"max_launches": MAX_LAUNCHES, "shown": SHOWN})
