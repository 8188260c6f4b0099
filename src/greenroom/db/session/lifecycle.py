"""The commands stop, pause and resume, and the two clocks of users' sessions: the keepalive and the time limit
(`core.session.states`, `core.session.deadlines`).

A statement changes a session only in the statuses that permit the change. After the commit, the caller sends the
notifications for the Agent, the session and the zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.session.deadlines import RETURN_DEADLINE_S, Clocks, SessionLifetime
from greenroom.core.session.states import (
    COMMAND_EFFECTS,
    COUNTS_FOR_USER,
    KEPT_ALIVE,
    WAITING_FOR_AGENT,
    LifecycleCommand,
    SessionStatus,
    sources_of,
)
from greenroom.db.database import Connection, Database, row_as, rows_as
from greenroom.db.session.transitions import CHANGE_TO, CHANGED_SESSION, ChangedSession

MAX_EXPIRING: Final = 100
"""The maximum number of sessions that one call of `read_expiring` returns. Later calls return further sessions."""

EXPIRING_PARAMETERS: Final = {"counted_statuses": sorted(map(str, COUNTS_FOR_USER))}
"""The parameters of `EXPIRING` in addition to `zone_id`."""
_KEPT_ALIVE: Final = sorted(map(str, KEPT_ALIVE))
_REVOCABLE: Final = sorted(map(str, sources_of(SessionStatus.STARTING) - {SessionStatus.REQUESTED}))
"""The statuses in which a stop or pause can be revoked, so that the session runs again."""

CAN_PAUSE_COLUMN: Final[LiteralString] = "coalesce((a.usage->>'pauses')::boolean, true) AS can_pause"
"""The column `can_pause`: true if the session's Agent `a` can stop and pause sessions."""
CLOCKS_COLUMN: Final[LiteralString] = (
    "jsonb_build_object('keepalive_s', coalesce(extract(epoch FROM"
    " s.expires - coalesce(s.keepalive, s.assigned, s.created)), 0)) || s.expiry AS clocks"
)
"""The column `clocks` of a row of `sessions s`. A staged session has no clocks before its assignment; its
`keepalive_s` is derived from its expiration."""

# The keepalive clock starts again; the time limit still counts from the assignment.
_START_CLOCKS: Final[LiteralString] = (
    " keepalive = clock_timestamp(), expiry = %(expiry)s,"
    " time_limit_ends = assigned + make_interval(secs => nullif(%(time_limit_s)s::double precision, 0)),"
    " expires = LEAST(clock_timestamp() + make_interval(secs => %(keepalive_s)s),"
    "  assigned + make_interval(secs => nullif(%(time_limit_s)s::double precision, 0)))"
)


