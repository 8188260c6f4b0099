"""Sessions that a user waits for in vain, and what takes their place (PROTOCOLS §3, `core.launch.replacement`).

All writes inside `guarded` of the failed session's zone, also those in another zone (ADR 24). The order of locks is
kept by two ways of replacing: another staged session is claimed after the old row was locked, without ever waiting; a
new one reserves its capacity before the old row is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, LiteralString

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from greenroom.core.session.expiry import Clocks
from greenroom.core.session.states import SessionStatus
from greenroom.db.database import Connection, Database
from greenroom.db.launch.claims import CLAIM_REPLACEMENT, FRESH_AGENT_S
from greenroom.db.session.transitions import DETACH_USER, TO
from greenroom.db.workspace.images import IMAGE_JSON

Outcome = Literal["staged", "on_demand"]
Steps = Sequence[Mapping[str, Any]]
"""Lines of a trace, as `core.launch.plan.TraceStep` has them."""

KEPT_PER_CONFIG: Final = 3
"""Sessions kept for inspection; older ones are destroyed."""

_SEARCH: Final[LiteralString] = """
SELECT s.session_id::text, s.status, s.user_id::text, u.username, s.agent_id::text,
       coalesce(agent_name(a), '') AS agent_name, s.staging_config_id::text, s.launch_id::text, s.image_id::text,
       s.zone_id::text, z.zone_name, s.assignment, s.idempotency_key, s.idempotency_body, s.kasm_url,
       s.client_settings, s.permissions, s.auth_epoch, s.set_aside_reason, s.error, s.slow,
       s.cores, s.cpu_quota, s.memory, s.spec, s.credential_encrypted, s.files_encrypted, s.allow_origin,
       s.upstream_auth, s.expiry, t.preferred_language, t.preferred_timezone,
       COALESCE(extract(epoch FROM clock_timestamp() - a.last_reported), 0)::double precision AS silent_s,
       extract(epoch FROM clock_timestamp() - s.status_changed)::double precision AS failed_s,
       extract(epoch FROM s.expires - COALESCE(s.keepalive, s.assigned, s.created))::double precision AS keepalive_s,
       COALESCE(l.current_zone_id, s.zone_id)::text AS current_zone_id, COALESCE(l.request_host, '') AS request_host,
       l.steps->-1 AS last_step,
       (SELECT count(*) FROM sessions o WHERE o.launch_id = s.launch_id) AS tried,
       COALESCE((SELECT jsonb_object_agg(zone_id, number) FROM (SELECT o.zone_id, count(*) AS number FROM sessions o
           WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL GROUP BY o.zone_id) made), '{}') AS starts,
       ARRAY(SELECT o.agent_id::text FROM sessions o WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL
           AND o.agent_id IS NOT NULL
             UNION SELECT m.agent_id::text FROM sessions o JOIN agents b USING (agent_id) JOIN agents m
               ON m.machine_id = b.machine_id AND m.machine_id <> ''
              WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL AND o.slow) AS started_on,
       ARRAY(SELECT coalesce(agent_name(p), 'an Agent') || ': ' || coalesce(o.error, 'no reason was given')
               FROM sessions o LEFT JOIN agents p USING (agent_id)
              WHERE o.launch_id = s.launch_id AND o.staging_config_id IS NULL AND o.session_id <> s.session_id
              ORDER BY o.created) AS causes
  FROM sessions s JOIN users u USING (user_id) JOIN zones z ON z.zone_id = s.zone_id
  LEFT JOIN agents a ON a.agent_id = s.agent_id LEFT JOIN launches l ON l.launch_id = s.launch_id
  LEFT JOIN user_attributes t ON t.user_id = s.user_id
 WHERE """

# Not yet usable, on an Agent that is missing. One with a profile waits: its home must not be open on two hosts.
_ORPHANED_START: Final[LiteralString] = (
    "s.status IN ('requested', 'starting') AND s.started IS NULL AND s.user_id IS NOT NULL AND s.profile_path IS NULL"
    " AND a.status = 'missing'"
)


async def read_waiting(db: Database, zone_id: str) -> list[DictRow]:
    """Failed sessions of the zone whose user waits for another one."""
    return await db.fetch(_SEARCH + "s.awaits_successor AND s.zone_id = %s ORDER BY s.session_id", (zone_id,))


async def read_orphaned_starts(db: Database, zone_id: str) -> list[DictRow]:
    """Sessions of the zone that a user waits for and whose Agent went missing before they were usable once.

    They are as `read_waiting` has them; `silent_s` is the time since their Agent last checked in.
    """
    return await db.fetch(
        _SEARCH + _ORPHANED_START + " AND s.zone_id = %s ORDER BY s.created, s.session_id", (zone_id,)
    )


async def read_launch_targets(db: Database, image_id: str) -> DictRow:
    """What the search for another session of a workspace is planned on.

    Returns:
        image, zones in the order in which they were made, pools (the staging configs of the image).
    """
    row = await db.fetch_one(
        "SELECT (SELECT " + IMAGE_JSON + " FROM images i WHERE i.image_id = %(image_id)s) AS image,"
        " (SELECT jsonb_agg(to_jsonb(z) ORDER BY z.zone_key) FROM zones z) AS zones,"
        " COALESCE((SELECT jsonb_agg(to_jsonb(c)) FROM staging_configs c WHERE c.image_id = %(image_id)s"
        "  AND c.deleted IS NULL), '[]') AS pools",
        {"image_id": image_id},
    )
    if row is None:
        raise LookupError("a SELECT without FROM returned no row")
    return row


async def lock_user(connection: Connection, user_id: str) -> None:
    """Hold the user's row until commit: the first lock of a replacement."""
    await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (user_id,))


