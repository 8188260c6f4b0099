"""Users, for administrators; and the preferences and SSH keys of users.

Preferences are the language, time zone, workspace and theme.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from greenroom.api.access import accounts
from greenroom.api.access.accounts import change_attributes, generate_ssh_key
from greenroom.api.access.schemas import (
    AttributesPatch,
    AttributesView,
    EffectiveSettingView,
    UserCreate,
    UserPatch,
    UserView,
)
from greenroom.api.bodies import View
from greenroom.api.deps import Db, Logs, PasswordHashes, SecretsDep, SettingsSnapshot
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.security import Caller, requires
from greenroom.core.access.group_settings import SETTINGS, Resolved, resolve
from greenroom.core.access.permissions import USER
from greenroom.core.listing import order_of, words_of
from greenroom.core.masking import shown
from greenroom.db.access import credentials, users
from greenroom.db.access.credentials import ListedLogin
from greenroom.db.access.groups import memberships_of
from greenroom.db.access.users import BY_NAME, USERS, UserFilter

router = APIRouter(tags=["users"])


class LoginView(View, row=ListedLogin):
    """A log-in at the console."""

    login_id: UUID
    current: Annotated[bool, Field(description="the log-in of this request")]


@router.get("/users", dependencies=[requires("users_view")])
async def list_users(
    db: Db,
    page: Paging,
    q: Search = "",
    group_id: Annotated[UUID | None, Query(description="only members of this group")] = None,
    sort: Sorting = str(BY_NAME),
    count: Counting = False,
) -> list[UserView]:
    """List users, by name unless the request sets another order."""
    wanted = UserFilter(group_id=group_id, words=words_of(q, USERS.columns))
    if count:
        page.count(await users.count_users(db, wanted))
    order = order_of(sort, USERS.orders)
    found = await users.list_users(db, wanted, order=order, after=page.after_row(order), limit=page.limit)
    return [UserView.model_validate(user) for user in page.rows(found, order)]


@router.post("/users", status_code=201)
async def create_user(
    body: UserCreate,
    db: Db,
    logs: Logs,
    passwords: PasswordHashes,
    caller: Annotated[Caller, requires("users_create")],
) -> UserView:
    """Create a user in All Users and in the groups of the request, which the caller must be allowed to change."""
    return UserView.model_validate(await accounts.create_user(db, logs, passwords, caller, body))


@router.get("/users/{user_id}", dependencies=[requires("users_view")])
async def get_user(user_id: UUID, db: Db) -> UserView:
    """Return one user."""
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
    """Change a user. A new password, disabling and locking end all log-ins of the user and cut their streams."""
    return UserView.model_validate(await accounts.change_user(db, logs, passwords, caller, str(user_id), body=body))


@router.get("/users/{user_id}/settings")
async def get_user_settings(
    user_id: UUID, db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires("users_view")]
) -> list[EffectiveSettingView]:
    """Return the group settings in force for a user, each with its source.

    The values of variables are only for callers who may change groups.
    """
    user = await users.get_user(db, str(user_id))
    resolved = resolve(await memberships_of(db, user.user_id))
    plain = caller.may("groups_modify")
    return [_effective(found, shown(found.value, secrets.opened, plain=plain)) for found in resolved.values()]


def _effective(found: Resolved, value: object) -> EffectiveSettingView:
    return EffectiveSettingView.model_validate(asdict(SETTINGS[found.name]) | asdict(found) | {"value": value})


@router.delete("/users/{user_id}", status_code=204)
async def delete_user(
    user_id: UUID,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("users_delete")],
    force: Annotated[bool, Query(description="also destroy the user's sessions")] = False,
) -> None:
    """Delete a user; 409 while they have sessions, unless `force` is set. The API keys of the user are disabled."""
    await accounts.delete_user(db, logs, caller, str(user_id), force=force)


@router.get("/users/{user_id}/logins", dependencies=[requires("users_view")])
async def list_user_logins(user_id: UUID, db: Db, snapshot: SettingsSnapshot) -> list[LoginView]:
    """List the log-ins of a user at the console, the last used first."""
    user = await users.get_user(db, str(user_id))
    rows = await credentials.list_logins(db, user.user_id, snapshot.installation.session_idle_s)
    return [LoginView.model_validate(row) for row in rows]


@router.delete("/users/{user_id}/logins", status_code=204)
async def log_user_out(user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("users_modify")]) -> None:
    """End all log-ins of a user and cut their streams; their sessions continue."""
    await accounts.log_out(db, logs, caller, str(user_id))


@router.delete("/users/{user_id}/logins/{login_id}", status_code=204)
async def end_user_login(
    user_id: UUID, login_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("users_modify")]
) -> None:
    """End one log-in of a user, and cut their streams; their sessions continue."""
    await accounts.end_login_of(db, logs, caller, str(user_id), str(login_id))


attribute_router = APIRouter(tags=["attributes"])


@attribute_router.get("/me/attributes")
async def get_own_attributes(db: Db, caller: Annotated[Caller, requires(USER)]) -> AttributesView:
    """Return the preferences and the public SSH key of the caller."""
    return AttributesView.model_validate(await users.get_attributes(db, caller.own_user_id()))


@attribute_router.patch("/me/attributes")
async def update_own_attributes(
    body: AttributesPatch, db: Db, logs: Logs, secrets: SecretsDep, caller: Annotated[Caller, requires(USER)]
) -> AttributesView:
    """Change the preferences and the SSH keys of the caller, for sessions that are launched from now on."""
    changed = await change_attributes(db, logs, secrets, caller, caller.own_user_id(), body=body)
    return AttributesView.model_validate(changed)


@attribute_router.post("/me/ssh-key")
async def generate_own_ssh_key(
    db: Db, logs: Logs, secrets: SecretsDep, caller: Annotated[Caller, requires(USER)]
) -> AttributesView:
    """Replace the SSH keys of the caller with a new pair. The answer contains the public key."""
    return AttributesView.model_validate(await generate_ssh_key(db, logs, secrets, caller, caller.own_user_id()))


@attribute_router.get("/users/{user_id}/attributes", dependencies=[requires("users_view")])
async def get_user_attributes(user_id: UUID, db: Db) -> AttributesView:
    """Return the preferences and the public SSH key of a user."""
    user = await users.get_user(db, str(user_id))
    return AttributesView.model_validate(await users.get_attributes(db, user.user_id))


@attribute_router.patch("/users/{user_id}/attributes")
async def update_user_attributes(
    user_id: UUID,
    body: AttributesPatch,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("users_modify")],
) -> AttributesView:
    """Change the preferences and the SSH keys of a user, for sessions that are launched from now on."""
    return AttributesView.model_validate(await change_attributes(db, logs, secrets, caller, str(user_id), body=body))


@attribute_router.post("/users/{user_id}/ssh-key")
async def generate_user_ssh_key(
    user_id: UUID,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("users_modify")],
) -> AttributesView:
    """Replace the SSH keys of a user with a new pair. The answer contains the public key."""
    return AttributesView.model_validate(await generate_ssh_key(db, logs, secrets, caller, str(user_id)))
