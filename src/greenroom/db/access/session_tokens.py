"""Log-ins that programs create for users, in SQL. They are rows next to those of browsers, and end in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.db.database import Connection, Database

_COLUMNS: Final[LiteralString] = (
    "l.login_id::text, l.user_id::text, u.username, l.token_hash, l.created,"
    " least(l.expires, l.last_used + make_interval(secs => %(idle_s)s)) AS ends"
)
_VALID: Final[LiteralString] = (
    "u.user_id = l.user_id AND l.expires > now() AND l.last_used > now() - make_interval(secs => %(idle_s)s)"
    " AND NOT u.disabled AND NOT u.locked"
)
_SELECT: Final[LiteralString] = "SELECT " + _COLUMNS + " FROM login_sessions l, users u WHERE " + _VALID


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """A valid log-in; `ends` is its end if it is not used until then."""

    login_id: str
    user_id: str
    username: str
    token_hash: bytes
    created: datetime
    ends: datetime


async def find_token_login(db: Database, login_id: str, idle_s: float) -> TokenLogin | None:
    """The log-in with this id, if it has not ended and its user may log in."""
    return await db.fetch_one_as(
        TokenLogin, _SELECT + " AND l.login_id::text = %(login_id)s", {"login_id": login_id, "idle_s": idle_s}
    )


async def list_token_logins(db: Database, user_id: str, idle_s: float) -> list[TokenLogin]:
    """The log-ins of a user that have not ended, oldest first, also those of browsers."""
    return await db.fetch_as(
        TokenLogin,
        _SELECT + " AND l.user_id = %(user_id)s ORDER BY l.created, l.login_id",
        {"user_id": user_id, "idle_s": idle_s},
    )


async def insert_token_login(
    connection: Connection, login_id: str, token_hash: bytes, user_id: str, *, lifetime_s: float, made_by: str
) -> None:
    """Store a log-in that a program creates, after `users.lock_user`."""
    await connection.execute("UPDATE users SET last_session = now() WHERE user_id = %s", (user_id,))
    await connection.execute(
        "INSERT INTO login_sessions (login_id, token_hash, user_id, expires, user_agent)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s), %s)",
        (login_id, token_hash, user_id, lifetime_s, made_by[:500]),
    )


async def prolong_login(db: Database, login_id: str, lifetime_s: float) -> None:
    """Extend a log-in to the lifetime of a new one."""
    await db.write(
        "UPDATE login_sessions SET last_used = now(), expires = now() + make_interval(secs => %s) WHERE login_id = %s",
        (lifetime_s, login_id),
    )
