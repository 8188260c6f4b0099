"""A hand-over that failed: the session is set aside and the next one takes its place (PROTOCOLS §3).

All writes inside `guarded`. The order of locks is kept by two ways of replacing: another staged session is claimed
after the old row was locked, without ever waiting; a new one reserves its capacity before the old row is touched.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from greenroom.db.database import Connection, Database

KEPT_PER_CONFIG: Final = 3
"""Sessions kept for inspection; older ones are destroyed."""

_FAILED_HANDOVERS: Final[LiteralString] = """
SELECT s.session_id::text, s.user_id::text, u.username, s.agent_id::text, s.staging_config_id::text, s.launch_id::text,
       s.image_id::text, s.zone_id::text, s.assignment, s.idempotency_key, s.idempotency_body, s.kasm_url,
       s.client_settings, s.permissions, s.auth_epoch, s.set_aside_reason,
       extract(epoch FROM s.expires - COALESCE(s.keepalive, s.assigned, s.created))::double precision AS keepalive_s,
       (SELECT count(*) FROM sessions o WHERE o.launch_id = s.launch_id) AS tried
  FROM sessions s JOIN users u USING (user_id)
 WHERE s.status = 'failed' AND s.set_aside_reason IS NOT NULL AND s.superseded_by IS NULL AND s.set_aside_for IS NULL
   AND s.staging_config_id IS NOT NULL
"""

_CLAIM_NEXT: Final[LiteralString] = """
WITH next AS (
    SELECT s.session_id FROM sessions s JOIN agents a USING (agent_id)
     WHERE s.claimable AND s.staging_config_id = %(staging_config_id)s AND s.expires > clock_timestamp()
       AND s.config_hash = %(config_hash)s AND a.enabled AND NOT a.draining AND a.status = 'running'
     ORDER BY s.agent_id = %(agent_id)s, s.created LIMIT 1 FOR UPDATE OF s SKIP LOCKED
), claimed AS (
    UPDATE sessions SET status = 'assigning', status_changed = clock_timestamp(), generation = generation + 1,
        user_id = %(user_id)s, assigned = clock_timestamp(), keepalive = clock_timestamp(), launch_id = %(launch_id)s,
        expires = clock_timestamp() + make_interval(secs => %(keepalive_s)s), deadline = NULL,
        assignment_id = %(assignment_id)s, assignment = %(assignment)s, assignment_state = 'requested',
        kasm_url = %(kasm_url)s, client_settings = %(client_settings)s, auth_epoch = %(auth_epoch)s
     WHERE session_id = (SELECT session_id FROM next) AND claimable
    RETURNING session_id, agent_id
), step AS (
    INSERT INTO session_steps (session_id, name) SELECT session_id, 'claimed' FROM claimed
)
SELECT session_id::text, agent_id::text FROM claimed
"""


async def read_failed_handovers(db: Database, zone_id: str) -> list[DictRow]:
    """Sessions of the zone whose hand-over failed and whose user waits for another one."""
    return await db.fetch(_FAILED_HANDOVERS + " AND s.zone_id = %s ORDER BY s.session_id", (zone_id,))


async def lock_user(connection: Connection, user_id: str) -> None:
    """Hold the user's row until commit: the first lock of a replacement."""
    await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (user_id,))


async def set_aside(connection: Connection, session_id: str) -> DictRow | None:
    """Take the user off a session whose hand-over failed; the row as it was, None = it changed meanwhile."""
    cursor = await connection.execute(
        _FAILED_HANDOVERS + " AND s.session_id = %s FOR NO KEY UPDATE OF s", (session_id,)
    )
    row = await cursor.fetchone()
    if row is not None:
        await connection.execute(
            "UPDATE sessions SET set_aside_for = user_id, user_id = NULL, idempotency_key = NULL,"
            " idempotency_body = NULL, auth_epoch = auth_epoch + 1, generation = generation + 1"
            " WHERE session_id = %s",
            (session_id,),
        )
    return row


async def claim_next(connection: Connection, old: DictRow, *, config_hash: str, assignment_id: str) -> DictRow | None:
    """Give the user of `old` another staged session of its config, other Agents first; None = there is none.

    It never waits for a row (SKIP LOCKED), so it may come after the lock on `old`.

    Returns:
        session_id, agent_id.
    """
    assignment: dict[str, Any] = {**(old["assignment"] or {}), "assignment_id": assignment_id}
    cursor = await connection.execute(
        _CLAIM_NEXT,
        old
        | {
            "config_hash": config_hash,
            "assignment_id": assignment_id,
            "assignment": Jsonb(assignment),
            "client_settings": Jsonb(old["client_settings"]),
        },
    )
    return await cursor.fetchone()


async def supersede(connection: Connection, old: DictRow, session_id: str, step: dict[str, Any]) -> None:
    """Let the old row, set aside before, point to its successor, which inherits the idempotency key and the launch."""
    await connection.execute(
        "UPDATE sessions SET superseded_by = %s WHERE session_id = %s", (session_id, old["session_id"])
    )
    await connection.execute(
        "UPDATE sessions SET idempotency_key = %s, idempotency_body = %s WHERE session_id = %s",
        (old["idempotency_key"], old["idempotency_body"], session_id),
    )
    await connection.execute(
        "UPDATE launches SET session_id = %s, steps = steps || %s WHERE launch_id = %s",
        (session_id, Jsonb([step]), old["launch_id"]),
    )


async def give_up(connection: Connection, session_id: str) -> None:
    """There is no successor: the user keeps the failed session with its reason, and it is not tried again."""
    await connection.execute(
        "UPDATE sessions SET error = COALESCE(error, set_aside_reason), set_aside_reason = NULL"
        " WHERE session_id = %s AND status = 'failed' AND superseded_by IS NULL AND set_aside_for IS NULL",
        (session_id,),
    )


async def destroy_oldest_set_aside(connection: Connection, staging_config_id: str) -> list[DictRow]:
    """Of the sessions set aside of one config keep the newest `KEPT_PER_CONFIG`; the rows that go."""
    cursor = await connection.execute(
        "WITH old AS MATERIALIZED (SELECT session_id FROM sessions WHERE session_id IN (SELECT session_id FROM sessions"
        "   WHERE staging_config_id = %(config)s AND set_aside_for IS NOT NULL AND status = 'failed'"
        "   ORDER BY status_changed DESC, session_id OFFSET %(kept)s) ORDER BY session_id FOR UPDATE)"
        " UPDATE sessions SET status = 'deleting', want = 'absent', status_changed = clock_timestamp(),"
        " deadline = NULL, generation = generation + 1, ended_reason = 'Newer sessions of its config were set aside.'"
        " WHERE session_id IN (SELECT session_id FROM old) AND status = 'failed'"
        " RETURNING session_id::text, agent_id::text",
        {"config": staging_config_id, "kept": KEPT_PER_CONFIG},
    )
    return await cursor.fetchall()
