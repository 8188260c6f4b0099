"""The session of a launch on demand: inserted for its user, within their limit, in the room of others if needed.

Lock order: users → agent_capacity → sessions (by id).
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import Rollback

from greenroom.core.events import Event, session_events
from greenroom.core.launch.eviction import Unready, events_of
from greenroom.core.launch.wanted import SessionUser
from greenroom.core.lease import user_limit_reached
from greenroom.db.database import NOTIFY, Connection, Database, texts_of
from greenroom.db.launch.claims import LedgerLine
from greenroom.db.launch.eviction import take_room
from greenroom.db.lease.leases import write_lease
from greenroom.db.session.sessions import (
    COUNTING,
    NUMBER_OF_USER,
    NewSession,
    insert_session,
    lock_user,
    repeated_request,
)


async def insert_for_user(
    db: Database,
    new: NewSession,
    ledger: LedgerLine,
    *,
    max_sessions: int,
    yielding: Sequence[Unready] = (),
) -> bool:
    """Insert the session of a user, with the user's row locked so that two launches cannot both be the last allowed.

    Its line in the ledger, its lease and its notification are part of the transaction, and so is the end of the staged
    sessions, on the same Agent and not usable yet, that are `yielding` to it. False = the Agent has no room any more,
    or one of those became usable.

    Raises:
        SessionLimit, LeaseLimit: the user has `max_sessions` desktops, or for a lease as many leases, already.
        RepeatedRequest: the idempotency key was used by another request meanwhile.
        IdempotencyMismatch: it was used for a different request.
    """
    user = new.user
    if user is None:
        raise AssertionError("a session of a launch has a user")
    try:
        async with db.transaction() as connection:
            await lock_user(connection, user.user_id)
            ids = [session.session_id for session in yielding]
            placed = await insert_in_room(connection, new, max_sessions=max_sessions, yielding=ids)
            if placed:
                events = events_of(yielding) | session_events(new.session_id, agent_id=new.agent_id)
                await _write_ledger(connection, new, ledger, events)
                await write_lease(connection, user)
            else:
                await _check_limit(connection, user, max_sessions)
            return placed
    except psycopg.errors.UniqueViolation as error:
        raise await repeated_request(db, error, user) from error


async def insert_in_room(
    connection: Connection, new: NewSession, *, max_sessions: int, yielding: Sequence[str]
) -> bool:
    """Insert a user's session, in the room of the staged ones that are `yielding`; False = nothing was changed.

    The transaction holds the user's row, and session rows by `lock_sessions` only. The yielding sessions are on the
    same Agent and not usable yet.
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


async def _write_ledger(connection: Connection, new: NewSession, line: LedgerLine, events: set[Event]) -> None:
    """In one statement with what notifies of it."""
    await connection.execute(
        "INSERT INTO launches (launch_id, session_id, user_id, image_id, zone_id, outcome, steps, duration_ms,"
        " current_zone_id, request_host)"
        " VALUES (COALESCE(%(launch_id)s::uuid, gen_random_uuid()), %(session_id)s, %(user_id)s, %(image_id)s,"
        " %(zone_id)s, 'on_demand', %(steps)s, %(duration_ms)s, %(current_zone_id)s, %(request_host)s)"
        " RETURNING (" + NOTIFY + ")",
        {**new.values(), **line.values(), "events": texts_of(events)},
    )


async def _check_limit(connection: Connection, user: SessionUser, max_sessions: int) -> None:
    leased = user.lease is not None
    cursor = await connection.execute(
        "SELECT " + NUMBER_OF_USER + " AS number", {"user_id": user.user_id, "counting": COUNTING, "leased": leased}
    )
    row = await cursor.fetchone()
    if row is not None and row["number"] >= max_sessions:
        raise user_limit_reached(max_sessions, leased=leased)
