"""Groups, and which settings and permissions exist."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.access import group_rules
from greenroom.api.access.schemas import (
    GroupCreate,
    GroupPatch,
    GroupView,
    InheritedSettingView,
    PermissionView,
    SettingView,
)
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.diagnostics.audit import audit
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.core.access.group_settings import SETTINGS, inherited
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.errors import Refused
from greenroom.core.events import Event, Topic
from greenroom.core.log_codes import LogCode
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.workspace import images

router = APIRouter(tags=["groups"])

CHANGES: Final = requires_one_of("groups_modify", "groups_modify_ifmember")
"""Who may change a group; which ones is for `group_rules`."""


@router.get("/permissions", dependencies=[requires()])
async def list_permissions() -> list[PermissionView]:
    """All permissions that exist."""
    return [PermissionView(code=code, description=text) for code, text in PERMISSIONS.items()]


@router.get("/group-settings", dependencies=[requires()])
async def list_group_settings() -> list[SettingView]:
    """All settings a group can have."""
    return [SettingView.model_validate(setting) for setting in SETTINGS.values()]


@router.get("/groups")
async def list_groups(
    db: Db,
    page: Paging,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")],
) -> list[GroupView]:
    """Groups by priority, lowest number first: all with `groups_view`, otherwise those one is a member of."""
    rows = page.slice(await group_rules.visible_groups(db, caller), lambda group: [f"{group.priority:08}", group.name])
    return [GroupView.model_validate(group_rules.as_seen(group, secrets, caller)) for group in rows]


@router.post("/groups", status_code=201)
async def create_group(
    body: GroupCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("groups_create")],
) -> GroupView:
    """Create a group; nobody gives it more than they have themselves."""
    caller.require_to_have(body.permissions)
    group_rules.require_for_settings(caller, body.settings)
    settings = await group_rules.stored_settings(db, secrets, body.settings)
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
    await db.notify(Event(Topic.SETTINGS))
    audit(logs, caller, LogCode.GROUP_CREATED, group.name, after=visible(group))
    return GroupView.model_validate(group_rules.as_seen(group, secrets, caller))


@router.get("/groups/{group_id}")
async def get_group(
    group_id: UUID,
    db: Db,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")],
) -> GroupView:
    """One group."""
    group = await group_rules.visible_group(db, caller, str(group_id))
    return GroupView.model_validate(group_rules.as_seen(group, secrets, caller))


@router.get("/groups/{group_id}/inherited-settings")
async def get_inherited_settings(
    group_id: UUID, db: Db, caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")]
) -> list[InheritedSettingView]:
    """What holds for the members of a group where it has no value of its own; without mappings, which are merged."""
    group = groups.settings_of(await group_rules.visible_group(db, caller, str(group_id)))
    others = [groups.settings_of(each) for each in await group_rules.visible_groups(db, caller)]
    return [InheritedSettingView.model_validate(each) for each in inherited(group, others, users.ALL_USERS)]


@router.patch("/groups/{group_id}")
async def update_group(
    group_id: UUID,
    body: GroupPatch,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, CHANGES],
) -> GroupView:
    """Change a group; in `settings` only the names given change, null removes one.

    A variable whose value is given as `(secret)` keeps the one it has.
    """
    seen = await group_rules.changeable_group(db, caller, str(group_id))
    changes = body.sent()
    given = changes.pop("settings", {})
    group_rules.require_for_settings(caller, given)
    settings = await group_rules.stored_settings(db, secrets, given, seen.settings)
    async with db.transaction() as connection:
        before = await groups.lock_group(connection, str(group_id))
        group_rules.require_not_above(caller, before)
        if before.is_system and changes.get("name", before.name) != before.name:
            raise Refused(f"The group {before.name} belongs to the system; its name cannot be changed.")
        caller.require_to_have(set(changes.get("permissions", [])) - set(before.permissions))
        priority = changes.get("priority", before.priority)
        await group_rules.require_change(connection, caller, before, priority=priority, settings=settings)
        await groups.update_group(connection, replace(before, **changes))
        await groups.change_settings(connection, before.group_id, settings)
        if "permissions" in changes:
            await users.require_an_administrator(connection)
    after = await groups.get_group(db, before.group_id)
    await db.notify(Event(Topic.SETTINGS), Event(Topic.USERS))
    audit(logs, caller, LogCode.GROUP_CHANGED, after.name, before=visible(before), after=visible(after))
    return GroupView.model_validate(group_rules.as_seen(after, secrets, caller))


@router.delete("/groups/{group_id}", status_code=204)
async def delete_group(
    group_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_delete")]
) -> None:
    """Delete a group; the two system groups stay."""
    group = await groups.get_group(db, str(group_id))
    group_rules.require_not_above(caller, group)
    async with db.transaction() as connection:
        await groups.delete_group(connection, group)
        await users.require_an_administrator(connection)
    await db.notify(Event(Topic.SETTINGS), Event(Topic.USERS))
    audit(logs, caller, LogCode.GROUP_DELETED, group.name, before=visible(group))


@router.put("/groups/{group_id}/users/{user_id}", status_code=204)
async def add_group_user(group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]) -> None:
    """Make a user a member; nobody gives them more than they have themselves."""
    group = await group_rules.changeable_group(db, caller, str(group_id))
    user = await users.get_user(db, str(user_id))
    caller.require_to_have(group.permissions)
    group_rules.require_for_member(caller, user)
    async with db.transaction() as connection:
        await users.lock_user(connection, user.user_id)
        added = await users.add_to_group(connection, user.user_id, group.group_id)
    await db.notify(Event(Topic.USERS), Event(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added user": user.username})


@router.delete("/groups/{group_id}/users/{user_id}", status_code=204)
async def remove_group_user(
    group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """End a membership; everybody stays in All Users."""
    group = await group_rules.changeable_group(db, caller, str(group_id))
    user = await users.get_user(db, str(user_id))
    await group_rules.require_leaving(db, caller, group.group_id, user.user_id)
    async with db.transaction() as connection:
        await users.lock_user(connection, user.user_id)
        removed = await users.remove_from_group(connection, user.user_id, group.group_id)
        await users.require_an_administrator(connection)
    await db.notify(Event(Topic.USERS), Event(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed user": user.username})


@router.put("/groups/{group_id}/images/{image_id}", status_code=204)
async def add_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """Let the members use a workspace."""
    group = await group_rules.changeable_group(db, caller, str(group_id))
    image = await images.get_image(db, str(image_id))
    await group_rules.require_for_image(db, caller, str(image_id))
    async with db.transaction() as connection:
        added = await groups.add_image(connection, group.group_id, str(image_id))
    await db.notify(Event(Topic.IMAGES), Event(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added workspace": image["friendly_name"]})


@router.delete("/groups/{group_id}/images/{image_id}", status_code=204)
async def remove_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """Let the members no longer use a workspace through this group."""
    group = await group_rules.changeable_group(db, caller, str(group_id))
    image = await images.get_image(db, str(image_id))
    async with db.transaction() as connection:
        removed = await groups.remove_image(connection, group.group_id, str(image_id))
    await db.notify(Event(Topic.IMAGES), Event(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed workspace": image["friendly_name"]})


def visible(group: Group) -> dict[str, Any]:
    """A group as the log shows changes of it."""
    return {name: value for name, value in asdict(group).items() if name not in ("group_id", "num_users")}
