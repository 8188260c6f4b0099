"""A launch on demand: reads the Agents, inserts the session within the limit of its user, and evicts staged sessions.

Lock order of docs/explanation/protocols.md §3: users → agent_capacity → sessions (by id).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncCursor, Rollback
from psycopg.rows import DictRow

from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.eviction import MAX_WAITING_S, WAITING_S, StartingSession, events_of
from greenroom.core.launch.placement import PlacementAgent
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.lease import user_limit_reached
from greenroom.core.pool.model import START_STATUSES
from greenroom.core.session.states import SessionStatus
from greenroom.db.access.lifecycle import lock_access
from greenroom.db.database import NOTIFY, Connection, Database, event_texts, returned_row
from greenroom.db.fleet.liveness import DISCONNECTED, FREE_DISK
from greenroom.db.launch.claims import FRESH_AGENT_S, LedgerLine
from greenroom.db.lease.leases import write_lease
from greenroom.db.named_secrets import CAN_ADD_SECRETS
from greenroom.db.session.sessions import (
    COUNTED_SESSIONS,
    COUNTED_STATUSES,
    MAY_LAUNCH,
    RELEASE,
    NewSession,
    insert_session,
    lock_user,
    repeated_request,
    user_may_not_launch,
    user_values,
)
from greenroom.db.session.transitions import CHANGE_TO

_START_STATUSES: Final = sorted(map(str, START_STATUSES))

AGENTS_OF_ZONE: Final[LiteralString] = f"""
SELECT a.agent_id::text, agent_name(a) AS hostname, a.status, a.enabled, a.draining, a.runtime_error,
       a.crash_loop, a.edge_url,
       COALESCE(a.last_reported < clock_timestamp() - make_interval(secs => %(fresh_s)s), true) OR {DISCONNECTED}
           AS silent,
       COALESCE(c.cores, 0) AS cores, COALESCE(c.overcommit, 1) AS overcommit, COALESCE(c.memory, 0) AS memory,
       COALESCE(c.cores_allocated, 0) AS cores_allocated, COALESCE(c.memory_allocated, 0) AS memory_allocated,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS sessions,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status = 'failed'
           AND s.set_aside_for IS NOT NULL) AS set_aside,
       {FREE_DISK} AS disk,
       COALESCE(a.usage->'runtime_classes', '[]') AS runtime_classes, {CAN_ADD_SECRETS} AS can_add_secrets,
       (a.usage->>'cpu')::double precision AS cpu_used,
       (a.usage->>'memory_bytes')::double precision / NULLIF(c.memory_reported, 0) AS memory_used,
       COALESCE(i.state, CASE WHEN EXISTS (SELECT 1 FROM agent_images r WHERE r.agent_id = a.agent_id) THEN 'absent'
                              ELSE 'unknown' END) AS image_state,
       COALESCE(i.error, '') AS image_error, COALESCE(i.progress, 0) AS image_progress
  FROM agents a LEFT JOIN agent_capacity c USING (agent_id)
  LEFT JOIN agent_images i ON i.agent_id = a.agent_id AND i.name = %(image)s
 WHERE a.zone_id = %(zone_id)s
 ORDER BY a.agent_id
