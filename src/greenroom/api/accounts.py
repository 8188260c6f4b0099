"""What both HTTP interfaces do with users: create, change, delete, log out; each in the name of a caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import SecretStr

from greenroom.api import group_rules
from greenroom.api.security import Caller
from greenroom.core.errors import Invalid, Refused
from greenroom.core.installation import installation_of
from greenroom.core.passwords import password_problem
from greenroom.db import logins, users
from greenroom.db.database import Connection, Database
from greenroom.db.sessions import request_delete
from greenroom.db.settings import stored_settings
from greenroom.kit.passwords import Passwords


async def create_user(
    db: Database,
    passwords: Passwords,
    caller: Caller,
    fields: dict[str, Any],
    *,
    password: SecretStr | None = None,
    group_ids: Sequence[str] = (),
) -> users.User:
    """Create a user in All Users and in `group_ids`.

    Raises:
        Forbidden: the caller may not put anybody into one of the groups.
        Invalid: the password cannot be used, or a group does not exist.
        Duplicate: the name exists.
    """
    await group_rules.require_memberships(db, caller, added=set(group_ids) - {users.ALL_USERS})
    password_hash = await _hashed(db, passwords, password, fields["username"])
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, password_hash=password_hash, **fields)
        await users.set_groups(connection, user_id, list(group_ids))
    await db.notify("users:")
    return await users.get_user(db, user_id)


async def change_user(
    db: Database,
    passwords: Passwords,
    caller: Caller,
    user_id: str,
    changes: dict[str, Any],
    *,
    password: SecretStr | None = None,
) -> tuple[users.User, users.User]:
    """Change fields, password and groups (`changes["groups"]`) of a user; returns (before, after).

    Raises:
        NotFound: there is no such user.
        Forbidden: he has more permissions than the caller, who may not change him or one of the groups.
        Refused: nobody could administer afterwards.
        Invalid: the password cannot be used, or a group does not exist.
        Duplicate: the new name exists.
    """
    changes = dict(changes)
    group_ids = {str(group) for group in changes.pop("groups")} if "groups" in changes else None
    before = await users.get_user(db, user_id)
    caller.require_not_above(before.permissions)
    if group_ids is not None:
        now = {group.group_id for group in before.groups}
        kept = group_ids | {users.ALL_USERS}
        await group_rules.require_memberships(db, caller, added=kept - now, removed=now - kept, user=before)
    password_hash = await _hashed(db, passwords, password, changes.get("username", before.username))
    if password_hash is not None:
        changes |= {"password_hash": password_hash, "password_once": False}
    async with db.transaction() as connection:
        current = await users.lock_user(connection, user_id)
        caller.require_not_above(current.permissions)
        await users.update_user(connection, replace(current, **changes))
        if group_ids is not None:
            await users.set_groups(connection, user_id, sorted(group_ids))
        events = await _revoke_if(connection, current, changes)
        await users.require_an_administrator(connection)
    await db.notify("users:", *events)
    return before, await users.get_user(db, user_id)


async def delete_user(db: Database, caller: Caller, user_id: str, *, force: bool) -> users.User:
    """Delete a user; returns what he was. API keys that he made are disabled with him.

    Raises:
        NotFound: there is no such user.
        Forbidden: he has more permissions than the caller.
        Refused: he has sessions and `force` is false, or nobody could administer afterwards.
    """
    events = ["users:"]
    async with db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        caller.require_not_above(user.permissions)
        live = await users.lock_sessions_of(connection, user_id)
        if live and not force:
            count = "1 session" if len(live) == 1 else f"{len(live)} sessions"
            raise Refused(f"{user.username} still has {count}; destroy what is left first, or delete with force.")
        for session_id in live:
            session = await request_delete(connection, session_id, f"user {user.username} was deleted")
            events += [f"session:{session_id}", f"agent:{session['agent_id']}"]
        await users.delete_user_row(connection, user_id)
        await users.require_an_administrator(connection)
    await db.notify(*events)
    return user


async def log_out(db: Database, user_id: str) -> None:
    """End all log-ins of a user and cut their streams; their sessions go on.

    Raises:
        NotFound: there is no such user.
    """
    async with db.transaction() as connection:
        await users.lock_user(connection, user_id)
        await logins.delete_logins_of(connection, user_id)
        events = await users.revoke_access(connection, user_id)
    await db.notify("users:", *events)


async def end_login(db: Database, user_id: str, login_id: str) -> logins.LoginView:
    """End one log-in of a user and cut his streams (nobody knows from which log-in they were opened).

    Returns:
        What it was.

    Raises:
        NotFound: there is no such user or log-in.
    """
    async with db.transaction() as connection:
        await users.lock_user(connection, user_id)
        ended = await logins.delete_login_by_id(connection, user_id, login_id)
        events = await users.revoke_access(connection, user_id)
    await db.notify("users:", *events)
    return ended


def visible(user: users.User) -> dict[str, Any]:
    """A user as the log shows changes of him."""
    hidden = {"password_hash", "password_once", "auth_epoch", "num_sessions", "permissions", "last_session", "created"}
    values = {name: value for name, value in asdict(user).items() if name not in hidden}
    return values | {"groups": [group.name for group in user.groups]}


async def _revoke_if(connection: Connection, before: users.User, changes: dict[str, Any]) -> list[str]:
    """Revoke what was granted when the change takes access away; returns the events to notify."""
    barred = any(changes.get(name) and not getattr(before, name) for name in ("disabled", "locked"))
    if not barred and "password_hash" not in changes:
        return []
    await logins.delete_logins_of(connection, before.user_id)
    return await users.revoke_access(connection, before.user_id)


async def _hashed(db: Database, passwords: Passwords, password: SecretStr | None, username: str) -> str | None:
    if password is None:
        return None
    text = password.get_secret_value()
    settings = installation_of(await stored_settings(db))
    if problem := password_problem(text, username, shortest=settings.min_password_length):
        raise Invalid(problem)
    return await passwords.hash(text)
