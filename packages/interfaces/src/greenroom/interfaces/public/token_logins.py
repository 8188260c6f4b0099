"""The SQL of log-ins and log-in links that programs create in the published interface."""

from __future__ import annotations

from greenroom.db.access.credentials import OPEN_LOGINS, TokenLogin
from greenroom.db.database import Connection, Database


async def insert_login_link(db: Database, token_hash: bytes, user_id: str, *, lifetime_s: float) -> None:
    """Store a link that logs a user in once."""
    await db.write(
        "INSERT INTO login_links (token_hash, user_id, expires) VALUES (%s, %s, now() + make_interval(secs => %s))",
        (token_hash, user_id, lifetime_s),
    )


async def list_token_logins(db: Database, user_id: str, idle_s: float) -> list[TokenLogin]:
    """Return the log-ins of a user that have not ended, oldest first, including log-ins of browsers."""
    return await db.fetch_as(
        TokenLogin,
        OPEN_LOGINS + " AND l.user_id = %(user_id)s ORDER BY l.created, l.login_id",
        {"user_id": user_id, "idle_s": idle_s},
    )


async def insert_token_login(
    connection: Connection, login_id: str, token_hash: bytes, user_id: str, *, lifetime_s: float, created_by: str
) -> None:
    """Store a log-in that a program creates, after `users.lock_user`."""
    await connection.execute("UPDATE users SET last_session = now() WHERE user_id = %s", (user_id,))
    await connection.execute(
        "INSERT INTO login_sessions (login_id, token_hash, user_id, expires, user_agent)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s), %s)",
        (login_id, token_hash, user_id, lifetime_s, created_by[:500]),
    )


async def prolong_login(db: Database, login_id: str, lifetime_s: float) -> None:
    """Extend a log-in to the lifetime of a new one."""
    await db.write(
        "UPDATE login_sessions SET last_used = now(), expires = now() + make_interval(secs => %s) WHERE login_id = %s",
        (lifetime_s, login_id),
    )
