"""API keys for programs: create, change, revoke. A key cannot have more permissions than its creator."""

from __future__ import annotations

import secrets
import string
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query

from greenroom.api.access.lifecycle import log_end
from greenroom.api.access.schemas import KeyCreate, KeyCreated, KeyPatch, KeyView, Rotation
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.paging import Paging
from greenroom.api.problems import api_router
from greenroom.api.security import Caller, requires
from greenroom.core.access.permissions import GLOBAL_ADMIN, missing_codes
from greenroom.core.errors import Forbidden, Invalid, require_row
from greenroom.core.events import session_events
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import api_keys, service_accounts, users
from greenroom.db.access.api_keys import ApiKey
from greenroom.db.access.users import User
from greenroom.db.database import Connection, Database
from greenroom.db.lease import leases
from greenroom.db.session.sessions import DeletedSession
from greenroom.kit.secrets import new_secret, secret_digest

KEY_LENGTH: Final = 12
LEASE_END_REASON: Final = "the API key of its lease is deleted, disabled or expired"
_KEY_CHARACTERS: Final = string.ascii_letters + string.digits

router = api_router("api keys")

EndLeases = Annotated[bool, Query(description="end the leases of the key if it is no longer valid")]


@router.get("/api-keys", dependencies=[requires("devapi_view")])
async def list_api_keys(db: Db, page: Paging) -> list[KeyView]:
    """List all API keys, without their secrets."""
    return [KeyView.model_validate(key) for key in await page.read(db, api_keys.KEYS)]


@router.post("/api-keys", status_code=201, dependencies=[requires("devapi_create")])
async def create_api_key(body: KeyCreate, change: ChangeDep) -> KeyCreated:
    """Create an API key. The answer contains its secret, which is never returned again.

    The key belongs to the user `user_id`, by default to the caller. Its permissions never exceed those of this owner,
    and the key is not valid while the owner is disabled or locked. A key for another user needs `users_modify`, and
    `users_modify_admin` if this user has permissions that the caller lacks. A key for a service account needs all
    permissions of the account instead. An API key that is limited to networks creates keys only for owners with the
    same or fewer networks.
    """
    caller = change.caller
    caller.require_right_to_grant(body.permissions)
    owner_id = caller.owner_id
    if body.user_id is not None and str(body.user_id) != owner_id:
        owner_id = str(body.user_id)
        owner = await _require_right_to_create_key_for(change, owner_id)
        if missing := missing_codes(owner.permissions, body.permissions):
            raise Forbidden(f"{owner.username} does not have the permissions {', '.join(missing[:5])}; omit them.")
    caller.require_within_networks(await _networks_of(change.db, owner_id))
    caller.require_earlier_expiration(body.expires)
    if body.expires is not None and body.expires <= datetime.now(UTC):
        raise Invalid(f"{body.expires:%Y-%m-%d %H:%M} is in the past. Set `expires` to a later time, or omit it.")
    key_id, secret = "".join(secrets.choice(_KEY_CHARACTERS) for _ in range(KEY_LENGTH)), new_secret()
    async with change.db.transaction() as connection:
        await api_keys.insert_key(
            connection,
            key_id=key_id,
            secret_hash=secret_digest(secret),
            name=body.name,
            permissions=body.permissions,
            read_only=body.read_only,
            max_leases=body.max_leases,
            max_lease_s=body.max_lease_s,
            expires=body.expires,
            created_by=owner_id,
        )
    key = await _get_key(change.db, key_id)
    change.audit(LogCode.API_KEY_CREATED, key.name, after=_audit_values(key))
    return KeyCreated.of(key, api_key=key.key_id, api_key_secret=secret)


@router.get("/api-keys/{key_id}", dependencies=[requires("devapi_view")])
async def get_api_key(key_id: str, db: Db) -> KeyView:
    """Return one API key, without its secret."""
    return KeyView.model_validate(await _get_key(db, key_id))


@router.patch("/api-keys/{key_id}", dependencies=[requires("devapi_modify")])
async def update_api_key(key_id: str, body: KeyPatch, change: ChangeDep, end_leases: EndLeases = True) -> KeyView:
    """Change an API key. The caller needs the permissions of the key before and after the change, unless the change
    only disables the key. For the first key of the installation, the caller needs `global_admin`.

    By default, the leases of a key end when it is disabled or expires. Leases of other users need `sessions_delete`.
    """
    async with change.db.transaction() as connection:
        before = await api_keys.lock_key(connection, key_id.replace("\0", ""))
        _require_right_over_first_key(change.caller, before)
        key = replace(before, **body.sent_fields())
        if replace(key, enabled=before.enabled) != before or key.enabled:
            change.caller.require_right_to_grant([*before.permissions, *key.permissions])
            change.caller.require_earlier_expiration(key.expires)
        await api_keys.update_key(connection, key)
        is_invalid = not key.enabled or (key.expires is not None and key.expires <= datetime.now(UTC))
        ended_sessions = []
        if is_invalid and end_leases:
            ended_sessions = await _end_leases(connection, change.caller, key)
        elif (key.expires, key.max_lease_s) != (before.expires, before.max_lease_s):
            await leases.limit_leases_of_key(connection, key)
    await _report_ended_sessions(change, ended_sessions)
    after = await _get_key(change.db, key_id)
    change.audit(LogCode.API_KEY_CHANGED, after.name, before=_audit_values(before), after=_audit_values(after))
    return KeyView.model_validate(after)