"""
"""The Agents of zone `zone_id` with the state of image `image`: the fields of core.launch.placement.PlacementAgent.
`fresh_s` is `claims.FRESH_AGENT_S`."""


async def read_agents(db: Database, zone_id: str, image: str) -> list[PlacementAgent]:
    """Return the Agents of a zone, with the state of the image of this name."""
    return await db.fetch_as(
        PlacementAgent, AGENTS_OF_ZONE, {"zone_id": zone_id, "image": image, "fresh_s": FRESH_AGENT_S}
    )


async def read_starting_staged(db: Database, zone_id: str) -> list[StartingSession]:
    """Return the staged sessions of a zone that are not usable yet."""
    # The redundant `deleted` lets a generic plan use the index of sessions that are not deleted.
    return await db.fetch_as(
        StartingSession,
        "SELECT s.session_id::text, s.staging_config_id::text, s.agent_id::text, s.created, s.memory,"
        " reserved_cores(s.cores, s.cpu_quota, c.overcommit) AS cores, s.replaces IS NOT NULL AS is_replacement"
        " FROM sessions s JOIN agent_capacity c USING (agent_id) WHERE s.zone_id = %s AND s.user_id IS NULL"
        " AND s.staging_config_id IS NOT NULL AND s.status = ANY(%s) AND s.status <> 'deleted'",
        (zone_id, _START_STATUSES),
    )


async def end_to_make_room(connection: Connection, agent_id: str, session_ids: Sequence[str], reason: str) -> bool:
    """End staged sessions that are not usable yet, and release their reservations immediately; False = one of them
    became usable or ended.

    If the transaction has locked session rows before, they must include these sessions (`lock_sessions`). After False,
    it must be rolled back. All sessions are on `agent_id`; `reason` is a sentence that is stored with them.
    """
    await connection.execute("SELECT 1 FROM agent_capacity WHERE agent_id = %s FOR NO KEY UPDATE", (agent_id,))
    cursor = await connection.execute(
        f"""
        WITH ended AS MATERIALIZED (
            SELECT session_id, agent_id, memory, cores, cpu_quota FROM sessions WHERE session_id = ANY(%(ids)s::uuid[])
               AND agent_id = %(agent_id)s AND user_id IS NULL AND status = ANY(%(start_statuses)s)
             ORDER BY session_id FOR NO KEY UPDATE
        ), released AS (
            {RELEASE}
        )
        UPDATE sessions SET {CHANGE_TO[SessionStatus.DELETING]}, ended_reason = %(reason)s, cores = 0, memory = 0
         WHERE session_id IN (SELECT session_id FROM ended)
        """,
        {"ids": list(session_ids), "agent_id": agent_id, "start_statuses": _START_STATUSES, "reason": reason},
    )
    return cursor.rowcount == len(session_ids)


async def store_waiting_user(db: Database, *, zone_id: str, user_id: str, image_id: str, room_helps: bool) -> None:
    """Store that a launch was refused in this zone for lack of room, and that its user waits for room.

    `room_helps`: True = an empty host of the zone could run the session. If False, the user is stored only if an
    enabled machine pool of the zone may order a machine.
    """
    await db.write(
        "INSERT INTO launches_waiting AS w (zone_id, user_id, image_id, room_helps)"
        " SELECT %(zone_id)s, %(user_id)s, %(image_id)s, %(room_helps)s"
        " WHERE %(room_helps)s OR EXISTS (SELECT 1 FROM machine_pools WHERE zone_id = %(zone_id)s AND enabled)"
        " ON CONFLICT (zone_id, user_id, image_id) DO UPDATE SET refused = clock_timestamp(),"
        " room_helps = excluded.room_helps, since = CASE"
        " WHEN w.refused < clock_timestamp() - make_interval(secs => %(waiting_s)s) THEN clock_timestamp()"
        " ELSE w.since END",
        {
            "zone_id": zone_id,
            "user_id": user_id,
            "image_id": image_id,
            "room_helps": room_helps,
            "waiting_s": WAITING_S,
        },
    )


# The condition `l.at > now() - …` lets PostgreSQL use the index by time. The Primary runs this query often.
STILL_WAITING: Final[LiteralString] = (
    " FROM launches_waiting w WHERE w.refused > clock_timestamp() - make_interval(secs => %(waiting_s)s)"
    " AND w.since > clock_timestamp() - make_interval(secs => %(max_waiting_s)s)"
    " AND NOT EXISTS (SELECT 1 FROM launches l WHERE l.user_id = w.user_id AND l.image_id = w.image_id"
    " AND l.outcome <> 'failed' AND l.at >= w.refused AND l.at > now() - make_interval(secs => %(waiting_s)s))"
)
"""The FROM and WHERE clauses that select the waiting users of all zones, with the values of `waiting_parameters`."""
COUNT_WAITING_USERS: Final[LiteralString] = (
    "SELECT count(DISTINCT w.user_id) AS number" + STILL_WAITING + " AND w.zone_id = %(zone_id)s AND w.room_helps"
)
"""Counts the users who may get room on the zone's hosts."""


def waiting_parameters(zone_id: str) -> dict[str, Any]:
    """Return the parameters of `STILL_WAITING` and `COUNT_WAITING_USERS`."""
    return {"zone_id": zone_id, "waiting_s": WAITING_S, "max_waiting_s": MAX_WAITING_S}


