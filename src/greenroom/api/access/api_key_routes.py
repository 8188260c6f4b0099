"""API keys for programs: create, change, revoke. A caller cannot give a key more permissions than they have."""

from __future__ import annotations

import secrets
import string
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query

from greenroom.api.access.schemas import KeyCreate, KeyCreated, KeyPatch, KeyView
from greenroom.api.deps import Db, Logs
from greenroom.api.diagnostics.audit import audit
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.core.access.permissions import beyond
from greenroom.core.errors import Forbidden, Invalid, found
from greenroom.core.events import session_events
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials, users
from greenroom.db.access.credentials import OLDEST_FIRST, ApiKey
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.lease import leases
from greenroom.db.session.sessions import DeletedSession
from greenroom.kit.secrets import hashed, new_secret

KEY_LENGTH: Final = 12
OVER: Final = "the API key of its lease is deleted, disabled or expired"
"""The reason for the end of the session of a lease."""
_ALPHABET: Final = string.ascii_letters + string.digits


async def get_key(db: Database, key_id: str) -> ApiKey:
    """Return one API key.

    Raises:
        NotFound: there is none.
    """
    return found(await credentials.find_key(db, key_id.replace("\0", "")), "API key", key_id)


async def create_key(db: Database, logs: LogWriter, caller: Caller, body: KeyCreate) -> tuple[ApiKey, str]:
    """Create an API key; return it and its secret.

    Raises:
        Forbidden: it would have more permissions than the caller or its user, or outlive the caller's own key; or it is
            for another user that the caller may not change.
        Invalid: it has expired already.
        NotFound: there is no such user.
    """
    caller.require_to_have(body.permissions)
    owner_id = caller.owner_id
    if body.user_id is not None and str(body.user_id) != owner_id:
        owner_id = str(body.user_id)
        await _require_for_other(db, caller, owner_id, body.permissions)
    _require_to_outlive(caller, body.expires)
    if body.expires is not None and body.expires <= datetime.now(UTC):
        raise Invalid(f"{body.expires:%Y-%m-%d %H:%M} is in the past. Set `expires` to a later time, or omit it.")
    key_id, secret = "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH)), new_secret()
    async with db.transaction() as connection:
        await credentials.insert_key(
            connection,
            key_id=key_id,
            secret_hash=hashed(secret),
            name=body.name,
            permissions=body.permissions,
            read_only=body.read_only,
            max_leases=body.max_leases,
            max_lease_s=body.max_lease_s,
            expires=body.expires,
            created_by=owner_id,
        )
    key = await get_key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_CREATED, key.name, after=_visible(key))
    return key, secret


async def update_key(
    db: Database, logs: LogWriter, caller: Caller, key_id: str, body: KeyPatch, *, end_leases: bool
) -> ApiKey:
    """Change an API key. Its leases get its new limits; with `end_leases` they end if the key is no longer valid.

    Raises:
        NotFound: there is none.
        Forbidden: the change does more than disable the key, and the key has permissions that the caller lacks or
            outlives the caller's own key.
    """
    async with db.transaction() as connection:
        before = await credentials.lock_key(connection, key_id.replace("\0", ""))
        key = replace(before, **body.sent())
        if replace(key, enabled=before.enabled) != before or key.enabled:
            caller.require_to_have(key.permissions)
            _require_to_outlive(caller, key.expires)
        await credentials.update_key(connection, key)
        over = not key.enabled or (key.expires is not None and key.expires <= datetime.now(UTC))
        ended = []
        if over and end_leases:
            ended = await leases.end_leases_of_key(connection, key.key_id, OVER)
        elif (key.expires, key.max_lease_s) != (before.expires, before.max_lease_s):
            await leases.limit_leases_of_key(connection, key)
    await _report(db, logs, ended)
    after = await get_key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_CHANGED, after.name, before=_visible(before), after=_visible(after))
    return after