def clock_parameters(clocks: Clocks) -> dict[str, Any]:
    """Return the clocks as parameters of a statement: expiry, keepalive_s, time_limit_s."""
    return {"expiry": Jsonb(clocks), "keepalive_s": clocks.keepalive_s, "time_limit_s": clocks.time_limit_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReport:
    """The report of a page that shows a session: the time of a round trip to the session, the frames and the kilobits
    that it received per second (None = not known yet), and the address of the browser."""

    round_trip_ms: float | None
    frames_s: float | None
    kbit_s: float | None
    client_address: str


async def keep_alive(
    db: Database, session_id: str, clocks: Clocks, report: PageReport | None = None
) -> datetime | None:
    """Restart the keepalive clock of a session, and store the report of its page, if there is one. Return the new
    expiration. None = the session has no user, or is stopped, paused or ending."""
    reported: LiteralString = (
        ", round_trip_ms = %(round_trip_ms)s, frames_s = %(frames_s)s, kbit_s = %(kbit_s)s,"
        " client_address = %(client_address)s"
        if report
        else ""
    )
    rows = await db.write(
        f"UPDATE sessions SET{_START_CLOCKS}{reported}"
        " WHERE session_id = %(id)s AND user_id IS NOT NULL AND status = ANY(%(kept_alive)s) RETURNING expires",
        {"id": session_id, "kept_alive": _KEPT_ALIVE, **clock_parameters(clocks), **(asdict(report) if report else {})},
    )
    return rows[0]["expires"] if rows else None


async def stop_or_pause(
    connection: Connection, session_id: str, command: LifecycleCommand, reason: str
) -> ChangedSession | None:
    """Stop or pause a user's session. Its keepalive clock stops; its time limit continues. Return its row; None = its
    status does not permit the command."""
    effect = COMMAND_EFFECTS[command]
    cursor = await connection.execute(
        "UPDATE sessions SET "
        + CHANGE_TO[effect.transitional_status]
        + ", expires = time_limit_ends, stopped_reason = %(reason)s"
        " WHERE session_id = %(id)s AND user_id IS NOT NULL AND status = ANY(%(sources)s)" + CHANGED_SESSION,
        {"id": session_id, "sources": sorted(effect.sources), "reason": reason},
    )
    return row_as(ChangedSession, await cursor.fetchone())


async def resume(connection: Connection, session_id: str, clocks: Clocks) -> ChangedSession | None:
    """Resume a user's stopped or paused session; returns its row. None = the session is neither stopped nor paused."""
    effect = COMMAND_EFFECTS["resume"]
    cursor = await connection.execute(
        f"UPDATE sessions SET {CHANGE_TO[effect.transitional_status]},{_START_CLOCKS}"
        f" WHERE session_id = %(id)s AND user_id IS NOT NULL AND status = ANY(%(sources)s){CHANGED_SESSION}",
        {"id": session_id, "sources": sorted(effect.sources), **clock_parameters(clocks)},
    )
    return row_as(ChangedSession, await cursor.fetchone())


async def revoke_stop_or_pause(connection: Connection, session_id: str, status: str) -> ChangedSession | None:
    """Revoke a stop or pause that did not complete: the session must run again, and its keepalive clock starts again.
    Return its row; None = the session has another status than `status`."""
    cursor = await connection.execute(
        "UPDATE sessions SET " + CHANGE_TO[SessionStatus.STARTING] + ","
        " keepalive = clock_timestamp(), expires = LEAST(time_limit_ends, clock_timestamp()"
        "  + make_interval(secs => (expiry ->> 'keepalive_s')::double precision))"
        " WHERE session_id = %(id)s AND status = %(status)s AND status = ANY(%(revocable)s)" + CHANGED_SESSION,
        {"id": session_id, "status": status, "revocable": _REVOCABLE},
    )
    return row_as(ChangedSession, await cursor.fetchone())


async def start_return_deadlines(connection: Connection, agent_ids: Sequence[str]) -> None:
    """Start the deadline `RETURN_DEADLINE_S` of all sessions that waited for the return of these Agents.

    These are lost and unreachable sessions, and sessions that must be stopped, paused or resumed
    (`db.session.deadlines.read_with_deadline`).
    """
    await connection.execute(
        "UPDATE sessions SET deadline = clock_timestamp() + make_interval(secs => %s)"
        " WHERE session_id IN (SELECT session_id FROM sessions WHERE agent_id = ANY(%s::uuid[]) AND (status = ANY(%s)"
        "   OR status IN ('stopping', 'pausing') OR status = 'starting' AND started IS NOT NULL)"
        "  ORDER BY session_id FOR NO KEY UPDATE)",
        (RETURN_DEADLINE_S, list(agent_ids), sorted(WAITING_FOR_AGENT)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringSession(SessionLifetime):
    """A user's session whose `expires` has passed at the time `now` of the database."""

    username: str
    now: datetime


EXPIRING: Final[LiteralString] = f"""
SELECT s.session_id::text, u.username, s.status, s.expires, s.time_limit_ends, clock_timestamp() AS now,
       {CLOCKS_COLUMN}, {CAN_PAUSE_COLUMN}
  FROM sessions s JOIN users u USING (user_id) LEFT JOIN agents a ON a.agent_id = s.agent_id
 WHERE s.zone_id = %(zone_id)s AND s.status = ANY(%(counted_statuses)s) AND s.status <> 'deleted'
   AND s.user_id IS NOT NULL AND s.expires <= clock_timestamp()
   AND (s.status = 'running' OR COALESCE(s.expiry ->> 'action', 'delete') = 'delete'
        OR s.time_limit_ends <= clock_timestamp())
"""


async def read_expiring(db: Database, zone_id: str) -> list[ExpiringSession]:
    """Return users' sessions of the zone whose `expires` has passed.

    A session with the action stop or pause is included only while it runs, or if its time limit has passed.
    """
    return await db.fetch_as(
        ExpiringSession,
        EXPIRING + " ORDER BY s.expires LIMIT %(limit)s",
        {"zone_id": zone_id, **EXPIRING_PARAMETERS, "limit": MAX_EXPIRING},
    )


async def lock_expiring(connection: Connection, zone_id: str, session_ids: Sequence[str]) -> list[ExpiringSession]:
    """Lock the sessions with these ids that are still expired, in the order of the ids, and return them. Rows that
    another transaction has locked are omitted."""
    cursor = await connection.execute(
        EXPIRING + " AND s.session_id = ANY(%(ids)s::uuid[]) ORDER BY s.session_id FOR NO KEY UPDATE OF s SKIP LOCKED",
        {"zone_id": zone_id, **EXPIRING_PARAMETERS, "ids": list(session_ids)},
    )
    return rows_as(ExpiringSession, await cursor.fetchall())