async def quarantine(connection: Connection, session_id: str) -> DictRow | None:
    """Take the user off a session whose hand-over failed; the row as it was, None = it changed meanwhile."""
    row = await _locked(connection, session_id)
    if row is not None:
        await connection.execute(
            "UPDATE sessions SET " + DETACH_USER + ", auth_epoch = auth_epoch + 1, generation = generation + 1"
            " WHERE session_id = %s",
            (session_id,),
        )
    return row


async def discard_failed_start(connection: Connection, session_id: str, cause: str, reason: str) -> DictRow | None:
    """Take the user off a session that did not start, and let it go; the row as it was, None = it changed meanwhile.

    From here on its Agent, even one that is away, learns nothing about the session except its end.

    Args:
        connection: inside `guarded`.
        session_id: which.
        cause: why it did not start; kept where the row has none.
        reason: why it ends.
    """
    row = await _locked(connection, session_id)
    if row is not None:
        await connection.execute(
            "UPDATE sessions SET " + DETACH_USER + ", " + TO[SessionStatus.DELETING] + ", ended_reason = %s,"
            " error = COALESCE(error, %s) WHERE session_id = %s",
            (reason, cause, session_id),
        )
    return row


async def _locked(connection: Connection, session_id: str) -> DictRow | None:
    cursor = await connection.execute(
        _SEARCH + "(s.awaits_successor OR " + _ORPHANED_START + ") AND s.session_id = %s FOR NO KEY UPDATE OF s",
        (session_id,),
    )
    return await cursor.fetchone()


async def claim_next(
    connection: Connection,
    old: DictRow,
    *,
    staging_config_id: str,
    clocks: Clocks,
    config_hash: str,
    assignment_id: str,
) -> DictRow | None:
    """Give the user of `old` a staged session of this config, other Agents first; None = there is none.

    It never waits for a row (SKIP LOCKED), so it may come after the lock on `old`.

    Returns:
        session_id, agent_id.
    """
    assignment: dict[str, Any] = {**(old["assignment"] or {}), "assignment_id": assignment_id}
    cursor = await connection.execute(
        CLAIM_REPLACEMENT,
        {
            "staging_config_id": staging_config_id,
            "config_hash": config_hash,
            "fresh_s": FRESH_AGENT_S,
            "agent_id": old["agent_id"],
            "user_id": old["user_id"],
            "launch_id": old["launch_id"],
            "kasm_url": old["kasm_url"],
            "idempotency_key": None,  # `supersede` moves it here from the old row, which has it until then
            "idempotency_body": None,
            "assignment_id": assignment_id,
            "assignment": Jsonb(assignment),
            "client_settings": Jsonb(old["client_settings"]),
            "first_s": clocks.first_s,
            "expiry": Jsonb(asdict(clocks)),
            "time_limit_s": clocks.time_limit_s,
        },
    )
    return await cursor.fetchone()


