"""Inserts session rows with their reservation; retires, deletes and ends sessions (docs/explanation/protocols.md §3).
Claims are in `db.launch.claims`.

Lock order: users → staging_configs → agent_capacity (by id) → sessions (by id). Every status change names the statuses
from which it may start (`core.session.states`). After the commit, the caller notifies the topics of the Agent, the
session and the zone. Session rows are locked FOR NO KEY UPDATE. FOR UPDATE conflicts with the locks that a write of an
observation or step takes for its foreign key: a claim (SKIP LOCKED) would skip the session, and a write of several
observations would lock sessions in another order than by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from greenroom.core.access.permissions import USER, grants_with
from greenroom.core.errors import Forbidden, IdempotencyMismatch, require_row
from greenroom.core.launch.request import RepeatedRequest, is_same_request
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.session.states import COUNTS_FOR_USER, SessionStatus, sources_of
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.db.database import Connection, Database, row_as
from greenroom.db.session.transitions import CHANGE_TO, CHANGED_SESSION, ChangedSession

IDEMPOTENCY_CONSTRAINT: Final = "sessions_idempotency_unique"
COUNTED_STATUSES: Final = sorted(map(str, COUNTS_FOR_USER))
"""Statuses that count towards a user's limit, as the parameter of a statement. A failed session also counts while its
user waits for the replacement."""
COUNTED_SESSIONS: Final[LiteralString] = """(SELECT count(*) FROM sessions one WHERE user_id = %(user_id)s
    AND (status = ANY(%(counted_statuses)s) AND status <> 'deleted' OR awaits_successor)
    AND EXISTS (SELECT FROM leases WHERE session_id = one.session_id) = %(leased)s)"""
"""The number of sessions of user `user_id` that count towards a limit: sessions with a lease if `leased`, else sessions
without a lease. `counted_statuses` is COUNTED_STATUSES.

The redundant `deleted` lets a generic plan use the index of sessions that are not deleted. Without it, PostgreSQL plans
the statement again each time, which takes longer than a claim itself.
"""
_DELETABLE: Final = sorted(map(str, sources_of(SessionStatus.DELETING)))
_ENDABLE: Final = sorted(map(str, sources_of(SessionStatus.DELETED)))


LOCK_USER: Final[LiteralString] = "SELECT 1 FROM users WHERE user_id = %(user_id)s FOR NO KEY UPDATE"
"""The first row lock of every transaction that gives a user a session, so that two launches cannot exceed the limit."""


MAY_LAUNCH: Final[LiteralString] = (
    "(EXISTS (SELECT FROM users u WHERE u.user_id = %(user_id)s AND NOT u.disabled AND NOT u.locked)"
    " AND (NOT %(needs_permission)s::boolean"
    "  OR EXISTS (SELECT FROM user_groups ug JOIN group_grants gg USING (group_id) WHERE ug.user_id = %(user_id)s"
    "   AND gg.granted = ANY(%(launch_grants)s::text[]))))"
)
"""Condition on the parameter `user_id`, after LOCK_USER: since the launch was planned, the user was not barred, and did
not lose a permission that the launch needs (`SessionUser.needs_permission`)."""
LAUNCH_GRANTS: Final = grants_with(USER, "users_auth_session")
"""The grants with which users may launch sessions for themselves: the parameter `launch_grants`."""


def user_values(user: SessionUser | None) -> dict[str, Any]:
    """Return the parameters of a session that come from its user; None = it has no user."""
    return {
        "user_id": user.user_id if user else None,
        "leased": user is not None and user.lease is not None,
        "launch_id": user.launch_id if user else None,
        "kasm_url": user.kasm_url if user else "",
        "client_settings": Jsonb(user.client_settings if user else {}),
        "idempotency_key": user.idempotency_key if user else None,
        "idempotency_body": user.idempotency_body if user else None,
        "needs_permission": user is not None and user.needs_permission,
        "launch_grants": LAUNCH_GRANTS,
        "expiry": Jsonb(user.clocks if user else {}),
        "time_limit_s": user.clocks.time_limit_s if user else 0.0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingDetails:
    """The pool of a new staged session, the time after which it expires, and the session that it replaces."""

    staging_config_id: str
    config_hash: str
    ttl_s: float
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to be inserted on one Agent, for a user or a pool; `sessions.launch` creates this object.

    `files_encrypted` are the files of `spec` as encrypted JSON; None = no files. The session reserves `memory` (bytes)
    and the cores of `spec`. `term` is the term of the Primary; None if the api inserts the session.
    """

    session_id: str
    zone_id: str
    agent_id: str
    spec: SessionSpec
    memory: int
    permissions: Mapping[str, bool]
    credential_encrypted: bytes
    files_encrypted: bytes | None = None
    user: SessionUser | None = None
    staged: StagingDetails | None = None
    term: int | None = None

    def values(self) -> dict[str, Any]:
        user, staged, spec = self.user, self.staged, self.spec
        return {
            **user_values(user),
            "session_id": self.session_id,
            "zone_id": self.zone_id,
            "image_id": spec.image_id,
            "agent_id": self.agent_id,
            "term": self.term,
            "spec": Jsonb(spec.stored()),
            "spec_hash": spec.hash(),
            "credential_encrypted": self.credential_encrypted,
            "files_encrypted": self.files_encrypted,
            "cores": spec.cores,
            "cpu_quota": spec.cpu_mode == "Quotas",
            "memory": self.memory,
            "permissions": Jsonb(self.permissions),
            "allow_origin": ",".join(spec.allow_origin),
            "upstream_auth": spec.upstream_auth,
            "ttl_s": user.clocks.first_end_s if user else staged.ttl_s if staged else 0.0,
            "staging_config_id": staged.staging_config_id if staged else None,
            "config_hash": staged.config_hash if staged else "",
            "replaces": staged.replaces if staged else None,
        }


