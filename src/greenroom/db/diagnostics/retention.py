"""Rows kept for a limited time: Diagnostics, launches, commands, screenshots, deliveries and recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import structlog

from greenroom.core.errors import GivenUp
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import delete_in_batches
from greenroom.db.pool.history import WINDOWS_HOURS

log = structlog.get_logger(__name__)

COMMANDS_KEPT_DAYS: Final = 1
DELIVERIES_KEPT_DAYS: Final = 7
DELIVERIES_KEPT: Final = 10_000
"""Maximum number of deliveries of each webhook; those that wait are bounded in `api.webhooks.courier`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The retention of rows (`greenroom.core.installation`); `security_rows` is per code."""

    log_rows: int
    log_days: float
    security_rows: int
    security_days: float
    launch_days: float
    recording_days: float


_OLD_RECORDINGS: Final[LiteralString] = (
    "(SELECT lease_id FROM recordings r WHERE r.ended < now() - make_interval(secs => %(recording_s)s)"
    "  OR r.ended IS NULL AND r.begun < now() - make_interval(secs => %(recording_s)s)"
    "   AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.lease_id = r.lease_id)) old"
)

# now(), because it does not change within the statement, so that an index finds the rows; with clock_timestamp() all
# younger rows would be read each time.
BY_AGE: Final[dict[str, LiteralString]] = {
    "logs": (
        "DELETE FROM logs WHERE log_id = ANY(ARRAY(SELECT log_id FROM logs WHERE NOT security"
        " AND time < now() - make_interval(secs => %(log_s)s) ORDER BY time LIMIT %(batch)s))"
    ),
    "security": (
        "DELETE FROM logs WHERE log_id = ANY(ARRAY(SELECT log_id FROM logs WHERE security"
        " AND time < now() - make_interval(secs => %(security_s)s) ORDER BY time LIMIT %(batch)s))"
    ),
    "manager_requests": (
        "DELETE FROM manager_requests WHERE request_id = ANY(ARRAY(SELECT request_id FROM manager_requests"
        " WHERE time < now() - make_interval(secs => %(log_s)s) ORDER BY time LIMIT %(batch)s))"
    ),
    "launches": (
        "DELETE FROM launches WHERE launch_id = ANY(ARRAY(SELECT launch_id FROM launches l"
        " WHERE at < now() - make_interval(secs => %(launch_s)s)"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.launch_id = l.launch_id) ORDER BY at LIMIT %(batch)s))"
    ),
    "staging_hours": (
        "DELETE FROM staging_hours WHERE ctid = ANY(ARRAY(SELECT ctid FROM staging_hours"
        " WHERE hour < now() - make_interval(hours => %(counted_hours)s) ORDER BY hour LIMIT %(batch)s))"
    ),
    "filter_policies": (
        "DELETE FROM filter_policies WHERE filter_policy_id = ANY(ARRAY(SELECT filter_policy_id FROM filter_policies p"
        " WHERE of_leases AND created < now() - interval '1 hour'"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.status <> 'deleted'"
        "  AND s.spec ->> 'filter_policy' = p.filter_policy_id::text)"
        " AND NOT EXISTS (SELECT 1 FROM images i WHERE i.filter_policy_id = p.filter_policy_id)"
        " AND NOT EXISTS (SELECT 1 FROM group_settings g WHERE g.value = to_jsonb(p.filter_policy_id::text))"
        " LIMIT %(batch)s))"
    ),
    "lease_reservations": (
        "DELETE FROM lease_reservations WHERE ctid = ANY(ARRAY(SELECT ctid FROM lease_reservations"
        " WHERE made < clock_timestamp() - interval '1 hour' LIMIT %(batch)s))"
    ),
    "launches_waiting": (
        "DELETE FROM launches_waiting WHERE ctid = ANY(ARRAY(SELECT ctid FROM launches_waiting"
        " WHERE refused < clock_timestamp() - interval '1 hour' LIMIT %(batch)s FOR UPDATE SKIP LOCKED))"
    ),
    "session_commands": (
        "DELETE FROM session_commands WHERE command_id = ANY(ARRAY(SELECT command_id FROM session_commands"
        " WHERE created < clock_timestamp() - make_interval(secs => %(command_s)s)"
        " AND (finished IS NULL OR finished < clock_timestamp() - make_interval(secs => %(command_s)s))"
        " LIMIT %(batch)s))"
    ),
    "webhook_deliveries": (
        "DELETE FROM webhook_deliveries WHERE delivery_id = ANY(ARRAY(SELECT delivery_id FROM webhook_deliveries"
        " WHERE at < now() - make_interval(secs => %(delivery_s)s) ORDER BY at LIMIT %(batch)s))"
    ),
    # Pictures first: the rows of one statement must be few enough for its time limit.
    "recording_pictures": (
        f"DELETE FROM recording_pictures WHERE ctid = ANY(ARRAY(SELECT p.ctid FROM {_OLD_RECORDINGS}"
        " JOIN recording_pictures p USING (lease_id) LIMIT %(batch)s))"
    ),
    "recording_rows": (
        f"DELETE FROM recording_rows WHERE ctid = ANY(ARRAY(SELECT w.ctid FROM {_OLD_RECORDINGS}"
        " JOIN recording_rows w USING (lease_id) LIMIT %(batch)s))"
    ),
    "recordings": (
        f"DELETE FROM recordings WHERE lease_id = ANY(ARRAY(SELECT lease_id FROM {_OLD_RECORDINGS}"
        " WHERE NOT EXISTS (SELECT 1 FROM recording_rows w WHERE w.lease_id = old.lease_id) LIMIT %(batch)s))"
    ),
    "screenshots": (
        "DELETE FROM session_commands WHERE command_id = ANY(ARRAY(SELECT command_id FROM session_commands"
        " WHERE screenshot IS NOT NULL AND created < clock_timestamp() - interval '1 minute' LIMIT %(batch)s))"
    ),
}

# By the newest id, which is known at once; ids have gaps from transactions that were rolled back, so it may be a few
# less. Security events are counted by code: events that any client can cause (refusals, log-ins) displace no others.
_BY_NUMBER: Final[dict[str, LiteralString]] = {
    "logs": (
        "DELETE FROM logs WHERE log_id = ANY(ARRAY(SELECT log_id FROM logs WHERE NOT security"
        " AND log_id <= (SELECT max(log_id) FROM logs) - %(rows)s ORDER BY log_id LIMIT %(batch)s))"
    ),
    "security": (
        "WITH RECURSIVE codes AS ((SELECT code FROM logs WHERE security ORDER BY code LIMIT 1) UNION ALL"
        " SELECT (SELECT l.code FROM logs l WHERE l.security AND l.code > c.code ORDER BY l.code LIMIT 1)"
        " FROM codes c WHERE c.code IS NOT NULL)"
        " DELETE FROM logs WHERE log_id = ANY(ARRAY(SELECT l.log_id FROM codes c, LATERAL (SELECT log_id FROM logs"
        " WHERE security AND code = c.code ORDER BY log_id DESC OFFSET %(security_rows)s LIMIT %(batch)s) l"
        " LIMIT %(batch)s))"
    ),
    "manager_requests": (
        "DELETE FROM manager_requests WHERE request_id = ANY(ARRAY(SELECT request_id FROM manager_requests"
        " WHERE request_id <= (SELECT max(request_id) FROM manager_requests) - %(rows)s ORDER BY request_id"
        " LIMIT %(batch)s))"
    ),
    "webhook_deliveries": (
        "DELETE FROM webhook_deliveries WHERE delivery_id = ANY(ARRAY(SELECT d.delivery_id FROM webhooks w,"
        " LATERAL (SELECT delivery_id, state FROM webhook_deliveries WHERE webhook_id = w.webhook_id"
        "  ORDER BY at DESC, delivery_id DESC OFFSET %(deliveries)s LIMIT %(batch)s) d WHERE d.state <> 'waiting'"
        " LIMIT %(batch)s))"
    ),
}


async def prune(db: Database, keep: Keep) -> dict[str, int]:
    """Delete outdated rows; returns kind → rows deleted.

    If the database gives a statement up, that kind waits for the next round.
    """
    values: dict[str, Any] = {
        "log_s": keep.log_days * 86400,
        "security_s": keep.security_days * 86400,
        "security_rows": keep.security_rows,
        "launch_s": keep.launch_days * 86400,
        "recording_s": keep.recording_days * 86400,
        "counted_hours": 2 * WINDOWS_HOURS[-1],
        "command_s": COMMANDS_KEPT_DAYS * 86400,
        "delivery_s": DELIVERIES_KEPT_DAYS * 86400,
        "deliveries": DELIVERIES_KEPT,
        "rows": keep.log_rows,
    }
    deleted: dict[str, int] = {}
    for statements in (BY_AGE, _BY_NUMBER):
        for kind, statement in statements.items():
            try:
                deleted[kind] = deleted.get(kind, 0) + await delete_in_batches(db, statement, values)
            except GivenUp as error:
                log.warning("the clean-up of some rows is put off", rows=kind, reason=error.message)
    return {kind: number for kind, number in deleted.items() if number}
