"""The users of launches without a user, which only the published interface permits."""

from __future__ import annotations

import hashlib
import secrets

from greenroom.core.errors import Duplicate, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.db.access import users
from greenroom.db.database import Connection, Database


async def anonymous_user(db: Database, key_id: str | None, idempotency_key: str | None) -> tuple[str, bool]:
    """Return the user of a launch without a user, and True if this call created it.

    A repeated request with the same `Idempotency-Key` gets the user that the first request created, and so the session
    of this user. Raises Refused: a regular user has this name, and could log in to the session.
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
    except Duplicate:  # the same request at the same time
        return await anonymous_user(db, key_id, idempotency_key)


async def _create_anonymous(db: Database, name: str) -> str:
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, users.UserFields(username=name))
        await mark_anonymous(connection, user_id)
    await db.notify(ChangeEvent(Topic.USERS))
    return user_id


async def mark_anonymous(connection: Connection, user_id: str) -> None:
    """Mark a user who was created for one launch without a user, to be deleted afterwards."""
    await connection.execute("INSERT INTO anonymous_users (user_id) VALUES (%s)", (user_id,))
