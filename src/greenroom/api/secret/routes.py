"""Secrets that web filters add to requests of leased sessions. The sessions do not receive them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from greenroom.api.deps import Db, Logs, SecretsDep
from greenroom.api.paging import Paging
from greenroom.api.secret import service
from greenroom.api.secret.schemas import SecretCreate, SecretPatch, SecretView
from greenroom.api.secret.service import Keeping
from greenroom.api.security import Caller, requires_one_of
from greenroom.core.access.permissions import USER
from greenroom.db import named_secrets

router = APIRouter(tags=["secrets"])


async def _keeping(db: Db, logs: Logs, cipher: SecretsDep) -> Keeping:
    return Keeping(db, logs, cipher)


KeepingDep = Annotated[Keeping, Depends(_keeping)]


@router.get("/secrets")
async def list_secrets(
    db: Db, page: Paging, caller: Annotated[Caller, requires_one_of(USER, "secrets_view")]
) -> list[SecretView]:
    """List secrets by name: all secrets with `secrets_view`, otherwise those of the caller."""
    owner_id = None if caller.may("secrets_view") else service.owner_of(caller)
    found = await named_secrets.list_secrets(
        db, owner_id=owner_id, after=page.after_row(named_secrets.BY_NAME), limit=page.limit
    )
    return [SecretView.model_validate(each) for each in page.rows(found, named_secrets.BY_NAME)]


@router.post("/secrets", status_code=201)
async def create_secret(
    body: SecretCreate, keeping: KeepingDep, caller: Annotated[Caller, requires_one_of(USER, "secrets_create")]
) -> SecretView:
    """Store a secret.

    The value is encrypted and never returned. To let others use it, the caller needs `secrets_create`.
    """
    return SecretView.model_validate(await service.create_secret(keeping, caller, body))


@router.get("/secrets/{secret_id}")
async def get_secret(
    secret_id: UUID, db: Db, caller: Annotated[Caller, requires_one_of(USER, "secrets_view")]
) -> SecretView:
    """Return one secret, without its value."""
    return SecretView.model_validate(await service.seen(db, caller, str(secret_id), "secrets_view"))


@router.patch("/secrets/{secret_id}")
async def update_secret(
    secret_id: UUID,
    body: SecretPatch,
    keeping: KeepingDep,
    caller: Annotated[Caller, requires_one_of(USER, "secrets_modify")],
) -> SecretView:
    """Change a secret; omitted fields keep their values. The filters of running leases apply the change within seconds.

    A change of `hosts`, `header` or `template` needs `value`, too. An API key needs `secrets_modify`, also for its
    owner's secrets.
    """
    return SecretView.model_validate(await service.update_secret(keeping, caller, str(secret_id), body))


@router.delete("/secrets/{secret_id}", status_code=204)
async def delete_secret(
    secret_id: UUID, keeping: KeepingDep, caller: Annotated[Caller, requires_one_of(USER, "secrets_delete")]
) -> None:
    """Delete a secret. The filters of running leases remove it within seconds.

    An API key needs `secrets_delete`, also for its owner's secrets.
    """
    await service.delete_secret(keeping, caller, str(secret_id))
