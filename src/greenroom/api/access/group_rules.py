"""Which groups a caller sees and changes, which users they may add, and which settings a group may get."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from greenroom.api.security import Caller
from greenroom.core.access.group_settings import SETTINGS, SettingValues
from greenroom.core.access.permissions import above, refusal_of_change, refusal_of_leaving
from greenroom.core.access.setting_checks import validated
from greenroom.core.errors import Forbidden, Invalid, NotFound
from greenroom.core.masking import sealed, shown
from greenroom.db.access import groups
from greenroom.db.access.groups import Group
from greenroom.db.access.users import ALL_USERS, User
from greenroom.db.database import Connection, Database
from greenroom.db.listing import Part, Position
from greenroom.db.workspace import images
from greenroom.kit.secrets import Secrets


async def visible_groups(
    db: Database, caller: Caller, *, after: Position | None = None, limit: int | None = None
) -> Part[Group]:
    """The groups the caller sees, by priority: all with `groups_view`, otherwise their own."""
    if caller.may("groups_view"):
        return await groups.list_groups(db, after=after, limit=limit)
    if caller.user_id is None:
        return Part([], None)
    return await groups.list_groups(db, of_user=caller.user_id, after=after, limit=limit)


async def visible_group(db: Database, caller: Caller, group_id: str) -> Group:
    """One group that the caller sees.

    Raises:
        NotFound: there is none with this id, or the caller may not see it.
    """
    if not caller.may("groups_view") and group_id not in await _own_groups(db, caller):
        raise NotFound(f"There is no group {group_id}; it may have been deleted.")
    return await groups.get_group(db, group_id)


def as_seen(group: Group, secrets: Secrets, caller: Caller) -> Group:
    """A group as this caller may see it: values of variables only for callers who may set them, and run settings of a
    group not for callers who see it just because everybody is in it."""
    settings = shown(group.settings, secrets.opened, plain=caller.may("groups_modify"))
    if group.group_id == ALL_USERS and not caller.may("groups_view"):
        settings.pop("run_config", None)
    return replace(group, settings=settings)


async def changeable_group(db: Database, caller: Caller, group_id: str) -> Group:
    """One group that the caller may change: its fields, settings, workspaces and members.

    Raises:
        NotFound: there is none with this id.
        Forbidden: the caller may change only groups they are a member of, or the group is above them.
    """
    group = await groups.get_group(db, group_id)
    if not caller.may("groups_modify"):
        caller.require("groups_modify_ifmember")
        if group.group_id not in await _own_groups(db, caller):
            raise Forbidden(
                f"You may change only groups you are a member of, and {group.name} is none of them.",
                required=["groups_modify"],
            )
    require_not_above(caller, group)
    return group


def require_not_above(caller: Caller, group: Group) -> None:
    """Refuse system groups, and groups with more permissions than the caller, without `groups_modify_system`.

    Raises:
        Forbidden: names the permission.
    """
    if group.is_system or above(caller.permissions, group.permissions):
        caller.require("groups_modify_system")


async def require_change(
    connection: Connection, caller: Caller, group: Group, *, priority: int, settings: SettingValues
) -> None:
    """Refuse to let a user lift rules through their own groups (`core.access.permissions`); the group is locked.

    Raises:
        Forbidden: names the rule; lifting it needs `groups_modify`.
    """
    if caller.may("groups_modify"):
        return
    members = await groups.memberships_of_members(connection, group.group_id)
    _refuse(refusal_of_change(groups.settings_of(group), settings, members, priority=priority))


async def require_leaving(db: Database, caller: Caller, group_id: str, user_id: str) -> None:
    """Refuse to end a membership that keeps a rule in force, without `groups_modify`.

    Raises:
        Forbidden: names the rule.
    """
    if not caller.may("groups_modify"):
        _refuse(refusal_of_leaving(group_id, await groups.memberships_of(db, user_id)))


def require_for_member(caller: Caller, user: User) -> None:
    """Refuse to add a user to the caller's groups if the caller may not see that user, or the user has more
    permissions.

    Raises:
        Forbidden: names the permission.
    """
    if not caller.may("users_view") or above(caller.permissions, user.permissions):
        caller.require("groups_modify")


async def require_for_image(db: Database, caller: Caller, image_id: str) -> None:
    """Refuse to give the caller's own groups a workspace that the caller may not use.

    Raises:
        Forbidden: names the permission.
    """
    if caller.owner_id is None or not await images.is_of_user(db, image_id, caller.owner_id):
        caller.require("groups_modify")


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise Forbidden(f"{reason} This needs the permission groups_modify.", required=["groups_modify"])


async def require_memberships(
    db: Database,
    caller: Caller,
    *,
    added: Collection[str],
    removed: Collection[str] = (),
    user: User | None = None,
) -> None:
    """Refuse to let the caller make a user a member of `added`, or end memberships of `removed`; None = a new user.

    Raises:
        Invalid: one of the groups does not exist.
        Forbidden: the caller may not change one of them, or it gives more than they have, or keeps a rule in force.
    """
    if not added and not removed:
        return
    caller.require_one_of("groups_modify", "groups_modify_ifmember")
    for group_id in (*added, *removed):
        try:
            group = await changeable_group(db, caller, group_id)
        except NotFound as error:
            raise Invalid(error.message) from error
        if group_id in added:
            caller.require_to_have(group.permissions)
        elif user is not None:
            await require_leaving(db, caller, group_id, user.user_id)
    if added and user is not None:
        require_for_member(caller, user)


def require_for_settings(caller: Caller, names: Collection[str]) -> None:
    """Refuse settings of how containers are made to callers who may not change all groups.

    These settings name folders of hosts and accounts in containers, so they affect users outside the group.

    Raises:
        Forbidden: names the permission.
    """
    if any(name in SETTINGS and SETTINGS[name].kind == "mapping" for name in names):
        caller.require("groups_modify")


async def stored_settings(
    db: Database, secrets: Secrets, changes: SettingValues, before: SettingValues | None = None
) -> SettingValues:
    """Changed settings of a group as they are stored, given the present ones; None = the setting is removed.

    Raises:
        Invalid: there is no such setting, or the value is not allowed or names nothing that exists.
    """
    stored = {name: None if value is None else validated(name, value) for name, value in changes.items()}
    if named := stored.get("default_image"):
        stored["default_image"] = await _image_id(db, named)
    return sealed(stored, before, secrets.seal)


async def _image_id(db: Database, named: str) -> str:
    """The id of the workspace with this id or friendly name."""
    found = await images.find_image(db, named)
    if found is None:
        raise Invalid(f"`default_image` must be the id or friendly name of a workspace; there is none {named}.")
    return found


async def _own_groups(db: Database, caller: Caller) -> frozenset[str]:
    if caller.user_id is None:
        return frozenset()
    return frozenset(group.group_id for group in await groups.memberships_of(db, caller.user_id))
