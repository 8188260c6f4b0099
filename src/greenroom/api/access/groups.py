"""Groups for both HTTP interfaces: visibility and changes for a caller, members, workspaces and settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

from greenroom.api.access.schemas import GroupCreate, GroupPatch
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller
from greenroom.core.access.group_settings import SETTINGS, SettingValues
from greenroom.core.access.permissions import above, refusal_of_change, refusal_of_leaving
from greenroom.core.access.setting_checks import validated
from greenroom.core.errors import Forbidden, Invalid, NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.masking import sealed, shown
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.access.users import ALL_USERS, User
from greenroom.db.database import Connection, Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.listing import ListPage, Position
from greenroom.db.session.shares import change_of_rights
from greenroom.db.workspace import images
from greenroom.kit.secrets import Secrets


async def visible_groups(
    db: Database, caller: Caller, *, after: Position | None = None, limit: int | None = None
) -> ListPage[Group]:
    """Return the groups that the caller may see, by priority: all with `groups_view`, otherwise their own."""
    if caller.may("groups_view"):
        return await groups.list_groups(db, after=after, limit=limit)
    if caller.user_id is None:
        return ListPage([], None)
    return await groups.list_groups(db, of_user=caller.user_id, after=after, limit=limit)


async def visible_group(db: Database, caller: Caller, group_id: str) -> Group:
    """Return one group that the caller may see.

    Raises:
        NotFound: there is none with this id, or the caller may not see it.
    """
    if not caller.may("groups_view") and group_id not in await _own_groups(db, caller):
        raise NotFound(f"There is no group {group_id}; it may have been deleted.")
    return await groups.get_group(db, group_id)


def as_seen(group: Group, secrets: Secrets, caller: Caller) -> Group:
    """Return a group as this caller may see it.

    Only callers who may set variables see their values. Callers who see All Users only as members do not see its run
    settings.
    """
    settings = shown(group.settings, secrets.opened, plain=caller.may("groups_modify"))
    if group.group_id == ALL_USERS and not caller.may("groups_view"):
        settings.pop("run_config", None)
    return replace(group, settings=settings)


async def changeable_group(db: Database, caller: Caller, group_id: str) -> Group:
    """Return one group that the caller may change: its fields, settings, workspaces and members.

    Raises:
        NotFound: there is none with this id.
        Forbidden: the caller may change only groups they are a member of; or it is a system group, or has more
            permissions than they have.
    """
    group = await groups.get_group(db, group_id)
    if not caller.may("groups_modify"):
        caller.require("groups_modify_ifmember")
        if group.group_id not in await _own_groups(db, caller):
            raise Forbidden(
                f"You may change only your own groups, and you are not a member of {group.name}.",
                required=["groups_modify"],
            )
    require_not_above(caller, group)
    return group


def require_not_above(caller: Caller, group: Group) -> None:
    """Refuse system groups, and groups with more permissions than the caller, without `groups_modify_system`.

    Raises:
        Forbidden: the error contains the permission.
    """
    if group.is_system or above(caller.permissions, group.permissions):
        caller.require("groups_modify_system")


async def require_change(
    connection: Connection, caller: Caller, group: Group, *, priority: int, settings: SettingValues
) -> None:
    """Refuse to let a user lift rules through their own groups (`core.access.permissions`). The group must be locked.

    Raises:
        Forbidden: the error contains the rule; to lift it needs `groups_modify`.
    """
    if caller.may("groups_modify"):
        return
    members = await groups.memberships_of_members(connection, group.group_id)
    _refuse(refusal_of_change(group, settings, members, priority=priority))


async def require_leaving(db: Database, caller: Caller, group_id: str, user_id: str) -> None:
    """Refuse to end a membership that keeps a rule in force, without `groups_modify`.

    Raises:
        Forbidden: the error contains the rule.
    """
    if not caller.may("groups_modify"):
        _refuse(refusal_of_leaving(group_id, await groups.memberships_of(db, user_id)))


def require_for_member(caller: Caller, user: User) -> None:
    """Refuse to add a user to the caller's groups who has more permissions, or who is not visible to the caller.

    Raises:
        Forbidden: the error contains the permission.
    """
    if not caller.may("users_view") or above(caller.permissions, user.permissions):
        caller.require("groups_modify")


async def require_for_image(db: Database, caller: Caller, image_id: str) -> None:
    """Refuse to give the caller's own groups a workspace that the caller may not use.

    Raises:
        Forbidden: the error contains the permission.
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
    """Refuse memberships in `added`, or the end of those in `removed`, that the caller may not change.

    `user` is None for a new user.

    Raises:
        Invalid: one of the groups does not exist.
        Forbidden: the caller may not change one of them; or it has more permissions than they have, or it keeps a rule
            in force.
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
    """Refuse settings about the creation of containers to callers who may not change all groups.

    These settings name folders of hosts and accounts in containers, so they affect users outside the group.

    Raises:
        Forbidden: the error contains the permission.
    """
    if any(name in SETTINGS and SETTINGS[name].kind == "mapping" for name in names):
        caller.require("groups_modify")


async def stored_settings(
    db: Database, secrets: Secrets, changes: SettingValues, before: SettingValues | None = None
) -> SettingValues:
    """Return changed settings of a group as they are stored; `before` are the present ones. None removes a setting.

    Raises:
        Invalid: the setting does not exist, or its value is not allowed or names something that does not exist.
    """
    stored = {name: None if value is None else validated(name, value) for name, value in changes.items()}
    if named := stored.get("default_image"):
        stored["default_image"] = await _image_id(db, named)
    return sealed(stored, before, secrets.seal)


async def _image_id(db: Database, named: str) -> str:
    """Return the id of the workspace with this id or friendly name."""
    found = await images.find_image(db, named)
    if found is None:
        raise Invalid(f"`default_image` must be the id or friendly name of a workspace; there is none {named}.")
    return found


async def _own_groups(db: Database, caller: Caller) -> frozenset[str]:
    if caller.user_id is None:
        return frozenset()
    return frozenset(group.group_id for group in await groups.memberships_of(db, caller.user_id))


async def create(db: Database, logs: LogWriter, caller: Caller, body: GroupCreate, *, secrets: Secrets) -> Group:
    """Create a group, with no more permissions than the caller has."""
    caller.require_to_have(body.permissions)
    require_for_settings(caller, body.settings)
    settings = await stored_settings(db, secrets, body.settings)
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
    await db.notify(ChangeEvent(Topic.SETTINGS))
    audit(logs, caller, LogCode.GROUP_CREATED, group.name, after=_visible(group))
    return group


async def update(
    db: Database, logs: LogWriter, caller: Caller, group_id: str, body: GroupPatch, *, secrets: Secrets
) -> Group:
    """Change a group. `settings` changes only the names that it contains; null removes one.

    A variable with the value `(secret)` keeps its present value.
    """
    seen = await changeable_group(db, caller, group_id)
    changes = body.sent()
    given = changes.pop("settings", {})
    require_for_settings(caller, given)
    settings = await stored_settings(db, secrets, given, seen.settings)
    async with change_of_rights(db, logs) as connection:
        before = await groups.lock_group(connection, group_id)
        require_not_above(caller, before)
        if before.is_system and changes.get("name", before.name) != before.name:
            raise Refused(f"{before.name} is a system group; its name cannot be changed.")
        caller.require_to_have(set(changes.get("permissions", [])) - set(before.permissions))
        priority = changes.get("priority", before.priority)
        await require_change(connection, caller, before, priority=priority, settings=settings)
        await groups.update_group(connection, replace(before, **changes))
        await groups.change_settings(connection, before.group_id, settings)
        if "permissions" in changes:
            await users.require_an_administrator(connection)
    after = await groups.get_group(db, before.group_id)
    await db.notify(ChangeEvent(Topic.SETTINGS), ChangeEvent(Topic.USERS))
    audit(logs, caller, LogCode.GROUP_CHANGED, after.name, before=_visible(before), after=_visible(after))
    return after


async def delete(db: Database, logs: LogWriter, caller: Caller, group_id: str) -> None:
    """Delete a group; the two system groups cannot be deleted."""
    group = await groups.get_group(db, group_id)
    require_not_above(caller, group)
    async with change_of_rights(db, logs) as connection:
        await groups.delete_group(connection, group)
        await users.require_an_administrator(connection)
    await db.notify(ChangeEvent(Topic.SETTINGS), ChangeEvent(Topic.USERS))
    audit(logs, caller, LogCode.GROUP_DELETED, group.name, before=_visible(group))


async def add_user(db: Database, logs: LogWriter, caller: Caller, group_id: str, user_id: str) -> None:
    """Add a user to a group, which must not have more permissions than the caller."""
    group = await changeable_group(db, caller, group_id)
    user = await users.get_user(db, user_id)
    caller.require_to_have(group.permissions)
    require_for_member(caller, user)
    async with change_of_rights(db, logs) as connection:
        await users.lock_user(connection, user.user_id)
        added = await users.add_to_group(connection, user.user_id, group.group_id)
    await db.notify(ChangeEvent(Topic.USERS), ChangeEvent(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added user": user.username})


async def remove_user(db: Database, logs: LogWriter, caller: Caller, group_id: str, user_id: str) -> None:
    """End a membership. The membership in All Users cannot end."""
    group = await changeable_group(db, caller, group_id)
    user = await users.get_user(db, user_id)
    await require_leaving(db, caller, group.group_id, user.user_id)
    async with change_of_rights(db, logs) as connection:
        await users.lock_user(connection, user.user_id)
        removed = await users.remove_from_group(connection, user.user_id, group.group_id)
        await users.require_an_administrator(connection)
    await db.notify(ChangeEvent(Topic.USERS), ChangeEvent(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed user": user.username})


async def add_image(db: Database, logs: LogWriter, caller: Caller, group_id: str, image_id: str) -> None:
    """Let the members use a workspace."""
    group = await changeable_group(db, caller, group_id)
    image = await images.get_image(db, image_id)
    await require_for_image(db, caller, image_id)
    async with db.transaction() as connection:
        added = await groups.add_image(connection, group.group_id, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES), ChangeEvent(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added workspace": image.friendly_name})


async def remove_image(db: Database, logs: LogWriter, caller: Caller, group_id: str, image_id: str) -> None:
    """Stop letting the members use a workspace through this group."""
    group = await changeable_group(db, caller, group_id)
    image = await images.get_image(db, image_id)
    async with db.transaction() as connection:
        removed = await groups.remove_image(connection, group.group_id, image_id)
    await db.notify(ChangeEvent(Topic.IMAGES), ChangeEvent(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed workspace": image.friendly_name})


def _visible(group: Group) -> LogDetails:
    return {name: value for name, value in asdict(group).items() if name not in ("group_id", "num_users")}
