"""What must hold at any instant in the database of a live system, as queries for what breaks it.

Each query answers with one sentence per thing that breaks the invariant, in the column `what`. Something in flight may
look broken for a moment: the caller asks twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from greenroom.db.database import Database


@dataclass(frozen=True, slots=True)
class Invariant:
    """One of I1 to I12.

    Args:
        code: I1 … I12.
        holds: what is true while it holds.
        query: finds what breaks it.
    """

    code: str
    holds: str
    query: LiteralString


INVARIANTS: Final = (
    Invariant(
        "I1",
        "no effect is of a later term than the zone's lease",
        "SELECT format('session %s was made in term %s, zone %s is at term %s',"
        " s.session_id, s.term, z.zone_name, l.term) AS what"
        " FROM sessions s JOIN zones z USING (zone_id) JOIN zone_leases l USING (zone_key) WHERE s.term > l.term",
    ),
    Invariant(
        "I2",
        "who holds an unexpired lease holds the zone's lock",
        "SELECT format('the lease of zone %s is in force without its lock', z.zone_name) AS what"
        " FROM zone_leases l JOIN zones z USING (zone_key) WHERE l.expires_at > clock_timestamp() AND NOT EXISTS"
        " (SELECT 1 FROM pg_locks p WHERE p.locktype = 'advisory' AND p.classid = 71 AND p.objid = l.zone_key::oid"
        " AND p.pid = l.backend_pid AND p.granted)",
    ),
    Invariant(
        "I4",
        "a staged session is handed out at most once and never returns to its pool",
        "SELECT format('session %s was handed out %s times', session_id, count(*)) AS what FROM launches"
        " WHERE outcome = 'staged' AND session_id IS NOT NULL GROUP BY session_id HAVING count(*) > 1"
        " UNION ALL SELECT format('session %s was assigned and is in the pool again', session_id)"
        " FROM sessions WHERE claimable AND assigned IS NOT NULL",
    ),
    Invariant(
        "I5",
        "what is reserved on an Agent is the sum of its sessions, and no more than it offers",
        "SELECT format("
        "'agent %s: %s cores and %s bytes are booked, its sessions reserve %s and %s, it offers %s and %s',"
        " c.agent_id, c.cores_allocated, c.memory_allocated, s.cores, s.memory, c.cores, c.memory) AS what"
        " FROM agent_capacity c, LATERAL (SELECT coalesce(sum(cores), 0) AS cores, coalesce(sum(memory), 0) AS memory"
        " FROM sessions WHERE agent_id = c.agent_id AND status <> 'deleted') s"
        " WHERE abs(c.cores_allocated - s.cores) > 0.001 OR c.memory_allocated <> s.memory"
        " OR (c.cores_reported > 0 AND (c.cores_allocated > c.cores + 0.001 OR c.memory_allocated > c.memory))",
    ),
    Invariant(
        "I8",
        "no pool has more sessions than it should, but for one replacement each",
        "SELECT format('staging config %s has %s sessions of %s', g.staging_config_id, count(*), g.num_sessions)"
        " AS what FROM staging_configs g JOIN sessions s USING (staging_config_id)"
        " WHERE g.deleted IS NULL AND s.user_id IS NULL"
        " AND NOT s.retired AND s.status IN ('requested', 'starting', 'running') AND s.replaces IS NULL"
        " GROUP BY g.staging_config_id HAVING count(*) > g.num_sessions",
    ),
    Invariant(
        "I9",
        "an expired staged session is gone",
        "SELECT format('session %s expired at %s and is still in its pool', session_id, expires) AS what"
        " FROM sessions WHERE claimable AND expires < clock_timestamp() - interval '60 s'",
    ),
    Invariant(
        "I10",
        "a zone with a Manager at work has a Primary",
        "SELECT format('zone %s has a running Manager and no Primary since %s', z.zone_name, l.expires_at) AS what"
        " FROM zones z JOIN zone_leases l USING (zone_key) WHERE l.expires_at < clock_timestamp() - interval '10 s'"
        " AND EXISTS (SELECT 1 FROM managers m WHERE m.zone_id = z.zone_id AND m.enabled"
        " AND m.first_reported < clock_timestamp() - interval '15 s'"
        " AND m.last_round > clock_timestamp() - interval '15 s')",
    ),
    Invariant(
        "I11",
        "no session is stuck on its way, and an ended one says when",
        "SELECT format('session %s is %s since %s', session_id, status, status_changed) AS what FROM sessions"
        " WHERE status IN ('requested', 'starting', 'assigning', 'stopping', 'pausing', 'deleting')"
        " AND coalesce(deadline, status_changed + interval '1 h') < clock_timestamp() - interval '2 min'"
        " UNION ALL SELECT format('session %s is deleted without a time', session_id) FROM sessions"
        " WHERE status = 'deleted' AND ended IS NULL",
    ),
    Invariant(
        "I12",
        "a launch that was acknowledged has its session",
        "SELECT format('launch %s was answered with session %s, which is not there', launch_id, session_id) AS what"
        " FROM launches l WHERE outcome <> 'failed' AND session_id IS NOT NULL AND at > now() - interval '6 days'"
        " AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = l.session_id)",
    ),
)


async def broken(db: Database, invariant: Invariant) -> list[str]:
    """What breaks the invariant at the moment, a sentence each."""
    return [row["what"] for row in await db.fetch(invariant.query)]


async def live_sessions(db: Database, agent_ids: list[str]) -> dict[str, str]:
    """Session id → status of all sessions of these Agents that are not deleted."""
    rows = await db.fetch(
        "SELECT session_id, status FROM sessions WHERE agent_id = ANY(%s::uuid[]) AND status <> 'deleted'", (agent_ids,)
    )
    return {str(row["session_id"]): row["status"] for row in rows}