_RESERVE_AND_INSERT: Final[LiteralString] = f"""
WITH reservation AS (
    UPDATE agent_capacity SET cores_allocated = cores_allocated + reserved_cores(%(cores)s, %(cpu_quota)s, overcommit),
        memory_allocated = memory_allocated + %(memory)s
     WHERE agent_id = %(agent_id)s AND memory_allocated + %(memory)s <= memory
       AND cores_allocated + reserved_cores(%(cores)s, %(cpu_quota)s, overcommit) <= cores + 1e-6
       AND EXISTS (SELECT 1 FROM agents a WHERE a.agent_id = %(agent_id)s AND a.zone_id = %(zone_id)s AND a.enabled
                   AND NOT a.draining AND a.status = 'running')
       AND (%(user_id)s::uuid IS NULL OR {COUNTED_SESSIONS} < %(max_sessions)s AND {MAY_LAUNCH})
    RETURNING 1
), inserted AS (
    INSERT INTO sessions (session_id, zone_id, image_id, agent_id, user_id, staging_config_id, replaces, launch_id,
        status, term, spec, credential_encrypted, spec_hash, config_hash, cores, memory, permissions, client_settings,
        assigned, expires, keepalive, idempotency_key, idempotency_body, allow_origin, upstream_auth, kasm_url,
        files_encrypted, expiry, time_limit_ends)
    SELECT %(session_id)s, %(zone_id)s, %(image_id)s, %(agent_id)s, %(user_id)s, %(staging_config_id)s, %(replaces)s,
        %(launch_id)s, 'requested', %(term)s, %(spec)s, %(credential_encrypted)s, %(spec_hash)s, %(config_hash)s,
        %(cores)s, %(memory)s, %(permissions)s, %(client_settings)s,
        CASE WHEN %(user_id)s::uuid IS NOT NULL THEN clock_timestamp() END,
        clock_timestamp() + make_interval(secs => %(ttl_s)s),
        CASE WHEN %(user_id)s::uuid IS NOT NULL THEN clock_timestamp() END,
        %(idempotency_key)s, %(idempotency_body)s, %(allow_origin)s, %(upstream_auth)s, %(kasm_url)s,
        %(files_encrypted)s, %(expiry)s,
        clock_timestamp() + make_interval(secs => nullif(%(time_limit_s)s::double precision, 0))
    FROM reservation RETURNING session_id
)
INSERT INTO session_steps (session_id, name)
SELECT session_id, step FROM inserted, unnest(ARRAY['requested', 'placed']) AS step
RETURNING session_id
"""


async def insert_session(connection: Connection, new: NewSession, *, max_sessions: int | None = None) -> bool:
    """Reserve capacity and insert the session in one statement; False = the Agent lacks room, or the user's limit is
    reached.

    For a user's session, the caller must have called `lock_user` and pass `max_sessions`. Raises UniqueViolation: the
    idempotency key exists (`sessions_idempotency_unique`); `insert_for_user` converts this error to RepeatedRequest.
    """
    values = {**new.values(), "counted_statuses": COUNTED_STATUSES, "max_sessions": max_sessions}
    cursor = await connection.execute(_RESERVE_AND_INSERT, values)
    return await cursor.fetchone() is not None


