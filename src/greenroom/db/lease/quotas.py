"""How many leases a user and an API key hold. Those of a key are counted so that requests at the same time cannot
exceed its limit together; those of a user are counted under the lock of the user's row (`db.session.sessions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

import structlog

from greenroom.core.access.group_settings import GroupSettings
from greenroom.core.errors import Unavailable
from greenroom.core.lease import key_limit_reached
from greenroom.db.access.groups import GROUPS_OF_USER
from greenroom.db.database import Database, returned
from greenroom.db.session.sessions import COUNTING, NUMBER_OF_USER

log = structlog.get_logger(__name__)

_OF_KEY: Final[LiteralString] = (
    "(SELECT count(*) FROM leases l JOIN sessions s USING (session_id)"
    "   WHERE l.key_id = %(key_id)s AND (s.status = ANY(%(counting)s) OR s.awaits_successor))"
    " + (SELECT count(*) FROM lease_reservations WHERE key_id = %(key_id)s"
    "   AND made > clock_timestamp() - interval '5 minutes' AND (idempotency_key IS NULL"
    "    OR (user_id, idempotency_key) IS DISTINCT FROM (%(user_id)s::uuid, %(idempotency_key)s::text))"
    "  ) AS of_key,"
    " EXISTS (SELECT 1 FROM sessions WHERE user_id = %(user_id)s::uuid"
    "   AND idempotency_key = %(idempotency_key)s) AS repeated"
)
"""`of_key`: the leases of API key `key_id` and those that it is being given, without the one of this request;
`repeated`: an earlier request with this `idempotency_key` made a session of the user.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The facts that decide whether a further lease of a user is refused (`core.lease.refusal`).

    `of_user` and `of_key` are the leases that count. `repeated`: the request gets the session of an earlier one.
    """

    groups: list[GroupSettings]
    of_user: int
    of_key: int
    max_leases: int | None
    repeated: bool


async def read_held(db: Database, key_id: str | None, *, user_id: str, idempotency_key: str | None) -> Held:
    """The leases of a user and of an API key, and their limits, without locks."""
    values = {"user_id": user_id, "key_id": key_id, "idempotency_key": idempotency_key}
    held = await db.fetch_one_as(
        Held,
        "SELECT " + GROUPS_OF_USER + " AS groups, " + NUMBER_OF_USER + " AS of_user, " + _OF_KEY + ","
        " (SELECT max_leases FROM api_keys WHERE key_id = %(key_id)s) AS max_leases",
        values | {"counting": COUNTING, "leased": True},
    )
    if held is None:
        raise AssertionError("a query without FROM gives one row")
    return held


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
            "SELECT " + _OF_KEY,
            {"key_id": key_id, "counting": COUNTING, "user_id": user_id, "idempotency_key": idempotency_key},
        )
        held = await returned(cursor)
        if held["repeated"]:
            return None
        if held["of_key"] >= most:
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