async def delete_key(db: Database, logs: LogWriter, caller: Caller, key_id: str, *, end_leases: bool) -> None:
    """Revoke an API key, and with `end_leases` end its leases. Raises NotFound: there is none."""
    async with db.transaction() as connection:
        key = await credentials.lock_key(connection, key_id.replace("\0", ""))
        await credentials.delete_key(connection, key.key_id)
        ended = await leases.end_leases_of_key(connection, key.key_id, OVER) if end_leases else []
    await _report(db, logs, ended)
    audit(logs, caller, LogCode.API_KEY_DELETED, key.name, before=_visible(key))


async def _require_for_other(db: Database, caller: Caller, user_id: str, permissions: list[str]) -> None:
    """Refuse a key for another user that the caller, or that user, may not have.

    A key acts as its user, so its creation needs the same rights as a change of their password.
    """
    caller.require("users_modify")
    user = await users.get_user(db, user_id)
    caller.require_not_above(user.permissions)
    if missing := beyond(user.permissions, permissions):
        raise Forbidden(f"{user.username} does not have the permissions {', '.join(missing[:5])}; omit them.")


async def _report(db: Database, logs: LogWriter, ended: list[DeletedSession]) -> None:
    """Send the events and write the log rows of sessions whose API key is over."""
    for session in ended:
        await db.notify(*session_events(session.session_id, agent_id=session.agent_id))
        logs.write(
            LogCode.SESSION_DELETE_REQUESTED,
            f"The session {session.session_id} ends: {OVER}",
            session_id=session.session_id,
        )


def _require_to_outlive(caller: Caller, expires: datetime | None) -> None:
    """Refuse to let an expiring key create one that lives longer."""
    if caller.expires is not None and (expires is None or expires > caller.expires):
        raise Forbidden(
            f"The API key of the request expires at {caller.expires:%Y-%m-%d %H:%M} UTC. Set an earlier time."
        )


def _visible(key: ApiKey) -> LogDetails:
    hidden = {"secret_hash", "valid", "stale", "last_used", "owner_permissions"}
    return {name: value for name, value in asdict(key).items() if name not in hidden}


router = APIRouter(tags=["api keys"])


EndLeases = Annotated[bool, Query(description="end the leases of the key if it is no longer valid")]


@router.get("/api-keys", dependencies=[requires("devapi_view")])
async def list_api_keys(db: Db, page: Paging) -> list[KeyView]:
    """List all API keys, without their secrets."""
    found = await credentials.list_keys(db, after=page.after_row(OLDEST_FIRST), limit=page.limit)
    return [KeyView.model_validate(key) for key in page.rows(found, OLDEST_FIRST)]


@router.post("/api-keys", status_code=201)
async def create_api_key(
    body: KeyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("devapi_create")]
) -> KeyCreated:
    """Create an API key. The answer contains its secret, which is never returned again.

    The key belongs to the user `user_id`, by default to the caller. Its permissions never exceed those of that user,
    and it is not valid while the user is disabled or locked. A key for another user needs `users_modify`, and
    `users_modify_admin` if that user has permissions that the caller lacks.
    """
    key, secret = await create_key(db, logs, caller, body)
    return KeyCreated.of(key, api_key=key.key_id, api_key_secret=secret)


@router.get("/api-keys/{key_id}", dependencies=[requires("devapi_view")])
async def get_api_key(key_id: str, db: Db) -> KeyView:
    """Return one API key, without its secret."""
    return KeyView.model_validate(await get_key(db, key_id))


@router.patch("/api-keys/{key_id}")
async def update_api_key(
    key_id: str,
    body: KeyPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("devapi_modify")],
    end_leases: EndLeases = True,
) -> KeyView:
    """Change an API key. Every change except disabling requires all of its permissions.

    By default, the leases of a key end when it is disabled or expires.
    """
    key = await update_key(db, logs, caller, key_id, body, end_leases=end_leases)
    return KeyView.model_validate(key)


@router.delete("/api-keys/{key_id}", status_code=204)
async def delete_api_key(
    key_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("devapi_delete")],
    end_leases: EndLeases = True,
) -> None:
    """Revoke an API key at once, and end its leases."""
    await delete_key(db, logs, caller, key_id, end_leases=end_leases)
