"""Groups, and the lists of settings and permissions."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from greenroom.api.access import groups as group_rules
from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.schemas import (
    GroupCreate,
    GroupPatch,
    InheritedSettingView,
    PermissionView,
    RoleOfGroup,
    RoleView,
    SettingProblem,
    SettingsToTest,
    SettingView,
)
from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db, SecretsDep
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED, OF_GROUP
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.inherited_settings import inherited_values
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.access.roles import ROLES
from greenroom.core.access.setting_checks import problems_of, validated_setting
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode
from greenroom.core.workspace.volumes import unmountable_warning
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.workspace import images
from greenroom.kit.secrets import Secrets

router = api_router("groups")

MAY_CHANGE_GROUPS: Final = requires_one_of("groups_modify", "groups_modify_ifmember")
"""One of the permissions to change groups; `access.groups` also checks each group."""


class GroupView(View, row=Group):
    """A group; `images` are the ids of the workspaces that its members may use."""

    group_id: UUID
    images: list[UUID]
    roles: list[RoleOfGroup]
    warnings: Annotated[
        list[str],
        Field(description="settings with which sessions cannot start; only in the response to a creation or change"),
    ]


@router.get("/permissions", dependencies=[requires()])
async def list_permissions() -> list[PermissionView]:
    """List all permissions."""
    return [PermissionView(code=code, description=text) for code, text in PERMISSIONS.items()]


@router.get("/roles", dependencies=[requires()])
async def list_roles() -> list[RoleView]:
    """List all roles with their permissions."""
    return [RoleView.model_validate(role) for role in ROLES.values()]


@router.get("/group-settings", dependencies=[requires()])
async def list_group_settings() -> list[SettingView]:
    """List all settings of groups."""
    return [SettingView.model_validate(setting) for setting in SETTINGS.values()]


@router.post("/group-settings/test", dependencies=[MAY_CHANGE_GROUPS])
async def test_group_settings(body: SettingsToTest) -> list[SettingProblem]:
    """Return the values that would be refused, with the reasons. Nothing is changed."""
    return [SettingProblem(name=name, problem=text) for name, text in problems_of(body.values, validated_setting)]


@router.get("/groups")
async def list_groups(
    db: Db,
    page: Paging,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember", scope=LISTED)],
) -> list[GroupView]:
    """List groups by priority, lowest number first. Callers without `groups_view` get only their own groups."""
    found = await page.read(db, groups.GROUPS, group_rules.visible_groups(caller))
    return [_view(group, secrets, caller) for group in found]


@router.post("/groups", status_code=201, dependencies=[requires("groups_create")])
async def create_group(body: GroupCreate, change: ChangeDep) -> GroupView:
    """Create a group, with no more permissions than the caller has."""
    return await _saved_view(change, await group_rules.create(change, body))


@router.get("/groups/{group_id}")
async def get_group(
    group_id: UUID,
    db: Db,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember", scope=OF_GROUP)],
) -> GroupView:
    """Return one group."""
    return _view(await group_rules.visible_group(db, caller, str(group_id)), secrets, caller)


@router.get("/groups/{group_id}/inherited-settings")
async def get_inherited_settings(
    group_id: UUID,
    db: Db,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember", scope=OF_GROUP)],
) -> list[InheritedSettingView]:
    """Return the values that the group inherits for its settings. Settings whose values are mappings are omitted: the
    mappings of all groups of a user are merged."""
    group = await group_rules.visible_group(db, caller, str(group_id))
    others = (await groups.list_groups(db, group_rules.visible_groups(caller))).rows
    return [InheritedSettingView.model_validate(value) for value in inherited_values(group, others, users.ALL_USERS)]


@router.patch("/groups/{group_id}", dependencies=[MAY_CHANGE_GROUPS])
async def update_group(group_id: UUID, body: GroupPatch, change: ChangeDep) -> GroupView:
    """Change a group. Only the settings in `settings` change; null removes a setting.

    An environment variable with the value `(secret)` keeps its present value.
    """
    return await _saved_view(change, await group_rules.update(change, str(group_id), body))


@router.delete("/groups/{group_id}", status_code=204, dependencies=[requires("groups_delete")])
async def delete_group(group_id: UUID, change: ChangeDep) -> None:
    """Delete a group. The system groups All Users and Administrators cannot be deleted."""
    group = await groups.get_group(change.db, str(group_id))
    group_rules.require_right_over_group(change.caller, group)
    async with access_transaction(change.db, change.logs, everyone=True) as access:
        await groups.delete_group(access.connection, group)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    change.audit(LogCode.GROUP_DELETED, group.name, before=group_rules.audit_values(group))


@router.put("/groups/{group_id}/users/{user_id}", status_code=204, dependencies=[MAY_CHANGE_GROUPS])
async def add_group_user(group_id: UUID, user_id: UUID, change: ChangeDep) -> None:
    """Add a user to a group. The group must not have more permissions than the caller."""
    group = await group_rules.changeable_group(change, str(group_id))
    user = await users.get_user(change.db, str(user_id))
    change.caller.require_right_to_grant(group.grants)
    group_rules.require_right_to_add_member(change.caller, user)
    async with access_transaction(change.db, change.logs) as access:
        await access.lock_user(user.user_id)
        added = await users.add_to_group(access.connection, user.user_id, group.group_id)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    if added:
        change.audit(LogCode.GROUP_CHANGED, group.name, after={"added user": user.username})


@router.delete("/groups/{group_id}/users/{user_id}", status_code=204, dependencies=[MAY_CHANGE_GROUPS])
async def remove_group_user(group_id: UUID, user_id: UUID, change: ChangeDep) -> None:
    """Remove a user from a group. No user can be removed from All Users."""
    group = await group_rules.changeable_group(change, str(group_id))
    user = await users.get_user(change.db, str(user_id))
    await group_rules.require_right_to_remove_member(change, group.group_id, user.user_id)
    async with access_transaction(change.db, change.logs) as access:
        await access.lock_user(user.user_id)
        removed = await users.remove_from_group(access.connection, user.user_id, group.group_id)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    if removed:
        change.audit(LogCode.GROUP_CHANGED, group.name, after={"removed user": user.username})


@router.put("/groups/{group_id}/images/{image_id}", status_code=204, dependencies=[MAY_CHANGE_GROUPS])
async def add_group_image(group_id: UUID, image_id: UUID, change: ChangeDep) -> None:
    """Let the members of a group use a workspace."""
    group = await group_rules.changeable_group(change, str(group_id))
    image = await images.get_image(change.db, str(image_id))
    await group_rules.require_right_to_add_image(change, image.image_id)
    async with change.db.transaction() as connection:
        added = await groups.add_image(connection, group.group_id, image.image_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES), ChangeEvent(Topic.SETTINGS))
    if added:
        change.audit(LogCode.GROUP_CHANGED, group.name, after={"added workspace": image.friendly_name})


@router.delete("/groups/{group_id}/images/{image_id}", status_code=204, dependencies=[MAY_CHANGE_GROUPS])
async def remove_group_image(group_id: UUID, image_id: UUID, change: ChangeDep) -> None:
    """Remove a workspace from a group; members can still use it through their other groups."""
    group = await group_rules.changeable_group(change, str(group_id))
    image = await images.get_image(change.db, str(image_id))
    async with access_transaction(change.db, change.logs, everyone=True) as access:
        removed = await groups.remove_image(access.connection, group.group_id, image.image_id)
    await change.db.notify(ChangeEvent(Topic.IMAGES), ChangeEvent(Topic.SETTINGS))
    if removed:
        change.audit(LogCode.GROUP_CHANGED, group.name, after={"removed workspace": image.friendly_name})


def _view(group: Group, secrets: Secrets, caller: Caller, *warnings: str) -> GroupView:
    return GroupView.of(group_rules.redacted_group(group, secrets, caller), warnings=list(warnings))


async def _saved_view(change: CallerChange, group: Group) -> GroupView:
    paths = group.settings.get("volume_mapping", {})
    warning = unmountable_warning(paths, await images.mount_folders_of_agents(change.db)) if paths else None
    return _view(group, change.secrets, change.caller, *filter(None, [warning]))
