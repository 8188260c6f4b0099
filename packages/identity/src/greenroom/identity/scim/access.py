"""The authentication of SCIM clients: a bearer token, which belongs to one client and gives no other access."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.diagnostics.audit_events import begin_operation
from greenroom.api.problems import SCIM_PREFIX
from greenroom.api.security import AccessDeclaration, Caller, origin_of
from greenroom.core.errors import Unauthenticated
from greenroom.db.database import Connection
from greenroom.identity.scim import statements
from greenroom.identity.scim.statements import ScimClient
from greenroom.kit.secrets import secret_digest

CLIENT_PERMISSIONS: Final = (
    "users_create",
    "users_modify",
    "users_delete",
    "groups_create",
    "groups_modify",
    "groups_delete",
)
"""The permissions whose work a SCIM client does, within its own users and groups."""
ACTING_PERMISSIONS: Final = frozenset({"users_modify_admin"})
"""The permissions of a client in functions of the api: it may delete its own users, even administrators."""


@dataclass(frozen=True, slots=True)
class ScimCall:
    """A request of a SCIM client. `base_url` is the address of the SCIM server, as the client wrote it."""

    client: ScimClient
    change: CallerChange
    base_url: str

    async def hold_client(self, connection: Connection) -> None:
        """Lock the client until commit, as the first step of a change. Raises Unauthenticated: the client was disabled
        or deleted after the token was checked."""
        if not await statements.hold_valid_client(connection, self.client.client_id):
            raise _wrong_token()


class RequiresScimToken(AccessDeclaration):
    """Authenticates a SCIM client. Its token is valid only for the routes with this declaration."""

    codes = ()
    credentials = ()

    async def __call__(self, request: Request) -> ScimCall:
        """Return the call of the client whose token is in the request.

        Raises:
            Unauthenticated: the token is missing or wrong, or the client is disabled or expired.
            TooManyRequests: the token is wrong, and there were too many wrong tokens from this address.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        state = request.app.state
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The request has no token; send Authorization: Bearer TOKEN.")
        client = await statements.find_client(state.db, secret_digest(token.strip()))
        if client is None or not client.valid:
            state.failed_attempts.count_wrong_key(request, "by SCIM token")
            state.refusals.log_wrong_scim_token(request, client.name if client else None)
            raise _wrong_token()
        if client.needs_touch:
            await statements.touch_client(state.db, client.client_id)
        request.state.caller = Caller(
            "scim",
            ACTING_PERMISSIONS,
            key_id=client.client_id,
            label=f"SCIM client {client.name}",
            owner_id=client.created_by,
            expires=client.expires,
        )
        await begin_operation(request)
        return ScimCall(client, CallerChange.of(request), f"{origin_of(request)}{SCIM_PREFIX}v2")


async def require_rights_of_client(caller: Caller, connection: Connection, client_id: str) -> None:
    """Require the permissions that the token of a client gives, and the right over the users of the client: the token
    and the provider decide who logs in as these users. Raises Forbidden: a permission is missing."""
    caller.require(*CLIENT_PERMISSIONS)
    caller.require_right_to_grant(await statements.permissions_of_groups(connection, client_id))
    caller.require_right_over(await statements.permissions_of_users(connection, client_id))


def _wrong_token() -> Unauthenticated:
    return Unauthenticated("The token is not valid. Check it; its SCIM client must be enabled and not expired.")


REQUIRES_SCIM_TOKEN: Final = RequiresScimToken()
ScimCallDep = Annotated[ScimCall, Depends(REQUIRES_SCIM_TOKEN)]