async def insert_staged(connection: Connection, new: Sequence[NewSession]) -> list[bool]:
    """Insert staged sessions as `insert_session` does, in one round trip if the connection is in pipeline mode."""
    limits = {"counted_statuses": COUNTED_STATUSES, "max_sessions": None}
    cursors = [await connection.execute(_RESERVE_AND_INSERT, session.values() | limits) for session in new]
    return [await cursor.fetchone() is not None for cursor in cursors]


async def lock_user(connection: Connection, user_id: str) -> None:
    """Lock the user's row until commit."""
    await connection.execute(LOCK_USER, {"user_id": user_id})


async def lock_capacity_of_sessions(connection: Connection, session_ids: Sequence[str]) -> None:
    """Lock the capacity rows of the Agents of these sessions, by id. Every release of reservations begins with this
    statement."""
    await connection.execute(
        "SELECT 1 FROM agent_capacity WHERE agent_id IN (SELECT agent_id FROM sessions"
        " WHERE session_id = ANY(%s::uuid[]) AND status <> 'deleted') ORDER BY agent_id FOR NO KEY UPDATE",
        (list(session_ids),),
    )


async def lock_sessions(connection: Connection, session_ids: Iterable[str]) -> None:
    """Lock session rows until commit, by id. A transaction must lock capacity rows before session rows."""
    await connection.execute(
        "SELECT 1 FROM sessions WHERE session_id = ANY(%s::uuid[]) ORDER BY session_id FOR NO KEY UPDATE",
        (sorted(session_ids),),
    )


END_COMMANDS: Final[LiteralString] = """
UPDATE session_commands SET state = 'unknown', finished = clock_timestamp(),
    output = 'The session ended before there was a result.'
 WHERE session_id IN (SELECT session_id FROM ended) AND state IN ('requested', 'started')
"""
"""Statement that ends the commands of the sessions in the common table expression `ended`."""


RELEASE: Final[LiteralString] = """
UPDATE agent_capacity c SET
    cores_allocated = GREATEST(0, round((c.cores_allocated - e.cores)::numeric, 6)::double precision),
    memory_allocated = GREATEST(0, c.memory_allocated - e.memory)
  FROM (SELECT agent_id, sum(reserved_cores(ended.cores, cpu_quota, overcommit)) AS cores, sum(ended.memory) AS memory
          FROM ended JOIN agent_capacity USING (agent_id) GROUP BY agent_id) e
 WHERE c.agent_id = e.agent_id
"""
"""Statement that releases the reservations of the sessions in the common table expression `ended`."""


