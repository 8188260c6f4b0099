"""How many leases an API key holds, counted so that requests at the same time cannot exceed its limit together."""

from __future__ import annotations

import structlog

from greenroom.core.errors import Unavailable
from greenroom.core.lease.limits import key_limit_reached
from greenroom.db.database import Database, returned
from greenroom.db.session.sessions import COUNTING

log = structlog.get_logger(__name__)


async def reserve(db: Database, key_id: str, *, user_id: str, idempotency_key: str | None) -> str | None:
    """Count a lease that is about to be made as one of the key's; returns the reservation's id. None: the key has no
    limit any more, or an earlier request with the same idempotency key made the lease. One that still makes it does not
    count against its repetition.

    Raises:
        LeaseLimit: the key holds `max_leases`.
    """
    async with db.transaction() as connection:
        cursor = await connection.execute(
            "SELECT max_leases FROM api_keys WHERE key_id = %s FOR NO KEY UPDATE", (key_id,)
        )
        row = await cursor.fetchone()
        if row is None or (most := row["max_leases"]) is None:
            return None
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM leases l JOIN sessions s USING (session_id)"
            "   WHERE l.key_id = %(key_id)s AND (s.status = ANY(%(counting)s) OR s.awaits_successor)) AS held,"
            " (SELECT count(*) FROM lease_reservations WHERE key_id = %(key_id)s"
            "   AND made > clock_timestamp() - interval '5 minutes' AND (idempotency_key IS NULL"
            "    OR (user_id, idempotency_key) IS DISTINCT FROM (%(user_id)s::uuid, %(idempotency_key)s::text))"
            "  ) AS reserved,"
            " EXISTS (SELECT 1 FROM sessions WHERE user_id = %(user_id)s::uuid"
            "   AND idempotency_key = %(idempotency_key)s) AS repeated",
            {"key_id": key_id, "counting": COUNTING, "user_id": user_id, "idempotency_key": idempotency_key},
        )
        held = await returned(cursor)
        if held["repeated"]:
            return None
        if held["held"] + held["reserved"] >= most:
            raise key_limit_reached(most)
        cursor = await connection.execute(
            "INSERT INTO lease_reservations (key_id, user_id, idempotency_key) VALUES (%s, %s, %s)"
            " RETURNING reservation_id::text",
            (key_id, user_id, idempotency_key),
        )
        return (await returned(cursor))["reservation_id"]


async def give_back(db: Database, reservation_id: str) -> None:
    """The lease was not made. Never fails: a reservation that is left counts for some minutes more."""
    try:
        await db.write("DELETE FROM lease_reservations WHERE reservation_id = %s", (reservation_id,))
    except Unavailable as error:
        log.warning("a lease that was not made counts for some minutes more", reason=error.message)