async def query_waiting_users(connection: Connection, zone_id: str) -> AsyncCursor[DictRow]:
    """Send the query for the number of users who wait for room in this zone: users whose launch was refused recently,
    who have not waited too long, and who got no session since. Returns a cursor with one row with the column `number`,
    so that the caller can send other queries before it reads the result."""
    return await connection.execute(COUNT_WAITING_USERS, waiting_parameters(zone_id))


async def insert_for_user(
    db: Database,
    new: NewSession,
    ledger: LedgerLine,
    *,
    max_sessions: int,
    evicted: Sequence[StartingSession] = (),
) -> bool:
    """Insert the session of a user. The row of the user is locked, so that two launches cannot exceed the limit. The
    lock of `lock_access` comes first, so that a change of groups does not miss the session.

    The same transaction writes the line of the launch in the ledger, the lease and the notifications, and ends the
    `evicted` sessions, which are staged on the same Agent and not usable yet. False = the Agent lacks room, or one of
    the evicted sessions became usable.

    Raises:
        Forbidden: the user was barred, or lost a permission that the launch needs, since the launch was planned.
        SessionLimit, LeaseLimit: the user has `max_sessions` sessions without a lease, or `max_sessions` leases.
        RepeatedRequest: the same request, with the same idempotency key, was carried out in the meantime.
        IdempotencyMismatch: a request with other content used the idempotency key in the meantime.
    """
    user = new.user
    if user is None:
        raise AssertionError("a session of a launch has a user")
    try:
        async with db.transaction() as connection:
            await lock_access(connection, alone=False)
            await lock_user(connection, user.user_id)
            ids = [session.session_id for session in evicted]
            placed = await insert_with_evictions(connection, new, max_sessions=max_sessions, evicted=ids)
            if placed:
                events = events_of(evicted) | session_events(new.session_id, agent_id=new.agent_id)
                await _write_ledger(connection, new, ledger, events)
                await write_lease(connection, user)
            else:
                await _check_user(connection, user, max_sessions)
            return placed
    except psycopg.errors.UniqueViolation as error:
        raise await repeated_request(db, error, user) from error


async def insert_with_evictions(
    connection: Connection, new: NewSession, *, max_sessions: int, evicted: Sequence[str]
) -> bool:
    """End the `evicted` staged sessions and insert a user's session in their room; False = nothing was changed.

    The transaction must have locked the user's row. If it has locked session rows before, they must include the
    `evicted` sessions (`lock_sessions`). These sessions are on the same Agent and not usable yet.
    """
    if not evicted:
        return await insert_session(connection, new, max_sessions=max_sessions)
    reason = f"It ended to make room for session {new.session_id}, launched on demand: launches of users have priority."
    async with connection.transaction() as attempt:
        if not (
            await end_to_make_room(connection, new.agent_id, evicted, reason)
            and await insert_session(connection, new, max_sessions=max_sessions)
        ):
            raise Rollback(attempt)
        return True
    return False


async def _write_ledger(connection: Connection, new: NewSession, line: LedgerLine, events: set[ChangeEvent]) -> None:
    """Write the line of the ledger, in one statement with its notifications."""
    await connection.execute(
        "INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps, duration_ms,"
        " current_zone_id, request_host)"
        " VALUES (COALESCE(%(launch_id)s::uuid, gen_random_uuid()), %(session_id)s, %(user_id)s, %(image_id)s,"
        " %(zone_id)s, 'on_demand', %(steps)s, %(duration_ms)s, %(current_zone_id)s, %(request_host)s)"
        " RETURNING (" + NOTIFY + ")",
        {**new.values(), **line.values(), "events": event_texts(events)},
    )


async def _check_user(connection: Connection, user: SessionUser, max_sessions: int) -> None:
    cursor = await connection.execute(
        "SELECT " + COUNTED_SESSIONS + " AS number, " + MAY_LAUNCH + " AS may_launch",
        user_values(user) | {"counted_statuses": COUNTED_STATUSES},
    )
    row = await returned_row(cursor)
    if not row["may_launch"]:
        raise user_may_not_launch()
    if row["number"] >= max_sessions:
        raise user_limit_reached(max_sessions, leased=user.lease is not None)
