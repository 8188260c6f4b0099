"""Session tokens: log-ins that programs begin, extend and end for users.

A token is the value of the console's cookie. It opens the streams of the user's sessions as `session_token` of the
published interface does. It consists of the id of the log-in and a signature, so the tokens of a user can be listed
although only their hashes are credentials. Log-ins of browsers have random values and are never listed here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from greenroom.api.access.accounts import end_login_of
from greenroom.api.installation import Snapshot
from greenroom.api.security import Caller
from greenroom.core.errors import NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import credentials, users
from greenroom.db.access.credentials import TokenLogin, touch_login
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.secrets import Secrets, hashed


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionToken:
    """A token with its user. It ends at `ends` if it is not used until then."""

    token: str
    login_id: str
    user_id: str
    created: datetime
    ends: datetime


async def create(
    db: Database, secrets: Secrets, snapshot: Snapshot, caller: Caller, user_id: str, *, logs: LogWriter
) -> SessionToken:
    """Begin a log-in for a user.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
        Refused: the user may not log in.
    """
    login_id, settings = str(uuid.uuid4()), snapshot.installation
    token = secrets.session_token(login_id)
    async with db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        caller.require_not_above(user.permissions)
        if user.disabled or user.locked or user.anonymous:
            raise Refused(f"{user.username} may not log in: the account is disabled, locked or anonymous.")
        await credentials.insert_token_login(
            connection,
            login_id,
            hashed(token),
            user.user_id,
            lifetime_s=settings.session_lifetime_s,
            made_by=caller.name,
        )
    await db.notify(ChangeEvent(Topic.USERS))
    logs.write(
        LogCode.SESSION_TOKEN_CREATED,
        f"{caller.name} got a session token of {user.username}",
        user_id=user.user_id,
        username=user.username,
    )
    return await find(db, secrets, snapshot, caller, token)


async def find(db: Database, secrets: Secrets, snapshot: Snapshot, caller: Caller, token: str) -> SessionToken:
    """Return a valid token.

    Raises:
        NotFound: the token does not exist, or it has ended.
        Forbidden: its user has more permissions than the caller.
    """
    login = await _login_of(db, secrets, token, snapshot.installation.session_idle_s)
    if login is None:
        raise NotFound("There is no such session token; it may have ended.")
    caller.require_not_above((await users.get_user(db, login.user_id)).permissions)
    return _shown(login, token)


async def of_user(
    db: Database, secrets: Secrets, snapshot: Snapshot, caller: Caller, user_id: str
) -> list[SessionToken]:
    """Return the valid tokens of a user, oldest first.

    Raises:
        NotFound: there is no such user.
        Forbidden: the user has more permissions than the caller.
    """
    user = await users.get_user(db, user_id)
    caller.require_not_above(user.permissions)
    found = await credentials.list_token_logins(db, user.user_id, snapshot.installation.session_idle_s)
    made = [(login, secrets.session_token(login.login_id)) for login in found]
    return [_shown(login, token) for login, token in made if hashed(token) == login.token_hash]


async def prolong(db: Database, secrets: Secrets, snapshot: Snapshot, caller: Caller, token: str) -> SessionToken:
    """Extend a token to the lifetime of a new one, without a change of its value. Raises the same errors as `find`."""
    found = await find(db, secrets, snapshot, caller, token)
    await credentials.prolong_login(db, found.login_id, snapshot.installation.session_lifetime_s)
    return await find(db, secrets, snapshot, caller, token)


async def end(db: Database, logs: LogWriter, caller: Caller, token: SessionToken) -> None:
    """End a token, and cut all streams of its user; their sessions continue."""
    await end_login_of(db, logs, caller, token.user_id, token.login_id)


async def opens_sessions_of(db: Database, secrets: Secrets, token: str, user_id: str | None, idle_s: float) -> bool:
    """True if this is a valid session token of this user. Records the use of the token."""
    login = await _login_of(db, secrets, token, idle_s) if user_id is not None else None
    if login is None or login.user_id != user_id:
        return False
    await touch_login(db, login.token_hash)
    return True


async def _login_of(db: Database, secrets: Secrets, token: str, idle_s: float) -> TokenLogin | None:
    login_id = secrets.login_of(token)
    login = await credentials.find_token_login(db, login_id, idle_s) if login_id is not None else None
    return login if login is not None and login.token_hash == hashed(token) else None


def _shown(login: TokenLogin, token: str) -> SessionToken:
    return SessionToken(
        token=token, login_id=login.login_id, user_id=login.user_id, created=login.created, ends=login.ends
    )