async def end_sessions(connection: Connection, session_ids: Sequence[str], reason: str) -> list[str]:
    """Mark sessions without a container as `deleted` and release their reservations; returns the ids of these sessions.

    Their waiting commands end too. Only `deleting` and `failed` sessions are ended. Lock order of
    docs/explanation/protocols.md §3: the capacity rows by id in the first statement, then the sessions by id; the
    transaction must not have locked a session before. `reason` is a sentence, stored if the row has no reason yet.
    """
    await lock_capacity_of_sessions(connection, session_ids)
    cursor = await connection.execute(
        f"""
        WITH locked AS MATERIALIZED (
            SELECT session_id FROM sessions WHERE session_id = ANY(%(ids)s::uuid[]) AND status = ANY(%(endable)s)
             ORDER BY session_id FOR NO KEY UPDATE
        ), ended AS (
            UPDATE sessions SET {CHANGE_TO[SessionStatus.DELETED]}, ended_reason = COALESCE(ended_reason, %(reason)s)
             WHERE session_id IN (SELECT session_id FROM locked) AND status = ANY(%(endable)s)
            RETURNING session_id, agent_id, cores, cpu_quota, memory
        ), commands AS (
            {END_COMMANDS}
        ), released AS (
            {RELEASE}
        )
        SELECT session_id FROM ended ORDER BY session_id
        """,
        {"ids": list(session_ids), "endable": _ENDABLE, "reason": reason},
    )
    return [str(row["session_id"]) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class DeletedSession:
    """The session of a deletion; `changed` is False if the session was already ending."""

    session_id: str
    agent_id: str | None
    superseded_by: str | None
    changed: bool


async def request_delete(connection: Connection, session_id: str, reason: str) -> DeletedSession:
    """Mark a session for deletion; if it was replaced, mark its last replacement instead (`request_end` does not). A
    repeated call changes nothing. Raises NotFound: there is no such session."""
    cursor = await connection.execute(
        f"""
        WITH RECURSIVE chain AS (
            SELECT session_id, superseded_by FROM sessions WHERE session_id = %(id)s
            UNION ALL
            SELECT s.session_id, s.superseded_by FROM sessions s JOIN chain c ON s.session_id = c.superseded_by
        ), last AS MATERIALIZED (
            SELECT session_id, agent_id, superseded_by FROM sessions
             WHERE session_id = (SELECT session_id FROM chain WHERE superseded_by IS NULL) FOR NO KEY UPDATE
        ), changed AS (
            UPDATE sessions SET {CHANGE_TO[SessionStatus.DELETING]}, ended_reason = %(reason)s
             WHERE session_id = (SELECT session_id FROM last WHERE superseded_by IS NULL)
               AND status = ANY(%(deletable)s)
            RETURNING session_id
        )
        SELECT session_id::text, agent_id::text, superseded_by::text, EXISTS (SELECT 1 FROM changed) AS changed
          FROM last
        """,
        {"id": session_id, "reason": reason, "deletable": _DELETABLE},
    )
    session = require_row(row_as(DeletedSession, await cursor.fetchone()), "session", session_id)
    if session.superseded_by is not None:  # it was replaced during the wait for the lock
        return await request_delete(connection, session.superseded_by, reason)
    return session


async def retire(connection: Connection, session_id: str, reason: str) -> bool:
    """Remove one claimable session from its pool and end it; False = it was claimed before."""
    cursor = await connection.execute(
        "UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", retired = true, ended_reason = %(reason)s"
        " WHERE session_id = (SELECT session_id FROM sessions WHERE session_id = %(id)s AND claimable"
        " FOR NO KEY UPDATE SKIP LOCKED) AND claimable AND user_id IS NULL RETURNING 1",
        {"id": session_id, "reason": reason},
    )
    return await cursor.fetchone() is not None


async def request_end(
    connection: Connection, session_id: str, reason: str, *, only_if: LiteralString = "true"
) -> ChangedSession | None:
    """Mark this session for deletion if the condition `only_if` holds; its replacement is not changed. Return its row;
    None = the condition does not hold, or the session is already ending."""
    cursor = await connection.execute(
        "UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", ended_reason = %(reason)s"
        " WHERE session_id = %(id)s AND status = ANY(%(deletable)s) AND " + only_if + CHANGED_SESSION,
        {"id": session_id, "reason": reason, "deletable": _DELETABLE},
    )
    return row_as(ChangedSession, await cursor.fetchone())


async def destroy_unassigned(connection: Connection, session_id: str, reason: str) -> bool:
    """End a session without a user that is neither claimable nor quarantined; False = it is another kind of session."""
    only_if = "user_id IS NULL AND NOT claimable AND set_aside_for IS NULL"
    return await request_end(connection, session_id, reason, only_if=only_if) is not None


async def end_pool_sessions(connection: Connection, staging_config_id: str, reason: str) -> list[str]:
    """End all sessions of a locked config that have no user; returns the ids of their Agents."""
    cursor = await connection.execute(
        "WITH locked AS MATERIALIZED (SELECT session_id FROM sessions WHERE staging_config_id = %(config)s"
        " AND user_id IS NULL AND status = ANY(%(deletable)s) ORDER BY session_id FOR NO KEY UPDATE)"
        " UPDATE sessions SET " + CHANGE_TO[SessionStatus.DELETING] + ", retired = true, ended_reason = %(reason)s"
        " WHERE session_id IN (SELECT session_id FROM locked) AND user_id IS NULL AND status = ANY(%(deletable)s)"
        " RETURNING agent_id::text",
        {"config": staging_config_id, "reason": reason, "deletable": _DELETABLE},
    )
    return sorted({row["agent_id"] for row in await cursor.fetchall()})


async def set_kasm_url(db: Database, session_id: str, kasm_url: str) -> None:
    """Store the latest address at which a user can open a session."""
    await db.write("UPDATE sessions SET kasm_url = %s WHERE session_id = %s", (kasm_url, session_id))


def user_may_not_launch() -> Forbidden:
    """Return the error to raise if `MAY_LAUNCH` is false."""
    return Forbidden("The user was disabled or locked, or lost the permission `user`, during the launch.")


async def repeated_request(db: Database, error: psycopg.errors.UniqueViolation, user: SessionUser) -> Exception:
    """Return the error to raise for a violated constraint. For the idempotency key, this is RepeatedRequest with the
    session of the first request. Raises IdempotencyMismatch: the first request was a different request."""
    if error.diag.constraint_name != IDEMPOTENCY_CONSTRAINT:
        return error
    first = await db.fetch_one(
        "SELECT COALESCE(superseded_by, session_id)::text AS session_id, idempotency_body FROM sessions"
        " WHERE user_id = %s AND idempotency_key = %s",
        (user.user_id, user.idempotency_key),
    )
    if first is None:
        return error
    if not is_same_request(first["idempotency_body"], user.idempotency_body):
        raise IdempotencyMismatch
    return RepeatedRequest(first["session_id"])
