"""Groups, and the lists of settings and permissions."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter

from greenroom.api.access import groups as group_rules
from greenroom.api.access.schemas import (
    GroupCreate,
    GroupPatch,
    InheritedSettingView,
    PermissionView,
    SettingView,
)
from greenroom.api.bodies import View
from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires, requires_one_of
from greenroom.core.access.group_settings import SETTINGS, inherited
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.db.access import users
from greenroom.db.access.groups import BY_PRIORITY, Group
from greenroom.kit.secrets import Secrets

router = APIRouter(tags=["groups"])

CHANGES: Final = requires_one_of("groups_modify", "groups_modify_ifmember")
"""The permissions to change a group; `groups` decides for each group."""


class GroupView(View, row=Group):
    """A group; `images` are the ids of the workspaces that its members may use."""

    group_id: UUID
    images: list[UUID]


@router.get("/permissions", dependencies=[requires()])
async def list_permissions() -> list[PermissionView]:
    """List all permissions."""
    return [PermissionView(code=code, description=text) for code, text in PERMISSIONS.items()]


@router.get("/group-settings", dependencies=[requires()])
async def list_group_settings() -> list[SettingView]:
    """List all settings of groups."""
    return [SettingView.model_validate(setting) for setting in SETTINGS.values()]


@router.get("/groups")
async def list_groups(
    db: Db,
    page: Paging,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")],
) -> list[GroupView]:
    """List groups by priority, lowest number first: all with `groups_view`, otherwise those of the caller."""
    after = page.after_row(BY_PRIORITY)
    found = await group_rules.visible_groups(db, caller, after=after, limit=page.limit)
    return [_view(group, secrets, caller) for group in page.rows(found, BY_PRIORITY)]


@router.post("/groups", status_code=201)
async def create_group(
    body: GroupCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires("groups_create")],
) -> GroupView:
    """Create a group, with no more permissions than the caller has."""
    group = await group_rules.create(db, logs, caller, body, secrets=secrets)
    return _view(group, secrets, caller)


@router.get("/groups/{group_id}")
async def get_group(
    group_id: UUID,
    db: Db,
    secrets: SecretsDep,
    caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")],
) -> GroupView:
    """Return one group."""
    return _view(await group_rules.visible_group(db, caller, str(group_id)), secrets, caller)


@router.get("/groups/{group_id}/inherited-settings")
async def get_inherited_settings(
    group_id: UUID, db: Db, caller: Annotated[Caller, requires_one_of("groups_view", "groups_view_ifmember")]
) -> list[InheritedSettingView]:
    """Return the values that the group inherits for settings, without mappings, which are merged over all groups."""
    group = await group_rules.visible_group(db, caller, str(group_id))
    others = (await group_rules.visible_groups(db, caller)).rows
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
    """Change a group. `settings` changes only the names that it contains; null removes one.

    A variable with the value `(secret)` keeps its present value.
    """
    group = await group_rules.update(db, logs, caller, str(group_id), body, secrets=secrets)
    return _view(group, secrets, caller)


@router.delete("/groups/{group_id}", status_code=204)
async def delete_group(
    group_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("groups_delete")]
) -> None:
    """Delete a group; the two system groups cannot be deleted."""
    await group_rules.delete(db, logs, caller, str(group_id))


@router.put("/groups/{group_id}/users/{user_id}", status_code=204)
async def add_group_user(group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]) -> None:
    """Add a user to a group, which must not have more permissions than the caller."""
    await group_rules.add_user(db, logs, caller, str(group_id), str(user_id))


@router.delete("/groups/{group_id}/users/{user_id}", status_code=204)
async def remove_group_user(
    group_id: UUID, user_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """End a membership. The membership in All Users cannot end."""
    await group_rules.remove_user(db, logs, caller, str(group_id), str(user_id))


@router.put("/groups/{group_id}/images/{image_id}", status_code=204)
async def add_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """Let the members use a workspace."""
    await group_rules.add_image(db, logs, caller, str(group_id), str(image_id))


@router.delete("/groups/{group_id}/images/{image_id}", status_code=204)
async def remove_group_image(
    group_id: UUID, image_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, CHANGES]
) -> None:
    """Stop letting the members use a workspace through this group."""
    await group_rules.remove_image(db, logs, caller, str(group_id), str(image_id))


def _view(group: Group, secrets: Secrets, caller: Caller) -> GroupView:
    return GroupView.model_validate(group_rules.as_seen(group, secrets, caller))