async def supersede(
    connection: Connection, old: DictRow, session_id: str, *, outcome: Outcome, zone_id: str, steps: Steps
) -> None:
    """Let the old row, quarantined before, point to its successor.

    That one inherits the idempotency key, the launch, and the epoch: tokens that were revoked stay so. The ledger says
    what the launch has come to, with the further `steps` of its trace.
    """
    await connection.execute(
        "UPDATE sessions SET superseded_by = %s WHERE session_id = %s", (session_id, old["session_id"])
    )
    await connection.execute(
        "UPDATE sessions SET idempotency_key = %s, idempotency_body = %s, auth_epoch = %s WHERE session_id = %s",
        (old["idempotency_key"], old["idempotency_body"], old["auth_epoch"], session_id),
    )
    await connection.execute(
        "UPDATE launches SET session_id = %s, zone_id = %s, outcome = %s, steps = steps || %s WHERE launch_id = %s",
        (session_id, zone_id, outcome, Jsonb(list(steps)), old["launch_id"]),
    )


async def give_up(connection: Connection, old: DictRow, error: str, steps: Steps) -> bool:
    """There is no successor: the user keeps the failed session with its reason, and it is not tried again.

    Args:
        connection: inside `guarded`.
        old: the row as `read_waiting` gave it.
        error: the sentence that the user reads.
        steps: the further lines of the launch's trace.

    Returns:
        Whether the user still waited; False = the session was deleted meanwhile.
    """
    cursor = await connection.execute(
        "UPDATE sessions SET gave_up = true, error = %s, set_aside_reason = NULL"
        " WHERE session_id = %s AND awaits_successor RETURNING 1",
        (error, old["session_id"]),
    )
    if await cursor.fetchone() is None:
        return False
    await connection.execute(
        "UPDATE launches SET outcome = 'failed', steps = steps || %s WHERE launch_id = %s",
        (Jsonb(list(steps)), old["launch_id"]),
    )
    return True


async def destroy_quarantined(connection: Connection, session_id: str, reason: str) -> bool:
    """Delete a quarantined session that was inspected; False = it is being deleted already."""
    cursor = await connection.execute(
        "UPDATE sessions SET "
        + TO[SessionStatus.DELETING]
        + ", ended_reason = %s WHERE session_id = %s AND set_aside_for IS NOT NULL"
        " AND status = 'failed' RETURNING 1",
        (reason, session_id),
    )
    return await cursor.fetchone() is not None


async def destroy_oldest_quarantined(connection: Connection, staging_config_id: str) -> list[DictRow]:
    """Keep the newest `KEPT_PER_CONFIG` quarantined sessions of one config; returns the rows that go."""
    cursor = await connection.execute(
        "WITH old AS MATERIALIZED (SELECT session_id FROM sessions WHERE session_id IN (SELECT session_id FROM sessions"
        "   WHERE staging_config_id = %(config)s AND set_aside_for IS NOT NULL AND status = 'failed'"
        "   ORDER BY status_changed DESC, session_id OFFSET %(kept)s) ORDER BY session_id FOR NO KEY UPDATE)"
        " UPDATE sessions SET " + TO[SessionStatus.DELETING] + ","
        " ended_reason = 'Newer sessions of its config were set aside.'"
        " WHERE session_id IN (SELECT session_id FROM old) AND status = 'failed'"
        " RETURNING session_id::text, agent_id::text",
        {"config": staging_config_id, "kept": KEPT_PER_CONFIG},
    )
    return await cursor.fetchall()
