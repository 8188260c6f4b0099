"""The end of users' sessions that nobody kept alive."""

from __future__ import annotations

from typing import Final

from psycopg.rows import DictRow

from greenroom.core.states import COUNTS_FOR_USER, SessionStatus, sources_of
from greenroom.db.database import Connection

MOST_AT_ONCE: Final = 100
"""Sessions ended by one statement; the rest follow in the next round."""

_EXPIRING: Final = sorted(map(str, COUNTS_FOR_USER & sources_of(SessionStatus.DELETING)))


async def delete_expired(connection: Connection, zone_id: str) -> list[DictRow]:
    """Record the deletion of users' sessions whose `expires` has passed; the rows with user and reason.

    Rows that somebody holds just now (a keepalive, a deletion) are left to the next round.
    """
    cursor = await connection.execute(
        """
        WITH over AS MATERIALIZED (
            SELECT session_id FROM sessions
             WHERE zone_id = %(zone_id)s AND status = ANY(%(expiring)s) AND status <> 'deleted' AND user_id IS NOT NULL
               AND expires <= clock_timestamp()
             ORDER BY session_id LIMIT %(most)s FOR UPDATE SKIP LOCKED
        )
        UPDATE sessions s SET status = 'deleting', want = 'absent', status_changed = clock_timestamp(), deadline = NULL,
            generation = s.generation + 1, auth_epoch = s.auth_epoch + 1,
            ended_reason = 'It was not used for ' || round(extract(epoch FROM s.expires - COALESCE(s.keepalive,
                s.assigned, s.created))) || ' s (keepalive_expiration, session_time_limit).'
          FROM users u
         WHERE s.session_id IN (SELECT session_id FROM over) AND u.user_id = s.user_id
           AND s.status = ANY(%(expiring)s) AND s.expires <= clock_timestamp()
        RETURNING s.session_id::text, s.agent_id::text, s.user_id::text, u.username, s.ended_reason
        """,
        {"zone_id": zone_id, "expiring": _EXPIRING, "most": MOST_AT_ONCE},
    )
    return await cursor.fetchall()
