"""The SQL that only the published interface uses: anonymous users for launches without a user, log-ins that programs
create, and reports.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Set
from typing import Final, LiteralString

from greenroom.core.errors import Duplicate, Invalid, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LOGIN_CODES, LogCode
from greenroom.db.access import users
from greenroom.db.access.credentials import OPEN_LOGINS, TokenLogin
from greenroom.db.database import Connection, Database


async def anonymous_user(db: Database, key_id: str | None, idempotency_key: str | None) -> tuple[str, bool]:
    """Return the anonymous user of a launch without a user, and True if this call created it.

    A repeated request with the same `Idempotency-Key` gets the user of the first request, and so the same session.

    Raises:
        Refused: a regular user has the name of the anonymous user, and could open the session.
    """
    if idempotency_key is None:
        return await _create_anonymous(db, f"anonymous-{secrets.token_hex(8)}"), True
    name = f"anonymous-{hashlib.sha256(f'{key_id}|{idempotency_key}'.encode()).hexdigest()[:16]}"
    if (existing := await users.find_user(db, name)) is not None:
        if not existing.anonymous:
            raise Refused(f"There is a user {name} already; use another Idempotency-Key.")
        return existing.user_id, False
    try:
        return await _create_anonymous(db, name), True
    except Duplicate:  # a repeated request has created the user at the same time
        return await anonymous_user(db, key_id, idempotency_key)


async def _create_anonymous(db: Database, name: str) -> str:
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, users.UserFields(username=name))
        await mark_anonymous(connection, user_id)
    await db.notify(ChangeEvent(Topic.USERS))
    return user_id


async def mark_anonymous(connection: Connection, user_id: str) -> None:
    """Mark a user as created for one launch without a user. Such users are deleted after their session."""
    await connection.execute("INSERT INTO anonymous_users (user_id) VALUES (%s)", (user_id,))


async def insert_login_link(db: Database, token_hash: bytes, user_id: str, *, lifetime_s: float) -> None:
    """Store a link that logs a user in once within `lifetime_s`."""
    await db.write(
        "INSERT INTO login_links (token_hash, user_id, expires) VALUES (%s, %s, now() + make_interval(secs => %s))",
        (token_hash, user_id, lifetime_s),
    )


async def list_token_logins(db: Database, user_id: str, idle_s: float) -> list[TokenLogin]:
    """Return the log-ins of a user that have not ended, oldest first, including log-ins of browsers. A log-in that was
    not used for `idle_s` has ended."""
    return await db.fetch_as(
        TokenLogin,
        OPEN_LOGINS + " AND l.user_id = %(user_id)s ORDER BY l.created, l.login_id",
        {"user_id": user_id, "idle_s": idle_s},
    )


async def insert_token_login(
    connection: Connection, login_id: str, token_hash: bytes, user_id: str, *, lifetime_s: float, created_by: str
) -> None:
    """Store a log-in that a program creates, and that proves nothing about the user. Call `users.lock_user` before."""
    await connection.execute("UPDATE users SET last_session = now() WHERE user_id = %s", (user_id,))
    await connection.execute(
        "INSERT INTO login_sessions (login_id, token_hash, user_id, expires, user_agent, confirmed)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s), %s, '-infinity')",
        (login_id, token_hash, user_id, lifetime_s, created_by[:500]),
    )


async def extend_login(db: Database, login_id: str, lifetime_s: float) -> None:
    """Let a log-in end `lifetime_s` from now, and record its use."""
    await db.write(
        "UPDATE login_sessions SET last_used = now(), expires = now() + make_interval(secs => %s) WHERE login_id = %s",
        (lifetime_s, login_id),
    )


_SESSIONS_OF_USERS: Final[LiteralString] = "FROM sessions WHERE status <> 'deleted' AND user_id IS NOT NULL"
_COUNT_LOG_ROWS: Final[LiteralString] = (
    "SELECT count(*) AS data FROM logs WHERE code = ANY(%(codes)s)"
    " AND time > clock_timestamp() - make_interval(secs => %(within_s)s)"
)
CURRENT_FIGURES: Final[dict[str, LiteralString]] = {
    "current_kasms": f"SELECT count(*) AS data {_SESSIONS_OF_USERS}",
    "current_users": f"SELECT count(DISTINCT user_id) AS data {_SESSIONS_OF_USERS}",
}
"""Report → SQL, for reports on the present: the number of sessions that have a user, and the number of these users."""
LOG_FIGURES: Final[dict[str, Set[LogCode]]] = {
    "created_kasms": {LogCode.SESSION_LAUNCHED},
    "destroyed_kasms": {LogCode.SESSION_DELETED},
    "successful_logins": LOGIN_CODES,
    "failed_logins": {LogCode.LOGIN_FAILED},
}
"""Report → log codes, for reports that count log rows. Old log rows may have been deleted."""


async def read_report(db: Database, name: str, within_s: float) -> int:
    """Return the number of the report `name`. A report on log rows counts the rows of the last `within_s` seconds.

    Raises:
        Invalid: there is no such report.
    """
    if name in CURRENT_FIGURES:
        row = await db.fetch_one(CURRENT_FIGURES[name])
    elif name in LOG_FIGURES:
        row = await db.fetch_one(_COUNT_LOG_ROWS, {"codes": list(LOG_FIGURES[name]), "within_s": within_s})
    else:
        raise Invalid(
            f"There is no report {name[:60]!r}; the reports are {', '.join([*CURRENT_FIGURES, *LOG_FIGURES])}."
        )
    return row["data"] if row else 0
