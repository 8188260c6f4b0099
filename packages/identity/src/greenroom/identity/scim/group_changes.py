"""Changes of groups by SCIM clients: the name, the external id and the members.

An administrator decides the permissions and settings of such a group. A group with a code of `LIKE_ADMINISTRATORS`
cannot be changed by a client, so that no provider can create an administrator. A group can have thousands of members,
so its resources are created in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from scim2_models import PatchOp

from greenroom.api.access.lifecycle import AccessChange, access_transaction
from greenroom.core.access.permissions import LIKE_ADMINISTRATORS, implied_codes
from greenroom.core.errors import Forbidden
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import groups
from greenroom.db.database import Connection
from greenroom.identity.scim import statements
from greenroom.identity.scim.access import ScimCall
from greenroom.identity.scim.membership import member_ids_of, patch_group, unknown_member
from greenroom.identity.scim.resources import (
    ScimGroup,
    external_id_of,
    group_name,
    group_resource,
    require_version,
    translated_errors,
)
from greenroom.identity.scim.statements import GroupRow

PRIORITY: Final = 100
"""The priority of a new group, as of other new groups."""

GroupEdit = Callable[[ScimGroup], ScimGroup]
"""Returns the group after a change. The argument is the group before, which the function may change."""


def replacement(request: ScimGroup) -> GroupEdit:
    """Return the edit of a PUT request."""
    return lambda _before: request


def patched(patch: PatchOp[ScimGroup]) -> GroupEdit:
    """Return the edit of a PATCH request."""

    def edit(before: ScimGroup) -> ScimGroup:
        patch_group(before, patch)
        return before

    return edit


async def create_group(call: ScimCall, group: ScimGroup) -> ScimGroup:
    """Create a group without permissions.

    Raises:
        Invalid: the name cannot be used, or a member is no user of the client.
        Duplicate: the name exists.
    """
    change, client_id = call.change, call.client.client_id
    name, member_ids = group_name(group), member_ids_of(group)
    async with access_transaction(change.db, change.logs) as access:
        connection = access.connection
        await call.hold_client(connection)
        description = f"Provisioned by {call.client.name}"
        group_id = await groups.insert_group(
            connection, name=name, description=description, priority=PRIORITY, permissions=[]
        )
        await statements.insert_group_row(connection, client_id, group_id, external_id_of(group))
        await _change_members(access, client_id, group_id, added=member_ids)
        row = await statements.get_group_row(connection, client_id, group_id)
    await _notify(call)
    change.audit(LogCode.GROUP_CREATED, name, after=_audit_values(row) | {"members": _names(row)})
    return group_resource(row, call.base_url)


async def change_group(call: ScimCall, group_id: str, edit: GroupEdit, if_match: str | None) -> ScimGroup:
    """Change a group. Members that administrators added remain.

    Raises:
        NotFound: the client has no such group.
        Forbidden: the group has a code of `LIKE_ADMINISTRATORS`.
        Invalid: the change is not possible, or a member is no user of the client.
        Duplicate: the name exists.
        HTTPException: 412, the group has not the version `if_match`.
    """
    change, client_id = call.change, call.client.client_id
    async with access_transaction(change.db, change.logs) as access:
        connection = access.connection
        before = await _lock(call, connection, group_id)
        old = await asyncio.to_thread(group_resource, before, call.base_url)
        require_version(old, if_match)
        old_ids = member_ids_of(old)
        with translated_errors():
            new = await asyncio.to_thread(edit, old)
        name, new_ids = group_name(new), member_ids_of(new)
        if (name, new.external_id) != (before.name, before.external_id):
            stored = await groups.lock_group(connection, group_id)
            await groups.update_group(connection, replace(stored, name=name))
        await _change_members(access, client_id, group_id, added=new_ids - old_ids, removed=old_ids - new_ids)
        if (name, new.external_id, new_ids) != (before.name, before.external_id, old_ids):
            await statements.update_group_row(connection, group_id, external_id_of(new))
        after = await statements.get_group_row(connection, client_id, group_id)
    await _notify(call)
    old_names, new_names = _names(before), _names(after)
    change.audit(
        LogCode.GROUP_CHANGED,
        after.name,
        before=_audit_values(before),
        after=_audit_values(after)
        | {
            title: names
            for title, names in (
                ("added users", sorted(set(new_names) - set(old_names))),
                ("removed users", sorted(set(old_names) - set(new_names))),
            )
            if names
        },
    )
    return await asyncio.to_thread(group_resource, after, call.base_url)


async def delete_group(call: ScimCall, group_id: str, if_match: str | None) -> None:
    """Delete a group. Its members remain, and lose its permissions.

    Raises:
        NotFound: the client has no such group.
        Forbidden: the group has a code of `LIKE_ADMINISTRATORS`.
        HTTPException: 412, the group has not the version `if_match`.
    """
    change = call.change
    async with access_transaction(change.db, change.logs, everyone=True) as access:
        connection = access.connection
        before = await _lock(call, connection, group_id)
        require_version(group_resource(before, call.base_url), if_match)
        await groups.delete_group(connection, await groups.lock_group(connection, group_id))
    await _notify(call)
    change.audit(LogCode.GROUP_DELETED, before.name, before=_audit_values(before) | {"members": _names(before)})


async def _lock(call: ScimCall, connection: Connection, group_id: str) -> GroupRow:
    """Lock a group of the client until commit, and return it."""
    await call.hold_client(connection)
    await statements.get_group_row(connection, call.client.client_id, group_id)
    await groups.lock_group(connection, group_id)
    row = await statements.get_group_row(connection, call.client.client_id, group_id)
    if held := sorted(LIKE_ADMINISTRATORS & implied_codes(row.permissions)):
        raise Forbidden(
            f"The group {row.name} has the permission {held[0]}. Only administrators can change it.", required=held[:1]
        )
    return row


async def _change_members(
    access: AccessChange,
    client_id: str,
    group_id: str,
    *,
    added: frozenset[str],
    removed: frozenset[str] = frozenset(),
) -> None:
    if not added and not removed:
        return
    connection = access.connection
    locked = {user.user_id for user in await statements.lock_users(connection, client_id, added | removed)}
    if missing := sorted(added - locked):
        raise unknown_member(missing[0])
    await access.watch(locked & removed)
    await statements.add_members(connection, group_id, added)
    await statements.remove_members(connection, group_id, removed)


async def _notify(call: ScimCall) -> None:
    await call.change.db.notify(ChangeEvent(Topic.SETTINGS))


def _names(row: GroupRow) -> list[str]:
    return [member.username for member in row.members]


def _audit_values(row: GroupRow) -> LogDetails:
    return {"name": row.name, "external_id": row.external_id}
