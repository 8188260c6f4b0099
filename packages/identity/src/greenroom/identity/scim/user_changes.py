"""Changes of users by SCIM clients: creation, replacement, PATCH and deletion, and the link to a sign-on identity.

A user of a SCIM client has no password, and logs in at the sign-on provider of the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from scim2_models import PatchOp

from greenroom.api.access import accounts, user_routes
from greenroom.api.access.lifecycle import access_transaction
from greenroom.core.errors import Invalid
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials, users
from greenroom.db.database import Connection
from greenroom.identity import statements as sign_on
from greenroom.identity.scim import statements
from greenroom.identity.scim.access import ScimCall
from greenroom.identity.scim.resources import (
    POLICY,
    ScimUser,
    document_of,
    external_id_of,
    require_version,
    translated_errors,
    user_fields,
    user_resource,
)
from greenroom.identity.scim.statements import UserRow

MAX_SUBJECT = 255

UserEdit = Callable[[ScimUser], ScimUser]
"""Returns the user after a change. The argument is the user before, which the function may change."""


def replacement(request: ScimUser) -> UserEdit:
    """Return the edit of a PUT request. Without `active`, the account stays enabled or disabled."""

    def edit(before: ScimUser) -> ScimUser:
        request.replace(before)
        if request.active is None:
            request.active = before.active
        return request

    return edit


def patched(patch: PatchOp[ScimUser]) -> UserEdit:
    """Return the edit of a PATCH request."""

    def edit(before: ScimUser) -> ScimUser:
        patch.patch(before, scim_policy=POLICY)
        return before

    return edit


async def create_user(call: ScimCall, user: ScimUser) -> ScimUser:
    """Create a user.

    Raises:
        Invalid: the user name or the subject cannot be used.
        Duplicate: the user name exists, or the identity is linked to another user.
    """
    change, client_id = call.change, call.client.client_id
    fields = user_fields(user)
    async with change.db.transaction() as connection:
        await call.hold_client(connection)
        user_id = await users.insert_user(connection, fields)
        await statements.insert_user_row(connection, client_id, user_id)
        identity_id = await _link_identity(connection, call, user_id, user, None)
        await statements.update_user_row(
            connection, user_id, external_id=external_id_of(user), document=document_of(user), identity_id=identity_id
        )
        row = await statements.get_user_row(connection, client_id, user_id)
    await change.db.notify(ChangeEvent(Topic.USERS))
    change.audit(
        LogCode.USER_CREATED, fields.username, after=_audit_values(await users.get_user(change.db, user_id), row)
    )
    return user_resource(row, call.base_url)


async def change_user(call: ScimCall, user_id: str, edit: UserEdit, if_match: str | None) -> ScimUser:
    """Change a user. A user with `active: false` is disabled, and their access ends at once.

    Raises:
        NotFound: the client has no such user.
        Invalid: the change is not possible.
        Duplicate: the user name exists, or the identity is linked to another user.
        Refused: no administrator would remain.
        HTTPException: 412, the user has not the version `if_match`.
    """
    change, client_id = call.change, call.client.client_id
    async with access_transaction(change.db, change.logs) as access:
        connection = access.connection
        await call.hold_client(connection)
        await statements.get_user_row(connection, client_id, user_id)
        before = await access.lock_user(user_id)
        row = await statements.get_user_row(connection, client_id, user_id)
        old = user_resource(row, call.base_url)
        require_version(old, if_match)
        with translated_errors():
            new = edit(old.model_copy(deep=True))
        fields = user_fields(new)
        after = replace(
            before,
            username=fields.username,
            first_name=fields.first_name,
            last_name=fields.last_name,
            phone=fields.phone,
            organization=fields.organization,
            disabled=before.disabled if new.active is None else fields.disabled,
        )
        document = document_of(new)
        if new.active is None and (old.active is not None or row.document.get("active", True) is None):
            document["active"] = None  # the client removed the attribute; the account does not change
        identity_id = await _link_identity(connection, call, user_id, new, row)
        unchanged = (document, new.external_id, identity_id) == (row.document, row.external_id, row.identity_id)
        if after != before or not unchanged:
            await users.update_user(connection, after)
            await statements.update_user_row(
                connection, user_id, external_id=external_id_of(new), document=document, identity_id=identity_id
            )
        if row.identity_id is not None and identity_id != row.identity_id:
            await credentials.delete_logins_of(connection, [user_id])
            access.log_out(before)
        changed_row = await statements.get_user_row(connection, client_id, user_id)
    values = _audit_values(await users.get_user(change.db, user_id), changed_row)
    change.audit(LogCode.USER_CHANGED, after.username, before=_audit_values(before, row), after=values)
    return user_resource(changed_row, call.base_url)


async def delete_user(call: ScimCall, user_id: str, if_match: str | None) -> None:
    """Delete a user, with their sessions.

    Raises:
        NotFound: the client has no such user.
        Refused: no administrator would remain.
        HTTPException: 412, the user has not the version `if_match`.
    """
    async with call.change.db.transaction() as connection:
        await call.hold_client(connection)
        row = await statements.get_user_row(connection, call.client.client_id, user_id)
        require_version(user_resource(row, call.base_url), if_match)
    await user_routes.delete_user(UUID(user_id), call.change, force=True)


async def _link_identity(
    connection: Connection, call: ScimCall, user_id: str, user: ScimUser, row: UserRow | None
) -> str | None:
    """Link the user to their account at the sign-on provider of the client, and unlink an earlier account. Return the
    id of the identity; None if there is none. `row` is None for a new user. Raises Duplicate: another user has it."""
    client = call.client
    subject = user.external_id if client.subject_attribute == "externalId" else user.user_name
    if client.issuer is None or not subject:
        await _unlink(connection, row)
        return None
    if len(subject) > MAX_SUBJECT:
        raise Invalid(
            f"The {client.subject_attribute} has more than {MAX_SUBJECT} characters.", scim_type="invalidValue"
        )
    present = await sign_on.find_identity(connection, client.issuer, subject)
    if present is not None and present.user_id == user_id:
        return present.identity_id
    await _unlink(connection, row)
    return (await sign_on.insert_identity(connection, user_id, client.issuer, subject)).identity_id


async def _unlink(connection: Connection, row: UserRow | None) -> None:
    if row is not None and row.identity_id is not None:
        await sign_on.delete_identity(connection, row.user_id, row.identity_id)


def _audit_values(user: users.User, row: UserRow) -> LogDetails:
    return accounts.audit_values(user) | {"external_id": row.external_id, "attributes": row.document}
