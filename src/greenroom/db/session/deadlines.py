"""The deadlines of sessions, and the check if a round has work. Writes use a connection of `leadership.guarded`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.session.deadlines import DEADLINE_S, SessionInTransition
from greenroom.core.session.progress import AGENT_STEPS
from greenroom.core.session.states import TRANSITIONAL, WAITING_FOR_AGENT, SessionStatus
from greenroom.db.database import Connection, Database, row_as, rows_as
from greenroom.db.fleet.liveness import AGENTS_TO_CHECK, CHANGED_OFFERS, ENDING_ON_DEAD_AGENTS, MARK_LOST_PARAMETERS
from greenroom.db.launch.replacement import AWAITING_SUCCESSOR
from greenroom.db.session.lifecycle import EXPIRING, EXPIRING_PARAMETERS
from greenroom.db.session.observations import DECIDABLE_PARAMETERS, STORED_OBSERVATIONS
from greenroom.db.session.shares import EXPIRED_SHARES
from greenroom.db.session.transitions import CHANGE_TO, CHANGED_SESSION, ChangedSession

_TRANSITIONAL: Final = sorted(TRANSITIONAL)
_WAITING_FOR_AGENT: Final = sorted(WAITING_FOR_AGENT)
WITH_DEADLINE_PARAMETERS: Final = {
    "transitional": _TRANSITIONAL,
    "returning": _WAITING_FOR_AGENT,
    "steps": sorted(AGENT_STEPS),
}

WITH_DEADLINE: Final[LiteralString] = (
    "SELECT s.session_id::text, s.status, s.want, s.status_changed, s.deadline, s.assignment_state,"
    " coalesce(agent_name(a), '') AS agent_name, coalesce(o.probe_error, '') AS probe_error,"
    " t.stepped, t.admitted,"
    " coalesce(t.queued AND a.status IN ('pending', 'running'), false) AS queued,"
    " coalesce(t.painted AND a.status IN ('pending', 'running'), false) AS painted,"
    " coalesce(a.lateness, '{}') AS lateness,"
    " coalesce(extract(epoch FROM clock_timestamp() - a.last_reported), 0)::double precision AS silent_s,"
    " clock_timestamp() AS now"
    " FROM sessions s LEFT JOIN agents a USING (agent_id) LEFT JOIN session_observed o USING (session_id)"
    " LEFT JOIN LATERAL (SELECT max(least(at, clock_timestamp())) AS stepped, bool_or(name = 'painted') AS painted,"
    "  bool_or(name = 'queued') AND NOT bool_or(name = 'admitted') AS queued,"
    "  max(least(at, clock_timestamp())) FILTER (WHERE name = 'admitted') AS admitted"
    "  FROM session_steps t"
    "  WHERE t.session_id = s.session_id AND t.name = ANY(%(steps)s) AND s.status = 'starting' AND s.started IS NULL"
    " ) t ON true"
    " WHERE s.zone_id = %(zone_id)s AND s.status NOT IN ('running', 'deleted') AND (s.status = ANY(%(transitional)s)"
    "  OR s.status = ANY(%(returning)s) AND s.deadline IS NOT NULL)"
    " AND (a.agent_id IS NULL OR a.status IN ('pending', 'running')"
    "  OR s.status IN ('requested', 'assigning') OR s.status = 'starting' AND s.started IS NULL)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWithDeadline(SessionInTransition):
    """A session in a status with a deadline, at the time `now` of the database."""

    now: datetime


async def read_with_deadline(db: Database, zone_id: str) -> list[SessionWithDeadline]:
    """Return the sessions in transitional statuses, and the unreachable and lost sessions whose Agent has returned.

    If the Agent is missing, only first starts and hand-overs are included, because their users wait. A decision about
    other sessions, such as resumed sessions, waits until the Agent returns or is dead.
    """
    return await db.fetch_as(SessionWithDeadline, WITH_DEADLINE, {"zone_id": zone_id, **WITH_DEADLINE_PARAMETERS})


async def lock_with_deadline(
    connection: Connection, zone_id: str, session_ids: Sequence[str]
) -> list[SessionWithDeadline]:
    """Lock the sessions with these ids that still have a deadline, in the order of the ids, and return them. Rows that
    another transaction has locked are omitted."""
    cursor = await connection.execute(
        WITH_DEADLINE
        + " AND s.session_id = ANY(%(ids)s::uuid[]) ORDER BY s.session_id FOR NO KEY UPDATE OF s SKIP LOCKED",
        {"zone_id": zone_id, "ids": list(session_ids), **WITH_DEADLINE_PARAMETERS},
    )
    return rows_as(SessionWithDeadline, await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """The reason of a failure, as a sentence. `set_aside`: quarantine the session; `slow`: the time limit passed."""

    reason: str
    set_aside: bool = False
    slow: bool = False


async def fail(connection: Connection, session_id: str, status: str, failure: SessionFailure) -> ChangedSession | None:
    """Change the status of a session from `status` to `failed`, and store the reason. Return the row; None = the
    session had another status."""
    cursor = await connection.execute(
        "UPDATE sessions SET " + CHANGE_TO[SessionStatus.FAILED] + ", error = %(reason)s, slow = %(slow)s,"
        " log_tail = coalesce((SELECT nullif(o.log_tail, '') FROM session_observed o"
        "  WHERE o.session_id = sessions.session_id), log_tail),"
        " set_aside_reason = CASE WHEN %(set_aside)s THEN %(reason)s ELSE set_aside_reason END"
        " WHERE session_id = %(session_id)s AND status = %(status)s" + CHANGED_SESSION,
        {"session_id": session_id, "status": status, **asdict(failure)},
    )
    return row_as(ChangedSession, await cursor.fetchone())


# The redundant `deleted` lets PostgreSQL use the index of sessions that are not deleted.
_RECOVERED: Final[LiteralString] = (
    "SELECT s.session_id::text FROM sessions s JOIN session_observed o USING (session_id, agent_id, generation)"
    " WHERE s.zone_id = %s AND s.status = 'failed' AND s.status <> 'deleted' AND s.slow"
    " AND s.set_aside_for IS NOT NULL AND o.usable"
)


async def read_recovered(db: Database, zone_id: str) -> list[str]:
    """Return the ids of sessions that were quarantined because they were slow, and that have become usable."""
    return [row["session_id"] for row in await db.fetch(_RECOVERED, (zone_id,))]


async def end_recovered(connection: Connection, zone_id: str) -> list[ChangedSession]:
    """End the sessions that `read_recovered` returns; returns the changed rows."""
    cursor = await connection.execute(
        "WITH recovered AS MATERIALIZED (" + _RECOVERED + " ORDER BY s.session_id FOR NO KEY UPDATE OF s)"
        " UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ","
        " ended_reason = 'It was quarantined because it was slow, and answered again.'"
        " WHERE session_id IN (SELECT session_id::uuid FROM recovered) AND status = 'failed'" + CHANGED_SESSION,
        (zone_id,),
    )
    return rows_as(ChangedSession, await cursor.fetchall())


async def delete_again(connection: Connection, session_id: str) -> ChangedSession | None:
    """Instruct the Agent again to end a session; None = the session has ended. `status_changed` stays the time at which
    the wait began."""
    cursor = await connection.execute(
        "UPDATE sessions SET generation = generation + 1,"
        " deadline = clock_timestamp() + make_interval(secs => %s)"
        " WHERE session_id = %s AND status = 'deleting'" + CHANGED_SESSION,
        (DEADLINE_S[SessionStatus.DELETING], session_id),
    )
    return row_as(ChangedSession, await cursor.fetchone())


async def discard_failed(
    connection: Connection, zone_id: str, user_keep_s: float, pool_keep_s: float
) -> list[ChangedSession]:
    """Delete failed sessions after their retention; returns the changed rows.

    A user's session is deleted as soon as the user has a later session of the same workspace, so that repeated launches
    do not fill the hosts with failed sessions. The plan of a pool discards the failed sessions of the pool;
    `pool_keep_s` applies to the sessions of a deleted pool, also to its quarantined sessions.
    """
    cursor = await connection.execute(
        "WITH old AS MATERIALIZED (SELECT session_id FROM sessions WHERE zone_id = %(zone_id)s AND status = 'failed'"
        "  AND (set_aside_for IS NULL OR EXISTS (SELECT 1 FROM staging_configs c"
        "   WHERE c.staging_config_id = sessions.staging_config_id AND c.deleted IS NOT NULL))"
        "  AND NOT awaits_successor AND (status_changed < clock_timestamp() - make_interval(secs =>"
        "   CASE WHEN user_id IS NULL THEN %(pool_keep_s)s ELSE %(user_keep_s)s END::double precision)"
        "   OR EXISTS (SELECT 1 FROM sessions later WHERE later.user_id = sessions.user_id"
        "    AND later.status <> 'deleted' AND later.image_id = sessions.image_id"
        "    AND later.created > sessions.created))"
        "  ORDER BY session_id LIMIT 100 FOR NO KEY UPDATE)"
        " UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", ended_reason = coalesce(ended_reason, error)"
        " WHERE session_id IN (SELECT session_id FROM old) AND status = 'failed'" + CHANGED_SESSION,
        {"zone_id": zone_id, "user_keep_s": user_keep_s, "pool_keep_s": pool_keep_s},
    )
    return rows_as(ChangedSession, await cursor.fetchall())


# now() as in `db.diagnostics.retention`: an index can be used only for a time that does not change.
DELETE_ENDED_ROWS: Final[LiteralString] = (
    "DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE status = 'deleted'"
    " AND zone_id = %(zone_id)s AND ended < now() - make_interval(secs => %(keep_days)s * 86400.0)"
    " ORDER BY ended LIMIT 300)"
)


async def delete_ended_rows(connection: Connection, zone_id: str, keep_days: float) -> int:
    """Delete rows of sessions that ended more than `keep_days` ago, at most 300 rows; returns their number."""
    cursor = await connection.execute(DELETE_ENDED_ROWS, {"zone_id": zone_id, "keep_days": keep_days})
    return cursor.rowcount


WORK_QUERIES: Final[tuple[LiteralString, ...]] = (
    AGENTS_TO_CHECK,
    ENDING_ON_DEAD_AGENTS,
    STORED_OBSERVATIONS,
    WITH_DEADLINE,
    CHANGED_OFFERS,
    AWAITING_SUCCESSOR,
    EXPIRING,
    EXPIRED_SHARES,
)
"""Each query returns rows if a task of the Primary has work."""
IS_DUE: Final[LiteralString] = "SELECT EXISTS (" + ") OR EXISTS (".join(WORK_QUERIES) + ") AS is_due"


async def has_work(db: Database, zone_id: str, *, missing_s: float, cpu_overcommit: float) -> bool:
    """Return True if a round of the Primary may have work. Raises Unavailable: the database cannot be reached."""
    params = {"zone_id": zone_id, "missing_s": missing_s, "overcommit": cpu_overcommit}
    row = await db.fetch_one(
        IS_DUE,
        {**params, **MARK_LOST_PARAMETERS, **DECIDABLE_PARAMETERS, **WITH_DEADLINE_PARAMETERS, **EXPIRING_PARAMETERS},
    )
    return row is not None and row["is_due"]
