"""Deletion of outdated rows: Diagnostics, launches, commands, screenshots, deliveries, recordings, session videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, LiteralString

from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.diagnostics.batches import SKIP_LOCKED, delete_in_batches, deletion
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.pool.history import WINDOWS_HOURS
from greenroom.kit.concurrency import log_item_error
from greenroom.kit.repeats import RepeatFilter

COMMAND_DAYS: Final = 1
DELIVERY_DAYS: Final = 7
MAX_DELIVERIES: Final = 10_000
"""Maximum number of deliveries of each webhook; waiting deliveries have their own limit (`api.webhooks.delivery`)."""


REPORTED_FAILURES: Final = 3
"""A clean-up that failed this number of times in a row has a log row: a busy database cancels single statements."""
REPORT_INTERVAL_S: Final = 600.0


class CleanUps:
    """The clean-ups of a process. One that fails does not keep the others from their work, and is tried again at the
    next call."""

    def __init__(self, logs: LogWriter) -> None:
        self._logs = logs
        self._failures = Counter[str]()
        self._reports = RepeatFilter(REPORT_INTERVAL_S)

    @contextmanager
    def isolated(self, name: str) -> Generator[None]:
        """Run the block, the clean-up of `name`. Raises Unavailable: the database is unavailable."""

        def record(reason: str) -> None:
            self._failures[name] += 1
            number = self._failures[name]
            if number >= REPORTED_FAILURES and self._reports.must_log(name):
                self._logs.write(
                    LogCode.CLEAN_UP_FAILED,
                    f"The clean-up of {name} has failed {number} times in a row, so outdated data stays: {reason}",
                    details={"clean_up": name},
                )

        with log_item_error("clean-up", name, record):
            yield
            self._failures.pop(name, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionLimits:
    """The limits after which rows are deleted (`greenroom.core.installation`); `security_rows` limits the
    rows of each security event."""

    log_rows: int
    log_days: float
    security_rows: int
    security_days: float
    launch_days: float
    recording_days: float
    session_video_days: float | None = None
    """None = no session video is deleted."""


_OLD_RECORDINGS: Final[LiteralString] = (
    "(SELECT lease_id FROM recordings r WHERE r.ended < now() - make_interval(secs => %(recording_s)s)"
    "  OR r.ended IS NULL AND r.begun < now() - make_interval(secs => %(recording_s)s)"
    "   AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.lease_id = r.lease_id)) old"
)

_OLD_VIDEOS: Final[LiteralString] = (
    "(SELECT session_id FROM session_videos WHERE latest < now() - make_interval(secs => %(session_video_s)s)) old"
)

# now() does not change within the statement, so that an index finds the rows; with clock_timestamp() all younger rows
# would be read each time.
BY_AGE: Final[dict[str, LiteralString]] = {
    "logs": deletion(
        "logs", "log_id", "NOT security AND time < now() - make_interval(secs => %(log_s)s) ORDER BY time"
    ),
    "security": deletion(
        "logs", "log_id", "security AND time < now() - make_interval(secs => %(security_s)s) ORDER BY time"
    ),
    "manager_requests": deletion(
        "manager_requests", "request_id", "time < now() - make_interval(secs => %(log_s)s) ORDER BY time"
    ),
    "launches": deletion(
        "launches",
        "launch_id",
        "at < now() - make_interval(secs => %(launch_s)s)"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.launch_id = launches.launch_id) ORDER BY at",
    ),
    "staging_hours": deletion(
        "staging_hours", "ctid", "hour < now() - make_interval(hours => %(counted_hours)s) ORDER BY hour"
    ),
    "filter_policies": deletion(
        "filter_policies",
        "filter_policy_id",
        "of_leases AND created < now() - interval '1 hour'"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.status <> 'deleted'"
        "  AND s.spec ->> 'filter_policy' = filter_policies.filter_policy_id::text)"
        " AND NOT EXISTS (SELECT 1 FROM images i WHERE i.filter_policy_id = filter_policies.filter_policy_id)"
        " AND NOT EXISTS (SELECT 1 FROM group_settings g"
        "  WHERE g.value = to_jsonb(filter_policies.filter_policy_id::text))",
    ),
    "lease_reservations": deletion("lease_reservations", "ctid", "made < clock_timestamp() - interval '1 hour'"),
    "launches_waiting": deletion(
        "launches_waiting", "ctid", "refused < clock_timestamp() - interval '1 hour'", SKIP_LOCKED
    ),
    "session_commands": deletion(
        "session_commands",
        "command_id",
        "created < clock_timestamp() - make_interval(secs => %(command_s)s)"
        " AND (finished IS NULL OR finished < clock_timestamp() - make_interval(secs => %(command_s)s))",
    ),
    "webhook_deliveries": deletion(
        "webhook_deliveries",
        "delivery_id",
        "at < now() - make_interval(secs => %(delivery_s)s) AND NOT (state = 'waiting' AND event = 'audit.event'"
        " AND EXISTS (SELECT FROM webhooks w WHERE w.webhook_id = webhook_deliveries.webhook_id)) ORDER BY at",
    ),
    # Pictures are deleted before recordings: one statement must delete few enough rows for its time limit.
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
    # A segment can have megabytes, and a video thousands of segments.
    "session_video_segments": (
        f"DELETE FROM session_video_segments WHERE ctid = ANY(ARRAY(SELECT g.ctid FROM {_OLD_VIDEOS}"
        " JOIN session_video_segments g USING (session_id) LIMIT %(batch)s))"
    ),
    "session_videos": (
        f"DELETE FROM session_videos WHERE session_id = ANY(ARRAY(SELECT session_id FROM {_OLD_VIDEOS}"
        " WHERE NOT EXISTS (SELECT 1 FROM session_video_segments g WHERE g.session_id = old.session_id)"
        " LIMIT %(batch)s))"
    ),
    "screenshots": deletion(
        "session_commands", "command_id", "screenshot IS NOT NULL AND created < clock_timestamp() - interval '1 minute'"
    ),
}

# Rows are counted from the newest id, which needs no scan. Transactions that were rolled back leave gaps between ids,
# so fewer rows may remain. Security events are counted by code: events that any client can cause (refusals, log-ins)
# do not displace other events.
_BY_COUNT: Final[dict[str, LiteralString]] = {
    "logs": deletion(
        "logs", "log_id", "NOT security AND log_id <= (SELECT max(log_id) FROM logs) - %(rows)s ORDER BY log_id"
    ),
    "security": (
        "WITH RECURSIVE codes AS ((SELECT code FROM logs WHERE security ORDER BY code LIMIT 1) UNION ALL"
        " SELECT (SELECT l.code FROM logs l WHERE l.security AND l.code > c.code ORDER BY l.code LIMIT 1)"
        " FROM codes c WHERE c.code IS NOT NULL)"
        " DELETE FROM logs WHERE log_id = ANY(ARRAY(SELECT l.log_id FROM codes c, LATERAL (SELECT log_id FROM logs"
        " WHERE security AND code = c.code ORDER BY log_id DESC OFFSET %(security_rows)s LIMIT %(batch)s) l"
        " LIMIT %(batch)s))"
    ),
    "manager_requests": deletion(
        "manager_requests",
        "request_id",
        "request_id <= (SELECT max(request_id) FROM manager_requests) - %(rows)s ORDER BY request_id",
    ),
    "webhook_deliveries": (
        "DELETE FROM webhook_deliveries WHERE delivery_id = ANY(ARRAY(SELECT d.delivery_id FROM webhooks w,"
        " LATERAL (SELECT delivery_id, state FROM webhook_deliveries WHERE webhook_id = w.webhook_id"
        "  ORDER BY at DESC, delivery_id DESC OFFSET %(deliveries)s LIMIT %(batch)s) d WHERE d.state <> 'waiting'"
        " LIMIT %(batch)s))"
    ),
}


_log_error: Final = partial(log_item_error, "clean-up")


async def prune(
    db: Database,
    retention: RetentionLimits,
    isolated: Callable[[str], AbstractContextManager[None]] = _log_error,
) -> dict[str, int]:
    """Delete outdated rows. Return kind of row → number of deleted rows.

    If the statement of a kind fails, its rows wait for the next call. `isolated` handles the error (`CleanUps`).
    """
    values: dict[str, Any] = {
        "log_s": retention.log_days * 86400,
        "security_s": retention.security_days * 86400,
        "security_rows": retention.security_rows,
        "launch_s": retention.launch_days * 86400,
        "recording_s": retention.recording_days * 86400,
        "session_video_s": None if retention.session_video_days is None else retention.session_video_days * 86400,
        "counted_hours": 2 * WINDOWS_HOURS[-1],
        "command_s": COMMAND_DAYS * 86400,
        "delivery_s": DELIVERY_DAYS * 86400,
        "deliveries": MAX_DELIVERIES,
        "rows": retention.log_rows,
    }
    deleted: dict[str, int] = {}
    for limit, statements in (("age", BY_AGE), ("number", _BY_COUNT)):
        for kind, statement in statements.items():
            with isolated(f"{kind} by {limit}"):
                deleted[kind] = deleted.get(kind, 0) + await delete_in_batches(db, statement, values)
    return {kind: number for kind, number in deleted.items() if number}
