"""Groups, and which settings and permissions exist."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.accounts import GroupCreate, GroupPatch, GroupView, PermissionView, SettingView
from greenroom.api.security import Caller, requires
from greenroom.core.permissions import PERMISSIONS
from greenroom.core.settings import SETTINGS, validated
from greenroom.db import groups, users
from greenroom.db.groups import Group

router = APIRouter(tags=["groups"])


@router.get("/permissions", dependencies=[requires()])
async def list_permissions() -> list[PermissionView]:
    """All permissions that exist."""
    return [PermissionView(code=code, description=text) for code, text in PERMISSIONS.items()]


@router.get("/group-settings", dependencies=[requires()])
async def list_group_settings() -> list[SettingView]:
    """All settings a group can have."""
    return [SettingView.model_validate(setting) for setting in SETTINGS.values()]


@router.get("/groups", dependencies=[requires("groups_view")])
async def list_groups(db: Db, page: Paging) -> list[GroupView]:
    """Groups by priority, lowest number first."""
    rows = page.slice(await groups.list_groups(db), lambda group: [f"{group.priority:08}", group.name])
    return [GroupView.model_validate(group) for group in rows]


@router.post("/groups", status_code=201)
async def create_group(
    body: GroupCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_create")]
) -> GroupView:
    """Create a group; nobody gives it more than he may himself."""
    caller.require_to_have(set(body.permissions))
    settings = _settings(body.settings)
    async with db.transaction() as connection:
        group_id = await groups.insert_group(
            connection,
            name=body.name,
            description=body.description,
            priority=body.priority,
            permissions=body.permissions,
        )
        await groups.change_settings(connection, group_id, settings)
    group = await groups.get_group(db, group_id)
    await db.notify("settings:")
    audit(logs, caller, "created", "group", group.name, after=asdict(group))
    return GroupView.model_validate(group)


@router.get("/groups/{group_id}", dependencies=[requires("groups_view")])
async def get_group(group_id: UUID, db: Db) -> GroupView:
    """One group."""
    return GroupView.model_validate(await groups.get_group(db, str(group_id)))


@router.patch("/groups/{group_id}")
async def update_group(
    group_id: UUID, body: GroupPatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_modify")]
) -> GroupView:
    """Change a group; in `settings` only the names given change, null removes one."""
    before = await groups.get_group(db, str(group_id))
    _may_change(caller, before)
    changes = body.sent()
    settings = _settings(changes.pop("settings", {}))
    caller.require_to_have(set(changes.get("permissions", [])) - set(before.permissions))
    async with db.transaction() as connection:
        await groups.update_group(connection, replace(before, **changes))
        await groups.change_settings(connection, before.group_id, settings)
        if "permissions" in changes:
            await users.require_an_administrator(connection)
    after = await groups.get_group(db, before.group_id)
    await db.notify("settings:", "users:")
    audit(logs, caller, "changed", "group", after.name, before=asdict(before), after=asdict(after))
    return GroupView.model_validate(after)


@router.delete("/groups/{group_id}", status_code=204)
async def delete_group(
    group_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_delete")]
) -> None:
    """Delete a group; the two system groups stay."""
    group = await groups.get_group(db, str(group_id))
    _may_change(caller, group)
    async with db.transaction() as connection:
        await groups.delete_group(connection, group)
        await users.require_an_administrator(connection)
    await db.notify("settings:", "users:")
    audit(logs, caller, "deleted", "group", group.name, before=asdict(group))


@router.put("/groups/{group_id}/users/{user_id}", status_code=204)
async def add_group_user(
    group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_modify")]
) -> None:
    """Make a user a member."""
    group, user = await groups.get_group(db, str(group_id)), await users.get_user(db, str(user_id))
    _may_change(caller, group)
    caller.require_to_have(set(group.permissions))
    async with db.transaction() as connection:
        await users.add_to_group(connection, user.user_id, group.group_id)
    await db.notify("users:", "settings:")
    audit(logs, caller, "changed", "group", group.name, after={"added user": user.username})


@router.delete("/groups/{group_id}/users/{user_id}", status_code=204)
async def remove_group_user(
    group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_modify")]
) -> None:
    """End a membership; everybody stays in All Users."""
    group, user = await groups.get_group(db, str(group_id)), await users.get_user(db, str(user_id))
    _may_change(caller, group)
    async with db.transaction() as connection:
        await users.remove_from_group(connection, user.user_id, group.group_id)
        await users.require_an_administrator(connection)
    await db.notify("users:", "settings:")
    audit(logs, caller, "changed", "group", group.name, after={"removed user": user.username})


@router.put("/groups/{group_id}/images/{image_id}", status_code=204)
async def add_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_modify")]
) -> None:
    """Let the members use a workspace."""
    group = await groups.get_group(db, str(group_id))
    _may_change(caller, group)
    async with db.transaction() as connection:
        await groups.add_image(connection, group.group_id, str(image_id))
    await db.notify("images:", "settings:")
    audit(logs, caller, "changed", "group", group.name, after={"added workspace": str(image_id)})


@router.delete("/groups/{group_id}/images/{image_id}", status_code=204)
async def remove_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_modify")]
) -> None:
    """Let the members no longer use a workspace through this group."""
    group = await groups.get_group(db, str(group_id))
    _may_change(caller, group)
    async with db.transaction() as connection:
        await groups.remove_image(connection, group.group_id, str(image_id))
    await db.notify("images:", "settings:")
    audit(logs, caller, "changed", "group", group.name, after={"removed workspace": str(image_id)})


def _settings(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else validated(name, value) for name, value in changes.items()}


def _may_change(caller: Caller, group: Group) -> None:
    if group.is_system:
        caller.require("groups_modify_system")
