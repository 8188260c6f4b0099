"""Routes with which administrators manage SCIM clients.

A SCIM client acts like an administrator of users and groups, so its creation needs these permissions, too. A new token
also gives access to the permissions of the client's groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from fastapi import Request

from greenroom.api.access.schemas import Rotation
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import SCIM_PREFIX, api_router
from greenroom.api.security import origin_of, requires
from greenroom.core.errors import Invalid
from greenroom.core.log_codes import LogCode
from greenroom.db.database import Database
from greenroom.db.rows import values_of
from greenroom.identity import statements as sign_on
from greenroom.identity.scim import statements
from greenroom.identity.scim.access import CLIENT_PERMISSIONS, require_rights_of_client
from greenroom.identity.scim.client_schemas import (
    ScimClientCreate,
    ScimClientCreated,
    ScimClientPatch,
    ScimClientView,
    ScimToken,
)
from greenroom.identity.scim.statements import ClientFields, ScimClient
from greenroom.kit.secrets import new_secret, secret_digest

router = api_router("provisioning")

AT_ONCE = Rotation()
ANYWHERE: Final[Sequence[str]] = ()
"""The networks from which a token of a SCIM client is valid: no limit."""


@router.get("/scim-clients", dependencies=[requires("settings_view")])
async def list_scim_clients(db: Db, page: Paging, request: Request) -> list[ScimClientView]:
    """List the SCIM clients by name, without their tokens."""
    return [_view(client, request) for client in await page.read(db, statements.CLIENTS)]


@router.post("/scim-clients", status_code=201, dependencies=[requires("settings_modify")])
async def create_scim_client(body: ScimClientCreate, change: ChangeDep, request: Request) -> ScimClientCreated:
    """Create a SCIM client. Its token is returned only once.

    The caller also needs the permissions to create, change and delete users and groups. An API key that is limited to
    networks cannot create a client, because the token is valid from anywhere.
    """
    change.caller.require(*CLIENT_PERMISSIONS)
    change.caller.require_within_networks(ANYWHERE)
    fields, token = ClientFields(**body.model_dump()), new_secret()
    await _check(change, fields)
    if fields.expires is not None and fields.expires <= datetime.now(UTC):
        raise Invalid(f"{fields.expires:%Y-%m-%d %H:%M} is in the past. Set `expires` to a later time, or omit it.")
    async with change.db.transaction() as connection:
        client_id = await statements.insert_client(connection, fields, secret_digest(token), change.caller.owner_id)
    created = await statements.get_client(change.db, client_id)
    change.audit(LogCode.SCIM_CLIENT_CREATED, created.name, after=values_of(ClientFields, created))
    return ScimClientCreated.of(created, base_url=_base_url(request), token=token)


@router.get("/scim-clients/{client_id}", dependencies=[requires("settings_view")])
async def get_scim_client(client_id: UUID, db: Db, request: Request) -> ScimClientView:
    """Return one SCIM client, without its token."""
    return _view(await statements.get_client(db, str(client_id)), request)


@router.patch("/scim-clients/{client_id}", dependencies=[requires("settings_modify")])
async def update_scim_client(
    client_id: UUID, body: ScimClientPatch, change: ChangeDep, request: Request
) -> ScimClientView:
    """Change a SCIM client; omitted fields keep their values. Another provider or subject applies to each user at the
    next change by the client.

    The caller needs the same permissions as for a new token, unless the change only disables the client.
    """
    sent = body.sent_fields()
    async with change.db.transaction() as connection:
        before = await statements.lock_client(connection, str(client_id))
        if sent != {"enabled": False}:
            await require_rights_of_client(change.caller, connection, before.client_id)
        fields = ClientFields(**values_of(ClientFields, before) | sent)
        await _check(change, fields)
        await statements.update_client(connection, before.client_id, fields)
    after = await statements.get_client(change.db, before.client_id)
    old, new = values_of(ClientFields, before), values_of(ClientFields, after)
    change.audit(LogCode.SCIM_CLIENT_CHANGED, after.name, before=old, after=new)
    return _view(after, request)


@router.post("/scim-clients/{client_id}/token", dependencies=[requires("settings_modify")])
async def rotate_scim_token(client_id: UUID, change: ChangeDep, body: Rotation = AT_ONCE) -> ScimToken:
    """Replace the token of a SCIM client. The answer contains the new token, which is never returned again.

    The new token is valid at once, and the present one until the end of the overlap. Without a body, the present token
    ends at once. The caller also needs the permissions to create, change and delete users and groups, those of the
    client's groups, and `users_modify_admin` if a user of the client has permissions that the caller lacks. An API key
    that is limited to networks cannot replace a token.
    """
    change.caller.require_within_networks(ANYWHERE)
    token = new_secret()
    async with change.db.transaction() as connection:
        before = await statements.lock_client(connection, str(client_id))
        await require_rights_of_client(change.caller, connection, before.client_id)
        await statements.change_token(connection, before.client_id, secret_digest(token), body.overlap_s)
    client = await statements.get_client(change.db, before.client_id)
    overlap = f"; the former is valid until {client.old_until:%Y-%m-%d %H:%M} UTC" if client.old_until else ""
    old, new = {"signing": "as before"}, {"signing": f"renewed{overlap}"}  # the log masks `token`
    change.audit(LogCode.SCIM_CLIENT_CHANGED, client.name, before=old, after=new)
    return ScimToken(token=token, old_until=client.old_until)


@router.delete("/scim-clients/{client_id}", status_code=204, dependencies=[requires("settings_modify")])
async def delete_scim_client(client_id: UUID, change: ChangeDep) -> None:
    """Delete a SCIM client. Its users and groups remain, and become ordinary users and groups. The caller needs the
    same permissions as for a new token."""
    async with change.db.transaction() as connection:
        before = await statements.lock_client(connection, str(client_id))
        await require_rights_of_client(change.caller, connection, before.client_id)
        await statements.delete_client(connection, before.client_id)
    change.audit(LogCode.SCIM_CLIENT_DELETED, before.name, before=values_of(ClientFields, before))


async def _check(change: CallerChange, fields: ClientFields) -> None:
    """Check the provider and the expiration. Raises Invalid or Forbidden: the error names the field."""
    change.caller.require_earlier_expiration(fields.expires)
    if fields.provider_id is not None:
        await _require_provider(change.db, str(fields.provider_id))


async def _require_provider(db: Database, provider_id: str) -> None:
    listed = await sign_on.list_providers(db)
    if provider_id not in {provider.provider_id for provider in listed.rows}:
        raise Invalid(f"`provider_id` must be the id of a sign-on provider; there is none {provider_id}.")


def _view(client: ScimClient, request: Request) -> ScimClientView:
    return ScimClientView.of(client, base_url=_base_url(request))


def _base_url(request: Request) -> str:
    return f"{origin_of(request)}{SCIM_PREFIX}v2"
