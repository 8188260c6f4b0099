"""Changes of groups for both HTTP interfaces, on behalf of a caller; `group_rules` decides who may."""

from __future__ import annotations

from dataclasses import asdict, replace

from greenroom.api.access import group_rules
from greenroom.api.access.schemas import GroupCreate, GroupPatch
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller
from greenroom.api.session.withdrawals import change_of_rights
from greenroom.core.errors import Refused
from greenroom.core.events import Event, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import groups, users
from greenroom.db.access.groups import Group
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.workspace import images
from greenroom.kit.secrets import Secrets


async def create(db: Database, logs: LogWriter, caller: Caller, body: GroupCreate, *, secrets: Secrets) -> Group:
    """Create a group, with no more permissions than the caller has."""
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
    audit(logs, caller, LogCode.GROUP_CREATED, group.name, after=_visible(group))
    return group


async def update(
    db: Database, logs: LogWriter, caller: Caller, group_id: str, body: GroupPatch, *, secrets: Secrets
) -> Group:
    """Change a group; in `settings` only the given names change, null removes one. A variable with the value `(secret)`
    keeps its present value."""
    seen = await group_rules.changeable_group(db, caller, group_id)
    changes = body.sent()
    given = changes.pop("settings", {})
    group_rules.require_for_settings(caller, given)
    settings = await group_rules.stored_settings(db, secrets, given, seen.settings)
    async with change_of_rights(db, logs) as connection:
        before = await groups.lock_group(connection, group_id)
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
    audit(logs, caller, LogCode.GROUP_CHANGED, after.name, before=_visible(before), after=_visible(after))
    return after


async def delete(db: Database, logs: LogWriter, caller: Caller, group_id: str) -> None:
    """Delete a group; the two system groups stay."""
    group = await groups.get_group(db, group_id)
    group_rules.require_not_above(caller, group)
    async with change_of_rights(db, logs) as connection:
        await groups.delete_group(connection, group)
        await users.require_an_administrator(connection)
    await db.notify(Event(Topic.SETTINGS), Event(Topic.USERS))
    audit(logs, caller, LogCode.GROUP_DELETED, group.name, before=_visible(group))


async def add_user(db: Database, logs: LogWriter, caller: Caller, group_id: str, user_id: str) -> None:
    """Make a user a member, which gives them no more than the caller has."""
    group = await group_rules.changeable_group(db, caller, group_id)
    user = await users.get_user(db, user_id)
    caller.require_to_have(group.permissions)
    group_rules.require_for_member(caller, user)
    async with change_of_rights(db, logs) as connection:
        await users.lock_user(connection, user.user_id)
        added = await users.add_to_group(connection, user.user_id, group.group_id)
    await db.notify(Event(Topic.USERS), Event(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added user": user.username})


async def remove_user(db: Database, logs: LogWriter, caller: Caller, group_id: str, user_id: str) -> None:
    """End a membership; all users stay in All Users."""
    group = await group_rules.changeable_group(db, caller, group_id)
    user = await users.get_user(db, user_id)
    await group_rules.require_leaving(db, caller, group.group_id, user.user_id)
    async with change_of_rights(db, logs) as connection:
        await users.lock_user(connection, user.user_id)
        removed = await users.remove_from_group(connection, user.user_id, group.group_id)
        await users.require_an_administrator(connection)
    await db.notify(Event(Topic.USERS), Event(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed user": user.username})


async def add_image(db: Database, logs: LogWriter, caller: Caller, group_id: str, image_id: str) -> None:
    """Let the members use a workspace."""
    group = await group_rules.changeable_group(db, caller, group_id)
    image = await images.get_image(db, image_id)
    await group_rules.require_for_image(db, caller, image_id)
    async with db.transaction() as connection:
        added = await groups.add_image(connection, group.group_id, image_id)
    await db.notify(Event(Topic.IMAGES), Event(Topic.SETTINGS))
    if added:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"added workspace": image.friendly_name})


async def remove_image(db: Database, logs: LogWriter, caller: Caller, group_id: str, image_id: str) -> None:
    """Stop letting the members use a workspace through this group."""
    group = await group_rules.changeable_group(db, caller, group_id)
    image = await images.get_image(db, image_id)
    async with db.transaction() as connection:
        removed = await groups.remove_image(connection, group.group_id, image_id)
    await db.notify(Event(Topic.IMAGES), Event(Topic.SETTINGS))
    if removed:
        audit(logs, caller, LogCode.GROUP_CHANGED, group.name, after={"removed workspace": image.friendly_name})


def _visible(group: Group) -> LogDetails:
    return {name: value for name, value in asdict(group).items() if name not in ("group_id", "num_users")}
