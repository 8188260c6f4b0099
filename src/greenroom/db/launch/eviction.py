"""Room for launches on demand: staged sessions that yield to them, and users who wait because there is none.

Lock order of docs/explanation/protocols.md §3: agent_capacity, then sessions by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from greenroom.core.launch.eviction import MAX_WAITING_S, WAITING_S, Unready
from greenroom.core.pool.model import COMING
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Connection, Database
from greenroom.db.session.sessions import RELEASE
from greenroom.db.session.transitions import TO

_COMING: Final = sorted(map(str, COMING))


async def read_unready(db: Database, zone_id: str) -> list[Unready]:
    """The staged sessions of a zone that are not usable yet."""
    return await db.fetch_as(
        Unready,
        "SELECT s.session_id::text, s.staging_config_id::text, s.agent_id::text, s.created, s.memory,"
        " reserved_cores(s.cores, s.cpu_quota, c.overcommit) AS cores, s.replaces IS NOT NULL AS is_replacement"
        " FROM sessions s JOIN agent_capacity c USING (agent_id) WHERE s.zone_id = %s AND s.user_id IS NULL"
        " AND s.staging_config_id IS NOT NULL AND s.status = ANY(%s) AND s.status <> 'deleted'",
        (zone_id, _COMING),
    )


async def take_room(connection: Connection, agent_id: str, session_ids: Sequence[str], reason: str) -> bool:
    """End staged sessions that are not usable yet and free their reservations at once; False = one became usable or
    ended.

    The transaction must hold no session row yet, and must be rolled back after False. All sessions are on `agent_id`;
    `reason` is a sentence, kept with them.
    """
    await connection.execute("SELECT 1 FROM agent_capacity WHERE agent_id = %s FOR NO KEY UPDATE", (agent_id,))
    cursor = await connection.execute(
        """
        WITH ended AS MATERIALIZED (
            SELECT session_id, agent_id, memory, cores, cpu_quota FROM sessions WHERE session_id = ANY(%(ids)s::uuid[])
               AND agent_id = %(agent_id)s AND user_id IS NULL AND status = ANY(%(coming)s)
             ORDER BY session_id FOR NO KEY UPDATE
        ), released AS (
            """
        + RELEASE
        + """
        )
        UPDATE sessions SET """
        + TO[SessionStatus.DELETING]
        + """, ended_reason = %(reason)s, cores = 0, memory = 0
         WHERE session_id IN (SELECT session_id FROM ended)
        """,
        {"ids": list(session_ids), "agent_id": agent_id, "coming": _COMING, "reason": reason},
    )
    return cursor.rowcount == len(session_ids)


async def remember_refused(db: Database, *, zone_id: str, user_id: str, image_id: str, room_helps: bool) -> None:
    """Store that a launch was refused in this zone for lack of room: its user waits for it.

    `room_helps` False: no host of the zone could take the session if it were empty. Then the user waits for a machine,
    where the zone has a pool that may order one, and for nothing elsewhere.
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


# From the ledger, which has an index by time: every plan of a pool asks this.
STILL_WAITING: Final[LiteralString] = (
    " FROM launches_waiting w WHERE w.refused > clock_timestamp() - make_interval(secs => %(waiting_s)s)"
    " AND w.since > clock_timestamp() - make_interval(secs => %(most_waiting_s)s)"
    " AND NOT EXISTS (SELECT 1 FROM launches l WHERE l.user_id = w.user_id AND l.image_id = w.image_id"
    " AND l.outcome <> 'failed' AND l.at >= w.refused AND l.at > now() - make_interval(secs => %(waiting_s)s))"
)
"""Users who wait, in any zone; with the parameters of `waiting`."""
PEOPLE_WAITING: Final[LiteralString] = (
    "SELECT count(DISTINCT w.user_id) AS number" + STILL_WAITING + " AND w.zone_id = %(zone_id)s AND w.room_helps"
)
"""Counts those who may get room on the zone's hosts."""


def waiting(zone_id: str) -> dict[str, Any]:
    """The parameters of `STILL_WAITING`, and the zone."""
    return {"zone_id": zone_id, "waiting_s": WAITING_S, "most_waiting_s": MAX_WAITING_S}


async def count_waiting(connection: Connection, zone_id: str) -> AsyncCursor[DictRow]:
    """How many users wait for room in this zone: refused lately, not for too long, and not served since. Returns the
    cursor of one row with the column `number`, so that it can be read together with others.
    """
    return await connection.execute(PEOPLE_WAITING, waiting(zone_id))
