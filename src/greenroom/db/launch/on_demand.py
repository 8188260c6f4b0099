"""The session of a launch on demand: inserted for its user, within their limit, in the room of others if need be.

Lock order: users → agent_capacity → sessions (by id).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Rollback
from psycopg.types.json import Jsonb

from greenroom.db.database import Connection, Database
from greenroom.db.launch.eviction import take_room
from greenroom.db.session.sessions import (
    COUNTING,
    NUMBER_OF_USER,
    NewSession,
    insert_session,
    limit_reached,
    repeated_request,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """The launch of a session as the ledger keeps it, beside what the session's row says.

    `steps` is its trace, `duration_ms` what has passed since it was asked for; with `current_zone_id` and
    `request_host` a search for another session begins, should this one fail.
    """

    steps: Sequence[Mapping[str, Any]] = ()
    duration_ms: float = 0.0
    current_zone_id: str | None = None
    request_host: str = ""


async def insert_for_user(
    db: Database,
    new: NewSession,
    *,
    max_sessions: int,
    ledger: LedgerLine | None = None,
    yielding: Sequence[str] = (),
) -> bool:
    """Insert the session of a user, with the user's row locked so that two launches cannot both be the last allowed.

    Its line in the ledger of launches is part of the transaction, and so is the end of staged sessions on the same
    Agent, not usable yet, that are `yielding` to it.

    Returns:
        Whether it was placed; False when the Agent has no room any more, or one of those became usable.

    Raises:
        SessionLimit: the user has `max_sessions` already.
        RepeatedRequest: the idempotency key was used by another request meanwhile.
        IdempotencyMismatch: it was used for a different request.
    """
    try:
        async with db.transaction() as connection:
            await connection.execute("SELECT 1 FROM users WHERE user_id = %s FOR NO KEY UPDATE", (new.user_id,))
            placed = await insert_in_room(connection, new, max_sessions=max_sessions, yielding=yielding)
            if placed:
                await _write_ledger(connection, new, ledger or LedgerLine())
            else:
                await _check_limit(connection, new.user_id, max_sessions)
            return placed
    except psycopg.errors.UniqueViolation as error:
        raise await repeated_request(db, error, new.user_id, new.idempotency_key, new.idempotency_body) from error


async def insert_in_room(
    connection: Connection, new: NewSession, *, max_sessions: int, yielding: Sequence[str]
) -> bool:
    """Insert a user's session, in the room of the staged ones that are `yielding` where there are any.

    Args:
        connection: in a transaction that holds the user's row, and session rows by `lock_sessions` only.
        new: the session.
        max_sessions: the user's limit.
        yielding: staged sessions on the same Agent, not usable yet.

    Returns:
        Whether it was placed; otherwise nothing was changed.
    """
    if not yielding:
        return await insert_session(connection, new, max_sessions=max_sessions)
    reason = f"Its room was given to session {new.session_id}, launched on demand: people go first."
    async with connection.transaction() as attempt:
        if not (
            await take_room(connection, new.agent_id, yielding, reason)
            and await insert_session(connection, new, max_sessions=max_sessions)
        ):
            raise Rollback(attempt)
        return True
    return False


async def _write_ledger(connection: Connection, new: NewSession, line: LedgerLine) -> None:
    await connection.execute(
        "INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps, duration_ms,"
        " current_zone_id, request_host)"
        " VALUES (COALESCE(%s::uuid, gen_random_uuid()), %s, %s, %s, %s, 'on_demand', %s, %s, %s, %s)",
        (
            new.launch_id,
            new.session_id,
            new.user_id,
            new.image_id,
            new.zone_id,
            Jsonb(list(line.steps)),
            line.duration_ms,
            line.current_zone_id,
            line.request_host,
        ),
    )


async def _check_limit(connection: Connection, user_id: str | None, max_sessions: int) -> None:
    cursor = await connection.execute(
        "SELECT " + NUMBER_OF_USER + " AS number", {"user_id": user_id, "counting": COUNTING}
    )
    row = await cursor.fetchone()
    if row is not None and row["number"] >= max_sessions:
        raise limit_reached(max_sessions)
