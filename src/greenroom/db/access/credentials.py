"""Log-ins at the console, log-in links, and the log-in attempts that the rate limit counts.

A log-in ends at `expires`, or if it is not used for `idle_s` seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.errors import NotFound
from greenroom.core.rate_limits import FailedAttempt, account_wait_s, source_of
from greenroom.db.access.roles import grants_of_user
from greenroom.db.database import Connection, Database, returned_row
from greenroom.db.diagnostics.batches import SKIP_LOCKED, delete_in_batches, deletion


@dataclass(frozen=True, slots=True)
class Login:
    """A valid log-in and its user. `needs_touch`: `last_used` is more than a minute old. `password_once`: the user
    still has the password with which the installation was created. `must_enroll`: the user must enroll a second factor
    before the log-in permits anything else."""

    user_id: str
    username: str
    permissions: frozenset[str]
    expires: datetime
    needs_touch: bool
    password_once: bool
    must_enroll: bool


async def find_login(db: Database, token_hash: bytes, idle_s: float) -> Login | None:
    """Return the log-in whose cookie has this hash; None if it has ended or its user may not log in."""
    return await db.fetch_one_as(
        Login,
        "SELECT u.user_id::text, u.username, u.password_once, l.must_enroll, l.expires,"
        " l.last_used < now() - interval '1 minute' AS needs_touch,"
        " " + grants_of_user("u.user_id") + " AS permissions"
        " FROM login_sessions l JOIN users u USING (user_id)"
        " WHERE l.token_hash = %s AND l.expires > now() AND l.last_used > now() - make_interval(secs => %s)"
        " AND NOT u.disabled AND NOT u.locked",
        (token_hash, idle_s),
    )


@dataclass(frozen=True, slots=True)
class ListedLogin:
    """A log-in as its user and administrators see it, without its token. `current`: the log-in of the request."""

    login_id: str
    created: datetime
    last_used: datetime
    expires: datetime
    client_ip: str
    user_agent: str
    current: bool


_COLUMNS: Final[LiteralString] = "login_id::text, created, last_used, expires, client_ip, user_agent"


async def list_logins(db: Database, user_id: str, idle_s: float, *, current: bytes | None = None) -> list[ListedLogin]:
    """Return the log-ins of a user that have not ended, last used first. `current` is the hash of the cookie of the
    request."""
    rows = await db.fetch(
        "SELECT " + _COLUMNS + ", token_hash IS NOT DISTINCT FROM %(current)s AS current FROM login_sessions"
        " WHERE user_id = %(user_id)s AND expires > now() AND last_used > now() - make_interval(secs => %(idle_s)s)"
        " ORDER BY last_used DESC, login_id",
        {"user_id": user_id, "idle_s": idle_s, "current": current},
    )
    return [ListedLogin(**row) for row in rows]


async def delete_login_by_id(connection: Connection, user_id: str, login_id: str) -> ListedLogin:
    """End one log-in of a user and return it. Raises NotFound: the user has no log-in with this id."""
    cursor = await connection.execute(
        "DELETE FROM login_sessions WHERE user_id = %s AND login_id = %s RETURNING " + _COLUMNS + ", false AS current",
        (user_id, login_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"The user has no log-in {login_id}; it may have ended.")
    return ListedLogin(**row)


async def use_login_link(db: Database, token_hash: bytes) -> tuple[str, str | None] | None:
    """Delete a log-in link. Return the id and the password hash of its user; None = the link is unknown or expired."""
    rows = await db.write(
        "WITH used AS (DELETE FROM login_links WHERE token_hash = %s RETURNING user_id, expires)"
        " SELECT user_id::text, password_hash FROM used JOIN users USING (user_id) WHERE expires > now()",
        (token_hash,),
    )
    return (rows[0]["user_id"], rows[0]["password_hash"]) if rows else None


async def touch_login(db: Database, token_hash: bytes) -> None:
    """Store that the log-in was used now, at most once a minute, also with concurrent requests."""
    await db.write(
        "UPDATE login_sessions SET last_used = now() WHERE token_hash = %s AND last_used < now() - interval '1 minute'",
        (token_hash,),
    )


async def insert_login(
    connection: Connection,
    token_hash: bytes,
    user_id: str,
    password_hash: str | None,
    *,
    lifetime_s: float,
    client_ip: str,
    user_agent: str,
    must_enroll: bool = False,
    is_confirmed: bool = True,
) -> str | None:
    """Store a new log-in, and its time in the row of the user; returns the id of the log-in, or None = it was refused.

    `must_enroll` is that of `Login`. `is_confirmed`: the user has proven their identity. `password_hash` is the hash
    with which the user authenticated. If the password was changed, or the user disabled or locked, since then, the
    log-in is refused. All log-ins of service accounts are refused.
    """
    user = await connection.execute(
        "UPDATE users SET last_session = now() WHERE user_id = %s AND password_hash IS NOT DISTINCT FROM %s"
        " AND NOT disabled AND NOT locked"
        " AND NOT EXISTS (SELECT FROM service_accounts a WHERE a.user_id = users.user_id)",
        (user_id, password_hash),
    )
    if user.rowcount == 0:
        return None
    cursor = await connection.execute(
        "INSERT INTO login_sessions (token_hash, user_id, expires, client_ip, user_agent, must_enroll, confirmed)"
        " VALUES (%s, %s, now() + make_interval(secs => %s), %s, %s, %s, CASE WHEN %s THEN now() ELSE '-infinity' END)"
        " RETURNING login_id::text",
        (token_hash, user_id, lifetime_s, client_ip, user_agent[:500], must_enroll, is_confirmed),
    )
    return (await returned_row(cursor))["login_id"]


async def delete_login(connection: Connection, token_hash: bytes) -> None:
    """End one log-in; an unknown log-in is not an error."""
    await connection.execute("DELETE FROM login_sessions WHERE token_hash = %s", (token_hash,))


async def delete_logins_of(connection: Connection, user_ids: Collection[str], *, keep: bytes | None = None) -> None:
    """End all log-ins of users except `keep`, and delete their log-in links and pending log-ins."""
    values = {"ids": list(user_ids), "keep": keep}
    await connection.execute("DELETE FROM login_links WHERE user_id = ANY(%(ids)s::uuid[])", values)
    await connection.execute("DELETE FROM pending_logins WHERE user_id = ANY(%(ids)s::uuid[])", values)
    await connection.execute(
        "DELETE FROM login_sessions WHERE user_id = ANY(%(ids)s::uuid[]) AND token_hash IS DISTINCT FROM %(keep)s",
        values,
    )


async def renew_login(connection: Connection, token_hash: bytes, new_hash: bytes, *, is_confirmed: bool) -> int | None:
    """Replace the token of a log-in. `is_confirmed`: the user has proven their identity now. Return the seconds until
    the log-in expires; None = it has ended."""
    cursor = await connection.execute(
        "UPDATE login_sessions SET token_hash = %s, confirmed = CASE WHEN %s THEN now() ELSE confirmed END"
        " WHERE token_hash = %s AND expires > now()"
        " RETURNING ceil(extract(epoch FROM expires - now()))::bigint AS remaining_s",
        (new_hash, is_confirmed, token_hash),
    )
    row = await cursor.fetchone()
    await connection.execute(
        "UPDATE factor_challenges SET token_hash = %s WHERE token_hash = %s", (new_hash, token_hash)
    )
    return row["remaining_s"] if row else None


async def complete_enrollment(connection: Connection, token_hash: bytes) -> None:
    """Permit everything to a log-in in which the user had to enroll a second factor."""
    await connection.execute("UPDATE login_sessions SET must_enroll = false WHERE token_hash = %s", (token_hash,))


async def is_confirmed_login(db: Database, token_hash: bytes, within_s: float) -> bool:
    """Return True if the user of the log-in has proven their identity at most `within_s` ago. Log-ins that a program
    requested prove nothing about the user, until the user confirms the password."""
    query = "SELECT 1 FROM login_sessions WHERE token_hash = %s AND confirmed >= now() - make_interval(secs => %s)"
    return bool(await db.fetch(query, (token_hash, within_s)))


async def limit_to_password(connection: Connection, user_id: str) -> None:
    """End all access to a user except with the password: log-ins through sign-on providers, log-ins and links that
    programs created, and the right of a SCIM client to change the user."""
    await connection.execute("DELETE FROM scim_users WHERE user_id = %s", (user_id,))
    await connection.execute("DELETE FROM login_links WHERE user_id = %s", (user_id,))
    await connection.execute(
        "DELETE FROM login_sessions l WHERE user_id = %s AND (confirmed = '-infinity'"
        " OR EXISTS (SELECT FROM provider_logins p WHERE p.login_id = l.login_id))",
        (user_id,),
    )


async def begin_attempt(
    db: Database, username: str, source: str, *, max_attempts: int, window_s: float, is_known: bool = False
) -> float | None:
    """Count an attempt to log in before its password is checked. Return None if the check may follow, else the seconds
    to wait (`core.rate_limits.account_wait_s`).

    The attempt counts as failed until `clear_attempts`, so that concurrent guesses cannot bypass the limit. `source` is
    a known device, or the source of the client's address (`core.rate_limits.source_of`). `is_known`: the user of the
    account is logged in at this source.
    """
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(74, hashtext(username_key(%s)))", (username,))
        cursor = await connection.execute(
            "SELECT client_ip AS source, extract(epoch FROM now() - at)::float8 AS age_s FROM login_failures"
            " WHERE username_lower = username_key(%s) AND at > now() - make_interval(secs => %s)",
            (username, window_s),
        )
        failures = [FailedAttempt(**row) for row in await cursor.fetchall()]
        is_known = is_known or source in await _logged_in_at(connection, username)
        wait_s = account_wait_s(failures, source, max_failures=max_attempts, window_s=window_s, is_known=is_known)
        if wait_s > 0:
            return wait_s
        await connection.execute(
            "INSERT INTO login_failures (username_lower, client_ip) VALUES (username_key(%s), %s)", (username, source)
        )
    return None


async def _logged_in_at(connection: Connection, username: str) -> set[str]:
    cursor = await connection.execute(
        "SELECT DISTINCT client_ip FROM login_sessions JOIN users USING (user_id)"
        " WHERE username_key(username) = username_key(%s) AND expires > now()",
        (username,),
    )
    return {source_of(row["client_ip"]) for row in await cursor.fetchall()}


async def withdraw_attempt(db: Database, username: str, source: str) -> None:
    """Delete the last attempt at an account from a source: its password was right, and its second factor is missing."""
    await db.write(
        "DELETE FROM login_failures WHERE ctid = (SELECT ctid FROM login_failures"
        " WHERE username_lower = username_key(%s) AND client_ip = %s ORDER BY at DESC LIMIT 1)",
        (username, source),
    )


async def clear_attempts(db: Database, username: str, source: str) -> None:
    """Delete the failures of an account from a source, after a successful log-in."""
    await db.write(
        "DELETE FROM login_failures WHERE username_lower = username_key(%s) AND client_ip = %s", (username, source)
    )


OPEN_LOGINS: Final[LiteralString] = (
    "SELECT l.login_id::text, l.user_id::text, u.username, l.token_hash, l.created,"
    " " + grants_of_user("u.user_id") + " AS permissions,"
    " least(l.expires, l.last_used + make_interval(secs => %(idle_s)s)) AS ends"
    " FROM login_sessions l, users u WHERE u.user_id = l.user_id AND l.expires > now()"
    " AND l.last_used > now() - make_interval(secs => %(idle_s)s) AND NOT u.disabled AND NOT u.locked"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """A valid log-in of a program or a browser. `ends` is the time at which it ends unless it is used before.
    `permissions` are the grants of its user."""

    login_id: str
    user_id: str
    username: str
    permissions: list[str]
    token_hash: bytes
    created: datetime
    ends: datetime


async def find_token_login(db: Database, login_id: str, idle_s: float) -> TokenLogin | None:
    """Return the log-in with this id; None if it has ended or its user may not log in."""
    return await db.fetch_one_as(
        TokenLogin, OPEN_LOGINS + " AND l.login_id::text = %(login_id)s", {"login_id": login_id, "idle_s": idle_s}
    )


DELETE_ENDED_LOGINS: Final[tuple[LiteralString, ...]] = (
    deletion("login_sessions", "token_hash", "expires < now()"),
    deletion("login_links", "token_hash", "expires < now()"),
    deletion("pending_logins", "token_hash", "expires < now()"),
    deletion("factor_challenges", "ctid", "expires < now()", SKIP_LOCKED),
    deletion("login_failures", "ctid", "at < now() - make_interval(secs => %(window_s)s)", SKIP_LOCKED),
)


async def prune_logins(db: Database, window_s: float) -> None:
    """Delete ended log-ins, expired links, and failures older than the window."""
    for statement in DELETE_ENDED_LOGINS:
        await delete_in_batches(db, statement, {"window_s": window_s})
