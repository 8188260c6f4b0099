"""API keys: create, change, revoke; each on behalf of a caller, who passes on nothing that they lack."""

from __future__ import annotations

import secrets
import string
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Final

from greenroom.api.access.schemas import KeyCreate, KeyPatch
from greenroom.api.diagnostics.audit import audit
from greenroom.api.security import Caller
from greenroom.core.access.permissions import beyond
from greenroom.core.errors import Forbidden, Invalid, found
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials, users
from greenroom.db.access.credentials import ApiKey
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.secrets import hashed, new_secret

KEY_LENGTH: Final = 12
_ALPHABET: Final = string.ascii_letters + string.digits


async def get_key(db: Database, key_id: str) -> ApiKey:
    """One API key.

    Raises:
        NotFound: there is none.
    """
    return found(await credentials.find_key(db, key_id.replace("\0", "")), "API key", key_id)


async def create_key(db: Database, logs: LogWriter, caller: Caller, body: KeyCreate) -> tuple[ApiKey, str]:
    """A new API key, and its secret.

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
        raise Invalid(f"{body.expires:%Y-%m-%d %H:%M} is over already; give a later time as `expires`, or none.")
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


async def update_key(db: Database, logs: LogWriter, caller: Caller, key_id: str, body: KeyPatch) -> ApiKey:
    """Change an API key.

    Raises:
        NotFound: there is none.
        Forbidden: it is more than disabled, and has permissions that the caller lacks or outlives the caller's own key.
    """
    async with db.transaction() as connection:
        before = await credentials.lock_key(connection, key_id.replace("\0", ""))
        key = replace(before, **body.sent())
        if replace(key, enabled=before.enabled) != before or key.enabled:
            caller.require_to_have(key.permissions)
            _require_to_outlive(caller, key.expires)
        await credentials.update_key(connection, key)
    after = await get_key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_CHANGED, after.name, before=_visible(before), after=_visible(after))
    return after


async def delete_key(db: Database, logs: LogWriter, caller: Caller, key_id: str) -> None:
    """Revoke an API key. Raises NotFound: there is none."""
    key = await get_key(db, key_id)
    await credentials.delete_key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_DELETED, key.name, before=_visible(key))


async def _require_for_other(db: Database, caller: Caller, user_id: str, permissions: list[str]) -> None:
    """Refuse a key for another user that the caller, or that user, may not have. A key acts as its user, so it takes
    what it takes to set their password."""
    caller.require("users_modify")
    user = await users.get_user(db, user_id)
    caller.require_not_above(user.permissions)
    if missing := beyond(user.permissions, permissions):
        raise Forbidden(f"{user.username} does not have the permissions {', '.join(missing[:5])}; leave them out.")


def _require_to_outlive(caller: Caller, expires: datetime | None) -> None:
    """Refuse to let an expiring key make one that lives longer."""
    if caller.expires is not None and (expires is None or expires > caller.expires):
        raise Forbidden(f"The API key you use ends at {caller.expires:%Y-%m-%d %H:%M} UTC; give an earlier time.")


def _visible(key: ApiKey) -> LogDetails:
    hidden = {"secret_hash", "valid", "stale", "last_used", "owner_permissions"}
    return {name: value for name, value in asdict(key).items() if name not in hidden}
