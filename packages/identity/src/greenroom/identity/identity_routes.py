"""Routes of identities: accounts at OpenID Connect providers that are linked to users."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from greenroom.api.access.second_factors import require_confirmed
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Invalid, Refused
from greenroom.core.log_codes import LogCode
from greenroom.db.access import users
from greenroom.identity import statements
from greenroom.identity.checks import end_logins
from greenroom.identity.context import SignOnContext, SignOnContextDep
from greenroom.identity.schemas import IdentityCreate, IdentityView

router = api_router("sign-on")


@router.get("/me/identities")
async def list_own_identities(db: Db, caller: Annotated[Caller, requires()]) -> list[IdentityView]:
    """List the identities that are linked to the calling user, oldest first."""
    identities = await statements.list_identities(db, caller.own_user_id())
    return [IdentityView.model_validate(identity) for identity in identities]


@router.delete("/me/identities/{identity_id}", status_code=204, dependencies=[requires()])
async def delete_own_identity(identity_id: UUID, change: ChangeDep, context: SignOnContextDep) -> None:
    """Unlink an identity from the calling user, who can no longer log in with it. Log-ins with it end. The user must
    have logged in, or confirmed the password, within the last 10 minutes."""
    await require_confirmed(change)
    await _unlink(context, change, change.caller.own_user_id(), identity_id)


@router.get("/users/{user_id}/identities", dependencies=[requires("users_view")])
async def list_user_identities(user_id: UUID, db: Db) -> list[IdentityView]:
    """List the identities that are linked to a user, oldest first."""
    user = await users.get_user(db, str(user_id))
    identities = await statements.list_identities(db, user.user_id)
    return [IdentityView.model_validate(identity) for identity in identities]


@router.post("/users/{user_id}/identities", status_code=201, dependencies=[requires("users_modify")])
async def create_user_identity(user_id: UUID, body: IdentityCreate, change: ChangeDep) -> IdentityView:
    """Link an identity to a user, who can then log in with it."""
    if body.issuer not in await statements.list_issuers(change.db):
        raise Invalid(f"No sign-on provider or directory has the issuer {body.issuer}.")
    async with change.db.transaction() as connection:
        user = await users.lock_user(connection, str(user_id))
        change.caller.require_right_over(user.permissions)
        if user.service:
            raise Refused(f"{user.username} is a service account, as which no person can log in.")
        identity = await statements.insert_identity(connection, user.user_id, body.issuer, body.subject)
    change.audit(LogCode.IDENTITY_CREATED, f"{body.subject} of {user.username}", after={"issuer": body.issuer})
    return IdentityView.model_validate(identity)


@router.delete("/users/{user_id}/identities/{identity_id}", status_code=204, dependencies=[requires("users_modify")])
async def delete_user_identity(user_id: UUID, identity_id: UUID, change: ChangeDep, context: SignOnContextDep) -> None:
    """Unlink an identity from a user, who can no longer log in with it. Log-ins with it end."""
    await _unlink(context, change, str(user_id), identity_id)


async def _unlink(context: SignOnContext, change: ChangeDep, user_id: str, identity_id: UUID) -> None:
    async with change.db.transaction() as connection:
        user = await users.lock_user(connection, user_id)
        if user_id != change.caller.user_id:
            change.caller.require_right_over(user.permissions)
        if user.service:
            raise Refused(f"{user.username} is a service account, as which no person can log in.")
        identity = await statements.delete_identity(connection, user_id, str(identity_id))
    logins = await statements.logins_of_identity(change.db, user_id, identity.issuer, identity.subject)
    await end_logins(context, logins, "Its identity was unlinked.")
    name = f"{identity.subject} of {user.username}"
    change.audit(LogCode.IDENTITY_DELETED, name, before={"issuer": identity.issuer})