@router.post("/api-keys/{key_id}/rotate", dependencies=[requires("devapi_modify")])
async def rotate_api_key(key_id: str, body: Rotation, change: ChangeDep) -> KeyCreated:
    """Replace the secret of an API key. The answer contains the new secret, which is never returned again.

    The new secret is valid at once, and the present one until the end of the overlap. The caller needs the same rights
    as for the creation of the key.
    """
    secret = new_secret()
    async with change.db.transaction() as connection:
        before = await api_keys.lock_key(connection, key_id.replace("\0", ""))
        _require_right_over_first_key(change.caller, before)
        change.caller.require_right_to_grant(before.permissions)
        if before.created_by is not None and before.created_by != change.caller.owner_id:
            await _require_right_to_create_key_for(change, before.created_by)
        change.caller.require_within_networks(before.networks)
        change.caller.require_earlier_expiration(before.ends)
        await api_keys.rotate_key(connection, before.key_id, secret_digest(secret), body.overlap_s)
    key = await _get_key(change.db, key_id)
    new = f"of both secrets until {key.old_until:%Y-%m-%d %H:%M} UTC" if key.old_until else "of a new secret"
    change.audit(LogCode.API_KEY_CHANGED, key.name, before={"use": "of the former secret"}, after={"use": new})
    return KeyCreated.of(key, api_key=key.key_id, api_key_secret=secret)


@router.delete("/api-keys/{key_id}", status_code=204, dependencies=[requires("devapi_delete")])
async def delete_api_key(key_id: str, change: ChangeDep, end_leases: EndLeases = True) -> None:
    """Revoke an API key at once. The caller needs the permissions that the key has in effect, and `global_admin` for
    the first key of the installation.

    By default, the leases of the key end. Leases of other users need `sessions_delete`.
    """
    async with change.db.transaction() as connection:
        key = await api_keys.lock_key(connection, key_id.replace("\0", ""))
        _require_right_over_first_key(change.caller, key)
        if missing := missing_codes(change.caller.permissions, key.effective_codes):
            raise Forbidden(
                f"The API key {key.name or key.key_id} has permissions that you do not have: {', '.join(missing[:5])}.",
                required=missing,
            )
        await api_keys.delete_key(connection, key.key_id)
        sessions = await _end_leases(connection, change.caller, key) if end_leases else []
    await _report_ended_sessions(change, sessions)
    change.audit(LogCode.API_KEY_DELETED, key.name, before=_audit_values(key))


async def _get_key(db: Database, key_id: str) -> ApiKey:
    return require_row(await api_keys.find_key(db, key_id.replace("\0", "")), "API key", key_id)


async def _networks_of(db: Database, owner_id: str | None) -> list[str]:
    """Return the networks from which the keys of an owner may be used; empty = anywhere."""
    account = await service_accounts.ACCOUNTS.find(db, "a.user_id = %s", (owner_id,)) if owner_id else None
    return account.networks if account else []


async def _require_right_to_create_key_for(change: CallerChange, user_id: str) -> User:
    """Return the owner of a key. Raises Forbidden: the caller may not create keys for this owner.

    A key acts for its owner, so its creation needs the same rights as a change of the owner's password. A service
    account has no password: the caller needs its permissions.
    """
    user = await users.get_user(change.db, user_id)
    if user.service:
        change.caller.require_right_to_grant(user.permissions)
    else:
        change.caller.require("users_modify")
        change.caller.require_right_over(user.permissions)
    return user


def _require_right_over_first_key(caller: Caller, key: ApiKey) -> None:
    """Raises Forbidden: this can be the first key of the installation, which local commands use, and the caller is no
    administrator."""
    if key.created_by is None and GLOBAL_ADMIN in key.effective_codes and not caller.may(GLOBAL_ADMIN):
        raise Forbidden(
            "To change or delete an API key with global_admin that has no owner, you need global_admin, too: it can be"
            " the first key of the installation, which local commands use.",
            required=[GLOBAL_ADMIN],
        )


async def _end_leases(connection: Connection, caller: Caller, key: ApiKey) -> list[DeletedSession]:
    """End the leases of a locked key. Raises Forbidden: they belong to another user, as the key does, and the caller
    may not delete the sessions of others."""
    sessions = await leases.end_leases_of_key(connection, key.key_id, LEASE_END_REASON)
    is_own_key = key.created_by is not None and key.created_by == caller.owner_id
    if sessions and not is_own_key and not caller.may("sessions_delete"):
        raise Forbidden(
            f"This would end {len(sessions)} leases of the API key of another user, which needs the permission"
            " sessions_delete. Set `end_leases=false` to let them continue until their deadlines.",
            required=["sessions_delete"],
        )
    return sessions


async def _report_ended_sessions(change: CallerChange, sessions: list[DeletedSession]) -> None:
    """Send the events and write the log rows of sessions that end with their API key."""
    for session in sessions:
        await change.db.notify(*session_events(session.session_id, agent_id=session.agent_id))
        log_end(change.logs, session.session_id, LEASE_END_REASON)


def _audit_values(key: ApiKey) -> LogDetails:
    hidden = {
        *("secret_hash", "old_secret_hash", "valid", "needs_touch", "last_used", "networks"),
        *("owner_permissions", "owner_service", "owner_expires"),
    }
    return {name: value for name, value in asdict(key).items() if name not in hidden}
