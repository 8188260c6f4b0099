"""The liveness of Agents: changes of their status, of their sessions and of the capacity that their sessions reserve.

The Primary writes only inside `db.fleet.leadership.guarded`, so that a Manager that has lost the leadership writes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.types.json import Jsonb

from greenroom.core.fleet.liveness import AgentReport, Allocation
from greenroom.core.session.states import SessionStatus, sources_of
from greenroom.db.database import Connection, Database, rows_as
from greenroom.db.session.transitions import CHANGE_TO, ChangedSession

MARK_LOST_PARAMETERS: Final = {"sources_of_lost": sorted(sources_of(SessionStatus.LOST))}
_CAN_BECOME_LOST: Final[LiteralString] = (
    " user_id IS NOT NULL AND status = ANY(%(sources_of_lost)s) AND status <> 'deleted'"
    " AND (status <> 'starting' OR started IS NOT NULL)"
)
"""Condition on `sessions`: the session becomes lost with its Agent. A first start is excluded, because it is tried on
another Agent; a resumed session is included, because its disk is on its Agent."""
_DELETABLE: Final = sorted(sources_of(SessionStatus.DELETING))


FREE_DISK: Final[LiteralString] = (
    "jsonb_build_object('free_bytes', (a.usage->>'disk_free_bytes')::bigint,"
    " 'kept_bytes', coalesce((a.usage->>'disk_kept_bytes')::bigint, 0),"
    " 'free_inodes', (a.usage->>'disk_free_inodes')::double precision)"
)
"""SQL for the disk of the Agent `a` as JSON for `core.fleet.disk.FreeDisk`."""
TAKES_SESSIONS: Final[LiteralString] = (
    "(a.status = 'running' AND a.enabled AND NOT a.draining AND a.runtime_error = ''"
    " AND coalesce((a.usage->>'disk_free_bytes')::bigint >= coalesce((a.usage->>'disk_kept_bytes')::bigint, 0), true)"
    " AND coalesce((a.usage->>'disk_free_inodes')::float8 >= 0.10, true))"
)
"""Condition that the Agent `a` takes new sessions, as `core.fleet.liveness.closed` decides. 0.10 is
`core.fleet.disk.INODES_KEPT`; `tests/database/test_load_balancing.py` compares."""

DISCONNECTED: Final[LiteralString] = "coalesce(a.disconnected > a.last_reported, false)"
"""Condition that the Agent `a` has closed the connection of a check-in, and has not checked in since."""

AGENTS_TO_CHECK: Final[LiteralString] = (
    "SELECT agent_id::text, agent_name(a) AS hostname, status, enabled, complete,"
    " extract(epoch FROM clock_timestamp() - last_reported)::double precision AS silent_s,"
    f" CASE WHEN {DISCONNECTED} THEN extract(epoch FROM clock_timestamp() - disconnected)::double precision END"
    " AS disconnected_s, coalesce(lateness, '{}') AS lateness,"
    " EXISTS (SELECT 1 FROM sessions s WHERE s.agent_id = a.agent_id AND"
    + _CAN_BECOME_LOST
    + ") AS has_sessions_to_mark_lost"
    " FROM agents a WHERE zone_id = %(zone_id)s"
    f" AND (status <> 'running' OR {DISCONNECTED}"
    " OR last_reported < clock_timestamp() - make_interval(secs => %(missing_s)s))"
)


async def read_agents(db: Database, zone_id: str, missing_s: float) -> list[AgentReport]:
    """Return the Agents of the zone whose status may change: those that do not run, those that closed their connection,
    and those that were silent for this time."""
    params = {**MARK_LOST_PARAMETERS, "zone_id": zone_id, "missing_s": missing_s}
    return await db.fetch_as(AgentReport, AGENTS_TO_CHECK + " ORDER BY agent_id", params)


async def mark_running(connection: Connection, agents: Mapping[str, str]) -> frozenset[str]:
    """Mark Agents (id → expected status) as running; returns the ids of the Agents that had the expected status."""
    await connection.execute(
        "SELECT 1 FROM agents WHERE agent_id = ANY(%s::uuid[]) ORDER BY agent_id FOR NO KEY UPDATE", (list(agents),)
    )
    cursor = await connection.execute(
        "UPDATE agents a SET status = 'running' FROM unnest(%s::uuid[], %s::text[]) AS m(agent_id, before)"
        " WHERE a.agent_id = m.agent_id AND a.status = m.before RETURNING a.agent_id::text",
        (list(agents), list(agents.values())),
    )
    return frozenset(row["agent_id"] for row in await cursor.fetchall())


async def record_disconnection(db: Database, agent_id: str, incarnation: int, seq: int) -> bool:
    """Store that the Agent closed the connection of its check-in with this number. Return False if a newer message of
    the Agent is stored. The number counts as stored, so that a message that still waits does not void the time."""
    rows = await db.write(
        "UPDATE agents SET disconnected = clock_timestamp(), seq = %(seq)s WHERE agent_id = %(agent_id)s"
        " AND incarnation = %(incarnation)s AND seq <= %(seq)s RETURNING 1",
        {"agent_id": agent_id, "incarnation": incarnation, "seq": seq},
    )
    return bool(rows)


async def mark_missing(connection: Connection, agent_id: str, missing_s: float) -> list[ChangedSession] | None:
    """Mark an Agent as missing if it is still silent or disconnected; returns the changed sessions, or None if it
    reported.

    The Agent's sessions without a user are changed too: `running` sessions become `unreachable`; sessions that do not
    run yet are deleted. All get a new generation, so that an older observation cannot return a session to service.
    """
    cursor = await connection.execute(
        "UPDATE agents a SET status = 'missing' WHERE agent_id = %s AND status = 'running'"
        f" AND ({DISCONNECTED} OR last_reported < clock_timestamp() - make_interval(secs => %s)) RETURNING 1",
        (agent_id, missing_s),
    )
    if await cursor.fetchone() is None:
        return None
    await connection.execute(
        "SELECT 1 FROM sessions WHERE agent_id = %s AND user_id IS NULL"
        " AND status IN ('requested', 'starting', 'running') ORDER BY session_id FOR NO KEY UPDATE",
        (agent_id,),
    )
    cursor = await connection.execute(
        "WITH unreachable AS (UPDATE sessions SET "
        + CHANGE_TO[SessionStatus.UNREACHABLE]
        + " WHERE agent_id = %(agent_id)s"
        "  AND user_id IS NULL AND status = 'running' RETURNING session_id::text, status, staging_config_id::text),"
        " deleting AS (UPDATE sessions SET "
        + CHANGE_TO[SessionStatus.DELETING]
        + ", ended_reason = 'its Agent is missing'"
        "  WHERE agent_id = %(agent_id)s AND user_id IS NULL AND status IN ('requested', 'starting')"
        "  RETURNING session_id::text, status, staging_config_id::text)"
        " SELECT * FROM unreachable UNION ALL SELECT * FROM deleting",
        {"agent_id": agent_id},
    )
    return rows_as(ChangedSession, await cursor.fetchall())


async def mark_dead(connection: Connection, agent_id: str, dead_s: float) -> bool:
    """Mark a missing Agent as dead if it is still silent; False = the Agent reported, or is not missing."""
    cursor = await connection.execute(
        "UPDATE agents SET status = 'dead' WHERE agent_id = %s AND status = 'missing'"
        " AND last_reported < clock_timestamp() - make_interval(secs => %s) RETURNING 1",
        (agent_id, dead_s),
    )
    return await cursor.fetchone() is not None


async def mark_lost(connection: Connection, agent_id: str, reason: str) -> list[ChangedSession]:
    """Mark the users' sessions of a missing Agent as lost; returns the changed sessions."""
    await connection.execute(
        "SELECT 1 FROM sessions WHERE agent_id = %(agent_id)s AND" + _CAN_BECOME_LOST + " ORDER BY session_id"
        " FOR NO KEY UPDATE",
        {**MARK_LOST_PARAMETERS, "agent_id": agent_id},
    )
    cursor = await connection.execute(
        f"UPDATE sessions SET {CHANGE_TO[SessionStatus.LOST]}, error = %(reason)s"
        " WHERE EXISTS (SELECT 1 FROM agents a WHERE a.agent_id = sessions.agent_id AND a.status = 'missing')"
        f" AND agent_id = %(agent_id)s AND{_CAN_BECOME_LOST}"
        " RETURNING session_id::text, status, user_id::text, staging_config_id::text",
        {**MARK_LOST_PARAMETERS, "reason": reason, "agent_id": agent_id},
    )
    return rows_as(ChangedSession, await cursor.fetchall())


