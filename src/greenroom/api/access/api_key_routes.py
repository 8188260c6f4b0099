"""API keys for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from greenroom.api.access import key_service
from greenroom.api.access.schemas import KeyCreate, KeyCreated, KeyPatch, KeyView
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.db.access import credentials
from greenroom.db.access.credentials import OLDEST_FIRST

router = APIRouter(tags=["api keys"])


EndLeases = Annotated[bool, Query(description="whether the leases that it holds end when it is valid no more")]


@router.get("/api-keys", dependencies=[requires("devapi_view")])
async def list_api_keys(db: Db, page: Paging) -> list[KeyView]:
    """All API keys, without their secrets."""
    found = await credentials.list_keys(db, after=page.after_row(OLDEST_FIRST), limit=page.limit)
    return [KeyView.model_validate(key) for key in page.rows(found, OLDEST_FIRST)]


@router.post("/api-keys", status_code=201)
async def create_api_key(
    body: KeyCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("devapi_create")]
) -> KeyCreated:
    """Create an API key. The answer shows its secret; it is never shown again.

    The key belongs to the user `user_id`, by default to the caller. It may never do more than they may, and nothing
    while they are disabled or locked. A key for another user needs `users_modify`, and `users_modify_admin` if that
    user has permissions that the caller lacks.
    """
    key, secret = await key_service.create_key(db, logs, caller, body)
    return KeyCreated.of(key, api_key=key.key_id, api_key_secret=secret)


@router.get("/api-keys/{key_id}", dependencies=[requires("devapi_view")])
async def get_api_key(key_id: str, db: Db) -> KeyView:
    """One API key, without its secret."""
    return KeyView.model_validate(await key_service.get_key(db, key_id))


@router.patch("/api-keys/{key_id}")
async def update_api_key(
    key_id: str,
    body: KeyPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("devapi_modify")],
    end_leases: EndLeases = True,
) -> KeyView:
    """Change an API key; any change but disabling it requires all of its permissions.

    A key that is disabled ends its leases, and a key that expires.
    """
    key = await key_service.update_key(db, logs, caller, key_id, body, end_leases=end_leases)
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
    await key_service.delete_key(db, logs, caller, key_id, end_leases=end_leases)
