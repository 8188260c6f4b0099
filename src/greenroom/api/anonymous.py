"""Users that are made for one launch without a user: in All Users, without a log-in, gone after their last session."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from greenroom.core.errors import Duplicate, Invalid, NotFound, Refused
from greenroom.db import users
from greenroom.db.database import Database
from greenroom.db.logs import LogWriter

BATCH: Final = 100
"""Anonymous users deleted in one round of housekeeping."""


async def anonymous_user(db: Database, key_id: str | None, idempotency_key: str | None) -> tuple[str, bool]:
    """The user of a launch without a user, and whether he was made now.

    A request that is repeated with its `Idempotency-Key` finds the user it made before, so that it finds his session.

    Raises:
        Refused: somebody made a user of that name, who could log in to the session.
    """
    if idempotency_key is None:
        return await _made(db, f"anonymous-{secrets.token_hex(8)}"), True
    name = f"anonymous-{hashlib.sha256(f'{key_id}|{idempotency_key}'.encode()).hexdigest()[:16]}"
    if (found := await users.find_user(db, name)) is not None:
        if not found.anonymous:
            raise Refused(f"There is a user {name} already; use another Idempotency-Key.")
        return found.user_id, False
    try:
        return await _made(db, name), True
    except Duplicate:  # the same request at the same time
        return await anonymous_user(db, key_id, idempotency_key)


async def forget_anonymous(db: Database, user_id: str) -> None:
    """Delete an anonymous user without a session.

    Raises:
        NotFound: he was deleted.
        Invalid: he has a session.
    """
    async with db.transaction() as connection:
        await users.lock_user(connection, user_id)
        await users.delete_user_row(connection, user_id)
    await db.notify("users:")


async def forget_anonymous_users(db: Database, retention_s: float, logs: LogWriter) -> None:
    """Delete anonymous users whose last session ended more than `retention_s` ago; each deletion is a log row."""
    for user_id, username in await users.anonymous_to_forget(db, retention_s, BATCH):
        try:
            await forget_anonymous(db, user_id)
        except (NotFound, Invalid):
            continue  # another process was faster, or he has a new session
        logs.write("INFO", "user-deleted", f"The anonymous user {username} left with their last session")


async def _made(db: Database, name: str) -> str:
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, name)
        await users.mark_anonymous(connection, user_id)
    await db.notify("users:")
    return user_id