async def delete_sessions_of(connection: Connection, agent_id: str, reason: str) -> list[ChangedSession]:
    """End all sessions of a dead Agent; returns the changed sessions."""
    await connection.execute(
        "SELECT 1 FROM sessions WHERE agent_id = %s AND status = ANY(%s) ORDER BY session_id FOR NO KEY UPDATE",
        (agent_id, _DELETABLE),
    )
    cursor = await connection.execute(
        "UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", ended_reason = %s"
        " WHERE agent_id = %s AND status = ANY(%s)"
        " RETURNING session_id::text, status, user_id::text, staging_config_id::text",
        (reason, agent_id, _DELETABLE),
    )
    return rows_as(ChangedSession, await cursor.fetchall())


ENDING_ON_DEAD_AGENTS: Final[LiteralString] = (
    "SELECT session_id::text FROM sessions s LEFT JOIN agents a USING (agent_id)"
    " WHERE s.zone_id = %(zone_id)s AND s.status = 'deleting' AND coalesce(a.status, 'dead') = 'dead'"
)


async def read_ending_on_dead_agents(db: Database, zone_id: str) -> list[str]:
    """Return sessions that are ending and have no Agent, or a dead Agent: no Agent will confirm their end."""
    rows = await db.fetch(ENDING_ON_DEAD_AGENTS + " LIMIT 500", {"zone_id": zone_id})
    return [row["session_id"] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOffer:
    """The cores and the memory (bytes) that an Agent offers, and the stored values (`…_before`)."""

    agent_id: str
    hostname: str
    cores: float
    overcommit: float
    memory: int
    cores_before: float
    memory_before: int


CHANGED_OFFERS: Final[LiteralString] = (
    "SELECT agent_id::text, agent_name(a) AS hostname, c.cores AS cores_before, c.memory AS memory_before, o.*"
    " FROM agents a JOIN agent_capacity c USING (agent_id), LATERAL"
    " (SELECT CASE WHEN c.cores_reported > 0"
    "   THEN coalesce(a.cores_override, c.cores_reported * %(overcommit)s) ELSE 0 END AS cores,"
    "  CASE WHEN a.cores_override IS NULL THEN %(overcommit)s ELSE 1 END AS overcommit,"
    "  CASE WHEN c.memory_reported > 0"
    "   THEN coalesce(a.memory_override, c.memory_reported) ELSE 0 END AS memory) o"
    " WHERE a.zone_id = %(zone_id)s AND (c.cores, c.overcommit, c.memory)"
    " IS DISTINCT FROM (o.cores, o.overcommit, o.memory)"
)


async def changed_offers(db: Database, zone_id: str, cpu_overcommit: float) -> list[ChangedOffer]:
    """Return the Agents whose stored offer differs from the offer that follows from their report, the overcommit and
    the overrides (as in `write_capacity`)."""
    params = {"zone_id": zone_id, "overcommit": cpu_overcommit}
    return await db.fetch_as(ChangedOffer, CHANGED_OFFERS + " ORDER BY agent_id", params)


LOCK_CAPACITY: Final[LiteralString] = (
    "SELECT 1 FROM agent_capacity WHERE agent_id = ANY(%s::uuid[]) ORDER BY agent_id FOR NO KEY UPDATE"
)


async def write_offers(connection: Connection, offers: Sequence[ChangedOffer]) -> None:
    """Store the offers of Agents. A change of `overcommit` changes the reservations of sessions with a CPU quota."""
    await connection.execute(LOCK_CAPACITY, ([offer.agent_id for offer in offers],))
    await connection.execute(
        "UPDATE agent_capacity c SET cores = o.cores, overcommit = o.overcommit, memory = o.memory FROM"
        " jsonb_to_recordset(%s) AS o(agent_id uuid, cores float8, overcommit float8, memory bigint)"
        " WHERE c.agent_id = o.agent_id",
        (Jsonb(offers),),
    )


_ALLOCATIONS: Final[LiteralString] = (
    "SELECT c.agent_id::text, agent_name(a) AS hostname, c.cores_allocated AS cores_stored,"
    " c.memory_allocated AS memory_stored,"
    " coalesce(sum(reserved_cores(s.cores, s.cpu_quota, c.overcommit)), 0) AS cores_summed,"
    " coalesce(sum(s.memory), 0)::bigint AS memory_summed"
    " FROM agent_capacity c JOIN agents a USING (agent_id)"
    " LEFT JOIN sessions s ON s.agent_id = c.agent_id AND s.status <> 'deleted'"
    " WHERE a.zone_id = %s AND (%s::uuid[] IS NULL OR c.agent_id = ANY(%s::uuid[]))"
    " GROUP BY c.agent_id, a.*, c.cores_allocated, c.memory_allocated"
)
_DIFFERING: Final[LiteralString] = (
    "SELECT * FROM (" + _ALLOCATIONS + ") AS a"
    " WHERE (cores_stored, memory_stored) IS DISTINCT FROM (cores_summed, memory_summed)"
)


async def read_differing_allocations(db: Database, zone_id: str) -> list[Allocation]:
    """Return the Agents whose stored reservation differs from the sum of their sessions, even by a rounding error. The
    result is not exact while sessions start and end."""
    return await db.fetch_as(Allocation, _DIFFERING, (zone_id, None, None))


async def lock_allocations(connection: Connection, zone_id: str, agent_ids: Sequence[str]) -> list[Allocation]:
    """Lock the reservations of these Agents until commit, and return them. The result is exact, because every
    reservation and release locks these rows first."""
    await connection.execute(LOCK_CAPACITY, (list(agent_ids),))
    cursor = await connection.execute(_ALLOCATIONS, (zone_id, list(agent_ids), list(agent_ids)))
    return rows_as(Allocation, await cursor.fetchall())


async def correct_allocation(connection: Connection, agent_id: str, cores: float, memory: int) -> None:
    """Set the reserved cores and memory of an Agent."""
    await connection.execute(
        "UPDATE agent_capacity SET cores_allocated = %s, memory_allocated = %s WHERE agent_id = %s",
        (cores, memory, agent_id),
    )
