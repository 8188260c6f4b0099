"""API keys for programs."""

from __future__ import annotations

import secrets
import string
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter

from greenroom.api.access.schemas import KeyCreate, KeyCreated, KeyPatch, KeyView
from greenroom.api.deps import Db, Logs
from greenroom.api.diagnostics.audit import audit
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Forbidden, Invalid, NotFound
from greenroom.core.log_codes import LogCode, LogDetails
from greenroom.db.access import credentials
from greenroom.db.database import Database
from greenroom.kit.secrets import hashed, new_secret

router = APIRouter(tags=["api keys"])

KEY_LENGTH: Final = 12
_ALPHABET: Final = string.ascii_letters + string.digits


@router.get("/api-keys", dependencies=[requires("devapi_view")])
async def list_api_keys(db: Db, page: Paging) -> list[KeyView]:
    """All API keys, without their secrets."""
    rows = page.slice(await credentials.list_keys(db), lambda key: [key.created.isoformat(), key.key_id])
    return [KeyView.model_validate(key) for key in rows]


@router.post("/api-keys", status_code=201)
async def create_api_key(
    body: KeyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("devapi_create")]
) -> KeyCreated:
    """Create an API key. The answer shows its secret; it is never shown again.

    The key belongs to the user who makes it: it may never do more than they may, and nothing while
    they are disabled or locked.
    """
    caller.require_to_have(body.permissions)
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
            expires=body.expires,
            created_by=caller.owner_id,
        )
    key = await _key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_CREATED, key.name, after=_visible(key))
    view = KeyView.model_validate(key)
    return KeyCreated(**view.model_dump(), api_key=key_id, api_key_secret=secret)


@router.get("/api-keys/{key_id}", dependencies=[requires("devapi_view")])
async def get_api_key(key_id: str, db: Db) -> KeyView:
    """One API key, without its secret."""
    return KeyView.model_validate(await _key(db, key_id))


@router.patch("/api-keys/{key_id}")
async def update_api_key(
    key_id: str, body: KeyPatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("devapi_modify")]
) -> KeyView:
    """Change an API key; any change but disabling it requires all of its permissions."""
    async with db.transaction() as connection:
        before = await credentials.lock_key(connection, key_id.replace("\0", ""))
        key = replace(before, **body.sent())
        if replace(key, enabled=before.enabled) != before or key.enabled:
            caller.require_to_have(key.permissions)
            _require_to_outlive(caller, key.expires)
        await credentials.update_key(connection, key)
    after = await _key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_CHANGED, after.name, before=_visible(before), after=_visible(after))
    return KeyView.model_validate(after)


@router.delete("/api-keys/{key_id}", status_code=204)
async def delete_api_key(key_id: str, db: Db, logs: Logs, caller: Annotated[Caller, requires("devapi_delete")]) -> None:
    """Revoke an API key, at once."""
    key = await _key(db, key_id)
    await credentials.delete_key(db, key_id)
    audit(logs, caller, LogCode.API_KEY_DELETED, key.name, before=_visible(key))


def _require_to_outlive(caller: Caller, expires: datetime | None) -> None:
    """Refuse to let an expiring key make one that lives longer."""
    if caller.expires is not None and (expires is None or expires > caller.expires):
        raise Forbidden(f"The API key you use ends at {caller.expires:%Y-%m-%d %H:%M} UTC; give an earlier time.")


async def _key(db: Database, key_id: str) -> credentials.ApiKey:
    key = await credentials.find_key(db, key_id.replace("\0", ""))
    if key is None:
        raise NotFound(f"There is no API key {key_id}; it may have been deleted.")
    return key


def _visible(key: credentials.ApiKey) -> LogDetails:
    hidden = {"secret_hash", "valid", "stale", "last_used", "owner_permissions"}
    return {name: value for name, value in asdict(key).items() if name not in hidden}
