"""Rules of groups for a caller, for `/api/v1` and the published interface: visibility, changes, members, settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

from greenroom.api.access.lifecycle import access_transaction
from greenroom.api.access.schemas import GroupCreate, GroupPatch
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.security import Caller
from greenroom.core.access.group_settings import SETTINGS, SettingValues
from greenroom.core.access.permissions import missing_admin_codes, missing_codes, refusal_of_change, refusal_of_leaving
from greenroom.core.access.roles import grants_of
from greenroom.core.access.setting_checks import validated_setting
from greenroom.core.errors import Forbidden, Invalid, NotFound, Refused
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.core.masking import seal_variables, unseal_variables
from greenroom.db.access import groups
from greenroom.db.access.groups import Group
from greenroom.db.access.roles import set_roles
from greenroom.db.access.users import ALL_USERS, User
from greenroom.db.database import Connection, Database
from greenroom.db.listing import Conditions
from greenroom.db.workspace import images
from greenroom.kit.secrets import Secrets


def visible_groups(caller: Caller) -> Conditions:
    """Return the condition for the groups that the caller may see: without `groups_view`, only their own groups and
    those in the scope of their roles."""
    scope = caller.ids_in_scope("groups_view", "group")
    if scope is None:
        return Conditions()
    return groups.GROUPS.matching(visible_groups=scope, of_user=caller.user_id)


async def visible_group(db: Database, caller: Caller, group_id: str) -> Group:
    """Return one group that the caller may see. Raises NotFound: there is no group with this id, or the caller may not
    see it."""
    if not caller.may("groups_view") and group_id not in await _own_groups(db, caller):
        raise NotFound(f"There is no group {group_id}; it may have been deleted.")
    return await groups.get_group(db, group_id)


def redacted_group(group: Group, secrets: Secrets, caller: Caller) -> Group:
    """Return a group with the values that this caller may see.

    Only callers who may change groups see the values of variables. Callers who see All Users only as members do not see
    its run settings.
    """
    settings = unseal_variables(group.settings, secrets.unseal, plain=caller.may("groups_modify"))
    if group.group_id == ALL_USERS and not caller.may("groups_view"):
        settings.pop("run_config", None)
    return replace(group, settings=settings)


async def changeable_group(change: CallerChange, group_id: str) -> Group:
    """Return one group that the caller may change: its fields, settings, workspaces and members.

    Raises:
        NotFound: there is no group with this id.
        Forbidden: the caller may change only their own groups; or the group is a system group, or has more permissions
            than the caller.
    """
    group, caller = await groups.get_group(change.db, group_id), change.caller
    if not caller.may("groups_modify"):
        caller.require("groups_modify_ifmember")
        if group.group_id not in await _own_groups(change.db, caller):
            raise Forbidden(
                f"You may change only your own groups, and you are not a member of {group.name}.",
                required=["groups_modify"],
            )
    require_right_over_group(caller, group)
    return group


def require_right_over_group(caller: Caller, group: Group) -> None:
    """Require `groups_modify_system` for system groups, and for groups with more permissions than the caller. Raises
    Forbidden: the permission is missing."""
    if group.is_system or missing_admin_codes(caller.permissions, group.grants):
        caller.require("groups_modify_system")


async def require_right_to_change(
    connection: Connection, caller: Caller, group: Group, *, priority: int, settings: SettingValues
) -> None:
    """Require `groups_modify` for a change that makes a setting less strict for a member of the group
    (`core.access.permissions`). The group must be locked. Raises Forbidden: the error contains the setting."""
    if caller.may("groups_modify"):
        return
    members = await groups.group_combinations_of_members(connection, group.group_id)
    _raise_if_refused(refusal_of_change(group, settings, members, priority=priority))


async def require_right_to_remove_member(change: CallerChange, group_id: str, user_id: str) -> None:
    """Require `groups_modify` to end a membership if this makes a setting of the user less strict. Raises Forbidden:
    the error contains the setting."""
    if not change.caller.may("groups_modify"):
        _raise_if_refused(refusal_of_leaving(group_id, await groups.groups_of_user(change.db, user_id)))


def require_right_to_add_member(caller: Caller, user: User) -> None:
    """Require `groups_modify` to add a user who has more permissions than the caller, or is not visible to the caller.
    Raises Forbidden: the permission is missing."""
    if not caller.may("users_view") or missing_admin_codes(caller.permissions, user.permissions):
        caller.require("groups_modify")


async def require_right_to_add_image(change: CallerChange, image_id: str) -> None:
    """Require `groups_modify` to add a workspace that the caller may not use. Raises Forbidden: the permission is
    missing."""
    owner_id = change.caller.owner_id
    if owner_id is None or not await images.may_use_image(change.db, image_id, owner_id):
        change.caller.require("groups_modify")


def _raise_if_refused(reason: str | None) -> None:
    if reason is not None:
        raise Forbidden(f"{reason} This needs the permission groups_modify.", required=["groups_modify"])


async def check_membership_changes(
    change: CallerChange, *, added: Collection[str], removed: Collection[str] = (), user: User | None = None
) -> None:
    """Check that the caller may add the user to the groups `added`, and remove them from the groups `removed`.

    `user` is None for a new user.

    Raises:
        Invalid: one of the groups does not exist.
        Forbidden: the caller may not change one of the groups; an added group has more permissions than the caller; or
            a setting of the user would become less strict.
    """
    if not added and not removed:
        return
    change.caller.require_one_of("groups_modify", "groups_modify_ifmember")
    for group_id in (*added, *removed):
        try:
            group = await changeable_group(change, group_id)
        except NotFound as error:
            raise Invalid(error.message) from error
        if group_id in added:
            change.caller.require_right_to_grant(group.grants)
        elif user is not None:
            await require_right_to_remove_member(change, group_id, user.user_id)
    if added and user is not None:
        require_right_to_add_member(change.caller, user)


def require_right_to_change_settings(caller: Caller, names: Collection[str]) -> None:
    """Require `groups_modify` for settings about the creation of containers.

    These settings contain folders of hosts and accounts in containers, so they affect users outside the group. Raises
    Forbidden: the permission is missing.
    """
    if any(name in SETTINGS and SETTINGS[name].kind == "mapping" for name in names):
        caller.require("groups_modify")


async def settings_to_store(
    change: CallerChange, changes: SettingValues, before: SettingValues | None = None
) -> SettingValues:
    """Return the changed settings of a group in the form that is stored. `before` contains the present settings. The
    value None removes a setting.
    Raises Invalid: the setting does not exist, its value is not allowed, or its workspace does not exist."""
    settings = {name: None if value is None else validated_setting(name, value) for name, value in changes.items()}
    if id_or_name := settings.get("default_image"):
        settings["default_image"] = await _image_id(change.db, id_or_name)
    return seal_variables(settings, before, change.secrets.seal)


async def _image_id(db: Database, id_or_name: str) -> str:
    image_id = await images.find_image(db, id_or_name)
    if image_id is None:
        raise Invalid(f"`default_image` must be the id or friendly name of a workspace; there is none {id_or_name}.")
    return image_id


async def _own_groups(db: Database, caller: Caller) -> frozenset[str]:
    if caller.user_id is None:
        return frozenset()
    return frozenset(group.group_id for group in await groups.groups_of_user(db, caller.user_id))


async def create(change: CallerChange, body: GroupCreate) -> Group:
    """Create a group, with no more permissions than the caller has."""
    roles = [each.assignment for each in body.roles]
    change.caller.require_right_to_grant([*body.permissions, *grants_of(roles)])
    require_right_to_change_settings(change.caller, body.settings)
    settings = await settings_to_store(change, body.settings)
    async with change.db.transaction() as connection:
        group_id = await groups.insert_group(
            connection,
            name=body.name,
            description=body.description,
            priority=body.priority,
            permissions=body.permissions,
        )
        await set_roles(connection, group_id, roles)
        await groups.change_settings(connection, group_id, settings)
    group = await groups.get_group(change.db, group_id)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    change.audit(LogCode.GROUP_CREATED, group.name, after=audit_values(group))
    return group


async def update(change: CallerChange, group_id: str, body: GroupPatch) -> Group:
    """Change a group. Only the settings in `settings` change; None removes a setting.

    An environment variable with the value `(secret)` keeps its present value.
    """
    group = await changeable_group(change, group_id)
    changes = body.sent_fields()
    changed_settings = changes.pop("settings", {})
    if "roles" in changes:
        changes["roles"] = [each.assignment for each in body.roles]
    require_right_to_change_settings(change.caller, changed_settings)
    settings = await settings_to_store(change, changed_settings, group.settings)
    async with access_transaction(change.db, change.logs, everyone=True) as access:
        connection = access.connection
        before = await groups.lock_group(connection, group_id)
        require_right_over_group(change.caller, before)
        if before.is_system and changes.get("name", before.name) != before.name:
            raise Refused(f"{before.name} is a system group; its name cannot be changed.")
        changed = replace(before, **changes)
        change.caller.require_right_to_grant(missing_codes(before.grants, changed.grants))
        priority = changes.get("priority", before.priority)
        await require_right_to_change(connection, change.caller, before, priority=priority, settings=settings)
        await groups.update_group(connection, changed)
        await set_roles(connection, changed.group_id, changed.roles)
        await groups.change_settings(connection, before.group_id, settings)
    after = await groups.get_group(change.db, before.group_id)
    await change.db.notify(ChangeEvent(Topic.SETTINGS))
    change.audit(LogCode.GROUP_CHANGED, after.name, before=audit_values(before), after=audit_values(after))
    return after


def audit_values(group: Group) -> LogDetails:
    """Return the fields of a group that the audit log contains."""
    return {name: value for name, value in asdict(group).items() if name not in ("group_id", "num_users")}
