"""Users, for administrators."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import SecretStr

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs, PasswordHashes
from greenroom.api.paging import Paging
from greenroom.api.schemas.accounts import UserCreate, UserPatch, UserView
from greenroom.api.security import Caller, requires
from greenroom.core.accounts import password_problem
from greenroom.core.errors import Invalid, Refused
from greenroom.core.permissions import beyond
from greenroom.db import logins, users
from greenroom.db.database import Connection, Database
from greenroom.db.groups import permissions_of_groups
from greenroom.db.sessions import request_delete
from greenroom.kit.passwords import Passwords

router = APIRouter(tags=["users"])


@router.get("/users", dependencies=[requires("users_view")])
async def list_users(
    db: Db,
    page: Paging,
    q: Annotated[str | None, Query(max_length=255, description="part of a name")] = None,
) -> list[UserView]:
    """Users by name."""
    (after,) = page.after_texts(1)
    rows = await users.list_users(db, q=_plain(q), after=after, limit=page.limit + 1)
    return [UserView.model_validate(user) for user in page.cut(rows, lambda user: [user.username.lower()])]


@router.post("/users", status_code=201)
async def create_user(
    body: UserCreate,
    db: Db,
    logs: Logs,
    passwords: PasswordHashes,
    caller: Annotated[Caller, requires("users_create")],
) -> UserView:
    """Create a user; he is in All Users and in the groups given."""
    fields = body.model_dump(exclude={"password", "groups"})
    user = await create(db, passwords, caller, fields, body.password, [str(group) for group in body.groups])
    await db.notify("users:")
    audit(logs, caller, "created", "user", user.username, after=visible(user))
    return UserView.model_validate(user)


@router.get("/users/{user_id}", dependencies=[requires("users_view")])
async def get_user(user_id: UUID, db: Db) -> UserView:
    """One user."""
    return UserView.model_validate(await users.get_user(db, str(user_id)))


@router.patch("/users/{user_id}")
async def update_user(
    user_id: UUID,
    body: UserPatch,
    db: Db,
    logs: Logs,
    passwords: PasswordHashes,
    caller: Annotated[Caller, requires("users_modify")],
) -> UserView:
    """Change a user. A new password, disabling and locking end his log-ins and cut his streams."""
    changes = body.sent()
    password: SecretStr | None = changes.pop("password", None)
    before, after = await change(db, passwords, caller, str(user_id), changes, password)
    new = visible(after) | ({"password": "new"} if password else {})
    audit(logs, caller, "changed", "user", after.username, before=visible(before), after=new)
    return UserView.model_validate(after)


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(
    user_id: UUID,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("users_delete")],
    force: Annotated[bool, Query(description="destroy his sessions, too")] = False,
) -> None:
    """Delete a user; 409 while he has sessions, unless `force`."""
    user = await remove(db, caller, str(user_id), force=force)
    audit(logs, caller, "deleted", "user", user.username, before=visible(user))


async def create(
    db: Database,
    passwords: Passwords,
    caller: Caller,
    fields: dict[str, Any],
    password: SecretStr | None,
    group_ids: list[str],
) -> users.User:
    """Create a user in the name of `caller`.

    Raises:
        Forbidden: a group gives more than the caller has.
        Invalid: the password cannot be used.
        Duplicate: the name exists.
    """
    caller.require_to_have(await permissions_of_groups(db, group_ids))
    password_hash = await _hashed(passwords, password, fields["username"])
    async with db.transaction() as connection:
        user_id = await users.insert_user(connection, password_hash=password_hash, **fields)
        await users.set_groups(connection, user_id, group_ids)
    return await users.get_user(db, user_id)


async def change(
    db: Database,
    passwords: Passwords,
    caller: Caller,
    user_id: str,
    changes: dict[str, Any],
    password: SecretStr | None,
) -> tuple[users.User, users.User]:
    """Change fields, password and groups (`changes["groups"]`) of a user; returns (before, after).

    Raises:
        NotFound: there is no such user.
        Forbidden: he, or one of the groups, has more permissions than the caller.
        Refused: nobody could administer afterwards.
        Invalid: the password cannot be used.
        Duplicate: the new name exists.
    """
    changes = dict(changes)
    group_ids = [str(group) for group in changes.pop("groups", [])] if "groups" in changes else None
    before = await users.get_user(db, user_id)
    _may_change(caller, before)
    given = await permissions_of_groups(db, group_ids or [])
    caller.require_to_have(given - set(before.permissions))
    password_hash = await _hashed(passwords, password, changes.get("username", before.username))
    if password_hash is not None:
        changes |= {"password_hash": password_hash, "password_once": False}
    events = ["users:"]
    async with db.transaction() as connection:
        current = await users.lock_user(connection, user_id)
        await users.update_user(connection, replace(current, **changes))
        if group_ids is not None:
            await users.set_groups(connection, user_id, group_ids)
        events += await _revoke_if(connection, current, changes)
        await users.require_an_administrator(connection)
    await db.notify(*events)
    return before, await users.get_user(db, user_id)


async def remove(db: Database, caller: Caller, user_id: str, *, force: bool) -> users.User:
    """Delete a user; returns what he was.

    Raises:
        NotFound: there is no such user.
        Forbidden: he has more permissions than the caller.
        Refused: he has sessions and `force` is false, or nobody could administer afterwards.
    """
    events = ["users:"]
    async with db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        _may_change(caller, user)
        live = await users.live_sessions_of(connection, user_id)
        if live and not force:
            raise Refused(f"{user.username} has {len(live)} sessions; destroy them first, or delete with force.")
        for session_id in live:
            session = await request_delete(connection, session_id, f"user {user.username} was deleted")
            events += [f"session:{session_id}", f"agent:{session['agent_id']}"]
        await users.delete_user_row(connection, user_id)
        await users.require_an_administrator(connection)
    await db.notify(*events)
    return user


async def log_out(db: Database, user_id: str) -> None:
    """End all log-ins of a user and cut his streams; his sessions go on.

    Raises:
        NotFound: there is no such user.
    """
    async with db.transaction() as connection:
        await users.lock_user(connection, user_id)
        await logins.delete_logins_of(connection, user_id)
        events = await users.revoke_access(connection, user_id)
    await db.notify(*events, "users:")


async def _revoke_if(connection: Connection, before: users.User, changes: dict[str, Any]) -> list[str]:
    """Revoke what was granted when the change takes access away; returns the events to notify."""
    barred = any(changes.get(name) and not getattr(before, name) for name in ("disabled", "locked"))
    if not barred and "password_hash" not in changes:
        return []
    await logins.delete_logins_of(connection, before.user_id)
    return await users.revoke_access(connection, before.user_id)


async def _hashed(passwords: Passwords, password: SecretStr | None, username: str) -> str | None:
    if password is None:
        return None
    text = password.get_secret_value()
    if problem := password_problem(text, username):
        raise Invalid(problem)
    return await passwords.hash(text)


def _may_change(caller: Caller, user: users.User) -> None:
    if beyond(caller.permissions, user.permissions):
        caller.require("users_modify_admin")


def visible(user: users.User) -> dict[str, Any]:
    """A user as the log shows changes of him."""
    hidden = {"password_hash", "password_once", "auth_epoch", "num_sessions", "permissions", "last_session", "created"}
    values = {name: value for name, value in asdict(user).items() if name not in hidden}
    return values | {"groups": [group.name for group in user.groups]}


def _plain(text: str | None) -> str | None:
    return text.replace("\0", "") if text else None
