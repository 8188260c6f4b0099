"""Users, and their attributes: SSH keys, and preferences (language, time zone, default workspace, theme)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import Field

from greenroom.api.access import accounts, lifecycle
from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.schemas import (
    AttributesPatch,
    AttributesView,
    EffectiveSettingView,
    UserCreate,
    UserPatch,
    UserView,
)
from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db, PasswordsDep, SecretsDep, SnapshotDep
from greenroom.api.paging import Counting, Paging, Search, Sorting
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED, OF_CHANGED_USER, OF_USER
from greenroom.api.security import Caller, requires
from greenroom.core.access.group_settings import SETTINGS, EffectiveSetting, resolve
from greenroom.core.access.permissions import USER
from greenroom.core.listing import order_of, words_of
from greenroom.core.log_codes import LogCode
from greenroom.core.masking import unseal_variables
from greenroom.db.access import credentials, users
from greenroom.db.access.credentials import ListedLogin
from greenroom.db.access.groups import groups_of_user
from greenroom.db.access.users import BY_NAME, USERS

router = api_router("users")


class LoginView(View, row=ListedLogin):
    """A log-in at the console."""

    login_id: UUID
    current: Annotated[bool, Field(description="the log-in of this request")]


@router.get("/users")
async def list_users(
    db: Db,
    page: Paging,
    caller: Annotated[Caller, requires("users_view", scope=LISTED)],
    q: Search = "",
    group_id: Annotated[UUID | None, Query(description="only members of this group")] = None,
    sort: Sorting = str(BY_NAME),
    count: Counting = False,
) -> list[UserView]:
    """List users, by name unless the request sets another order."""
    conditions = USERS.matching(
        words_of(q, USERS.columns),
        group=group_id,
        in_groups=caller.ids_in_scope("users_view", "group"),
        service=False,
    )
    if count:
        page.set_total(await USERS.count(db, conditions, "username"))
    found = await page.read(db, USERS, conditions, order_of(sort, USERS.orders))
    return [UserView.model_validate(user) for user in found]


@router.post("/users", status_code=201, dependencies=[requires("users_create")])
async def create_user(body: UserCreate, change: ChangeDep, passwords: PasswordsDep) -> UserView:
    """Create a user in All Users and in the groups of the request, which the caller must be allowed to change."""
    return UserView.model_validate(await accounts.create_user(change, passwords, body))


@router.get("/users/{user_id}", dependencies=[requires("users_view", scope=OF_USER)])
async def get_user(user_id: UUID, db: Db) -> UserView:
    """Return one user."""
    return UserView.model_validate(await users.get_user(db, str(user_id)))


@router.patch("/users/{user_id}", dependencies=[requires("users_modify", scope=OF_CHANGED_USER)])
async def update_user(user_id: UUID, body: UserPatch, change: ChangeDep, passwords: PasswordsDep) -> UserView:
    """Change a user. A new password, disabling and locking end all log-ins and close all streams of the user."""
    return UserView.model_validate(await accounts.change_user(change, passwords, str(user_id), body))


@router.get("/users/{user_id}/settings")
async def get_user_settings(
    user_id: UUID, db: Db, secrets: SecretsDep, caller: Annotated[Caller, requires("users_view", scope=OF_USER)]
) -> list[EffectiveSettingView]:
    """Show the group settings in force for a user, each with its source.

    The values of variables are only for callers who may change groups.
    """
    user = await users.get_user(db, str(user_id))
    resolved = resolve(await groups_of_user(db, user.user_id))
    plain = caller.may("groups_modify")
    return [
        _effective_view(setting, unseal_variables(setting.value, secrets.unseal, plain=plain))
        for setting in resolved.values()
    ]


def _effective_view(setting: EffectiveSetting, value: object) -> EffectiveSettingView:
    return EffectiveSettingView.of(SETTINGS[setting.name], value=value, groups=setting.groups, trace=setting.trace)


@router.delete("/users/{user_id}", status_code=204, dependencies=[requires("users_delete")])
async def delete_user(
    user_id: UUID,
    change: ChangeDep,
    force: Annotated[bool, Query(description="also destroy the user's sessions")] = False,
) -> None:
    """Delete a user; 409 while they have sessions, unless `force` is set. The API keys of the user are disabled."""
    user = await lifecycle.delete_user(change, str(user_id), force=force)
    change.audit(LogCode.USER_DELETED, user.username, before=accounts.audit_values(user))


@router.get("/users/{user_id}/logins", dependencies=[requires("users_view", scope=OF_USER)])
async def list_user_logins(user_id: UUID, db: Db, snapshot: SnapshotDep) -> list[LoginView]:
    """List the log-ins of a user at the console, the last used first."""
    user = await users.get_user(db, str(user_id))
    rows = await credentials.list_logins(db, user.user_id, snapshot.installation.session_idle_s)
    return [LoginView.model_validate(row) for row in rows]


@router.delete(
    "/users/{user_id}/logins", status_code=204, dependencies=[requires("users_modify", scope=OF_CHANGED_USER)]
)
async def log_user_out(user_id: UUID, change: ChangeDep) -> None:
    """End all log-ins of a user, and close all streams of the user; the sessions continue."""
    async with access_transaction(change.db, change.logs) as access:
        user = await access.lock_user(str(user_id))
        change.caller.require_right_over(user.permissions)
        await credentials.delete_logins_of(access.connection, [user.user_id])
        access.log_out(user)
    change.audit(LogCode.USER_CHANGED, user.username, after={"log-ins": "ended"})


@router.delete(
    "/users/{user_id}/logins/{login_id}",
    status_code=204,
    dependencies=[requires("users_modify", scope=OF_CHANGED_USER)],
)
async def end_user_login(user_id: UUID, login_id: UUID, change: ChangeDep) -> None:
    """End one log-in of a user, and close all streams of the user; the sessions continue."""
    user = await users.get_user(change.db, str(user_id))
    change.caller.require_right_over(user.permissions)
    ended = await lifecycle.end_login(change.db, change.logs, user.user_id, str(login_id))
    change.audit(LogCode.USER_CHANGED, user.username, after={"log-in": f"from {ended.client_ip} ended"})


attribute_router = api_router("attributes")


@attribute_router.get("/me/attributes")
async def get_own_attributes(db: Db, caller: Annotated[Caller, requires(USER)]) -> AttributesView:
    """Show the preferences and the public SSH key of the caller."""
    return AttributesView.model_validate(await users.get_attributes(db, caller.own_user_id()))


@attribute_router.patch("/me/attributes", dependencies=[requires(USER)])
async def update_own_attributes(body: AttributesPatch, change: ChangeDep) -> AttributesView:
    """Change the preferences and the SSH keys of the caller, for sessions that are launched from now on."""
    changed = await accounts.change_attributes(change, change.caller.own_user_id(), body)
    return AttributesView.model_validate(changed)


@attribute_router.post("/me/ssh-key", dependencies=[requires(USER)])
async def generate_own_ssh_key(change: ChangeDep) -> AttributesView:
    """Replace the SSH keys of the caller with a new pair. The answer contains the public key."""
    return AttributesView.model_validate(await accounts.generate_ssh_key(change, change.caller.own_user_id()))


@attribute_router.get("/users/{user_id}/attributes", dependencies=[requires("users_view", scope=OF_USER)])
async def get_user_attributes(user_id: UUID, db: Db) -> AttributesView:
    """Show the preferences and the public SSH key of a user."""
    user = await users.get_user(db, str(user_id))
    return AttributesView.model_validate(await users.get_attributes(db, user.user_id))


@attribute_router.patch("/users/{user_id}/attributes", dependencies=[requires("users_modify", scope=OF_CHANGED_USER)])
async def update_user_attributes(user_id: UUID, body: AttributesPatch, change: ChangeDep) -> AttributesView:
    """Change the preferences and the SSH keys of a user, for sessions that are launched from now on."""
    return AttributesView.model_validate(await accounts.change_attributes(change, str(user_id), body))


@attribute_router.post("/users/{user_id}/ssh-key", dependencies=[requires("users_modify", scope=OF_CHANGED_USER)])
async def generate_user_ssh_key(user_id: UUID, change: ChangeDep) -> AttributesView:
    """Replace the SSH keys of a user with a new pair. The answer contains the public key."""
    return AttributesView.model_validate(await accounts.generate_ssh_key(change, str(user_id)))
