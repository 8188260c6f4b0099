"""Machine pools, the preview of their plan, and the ledger of orders."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Config, Db, Logs, SecretsDep, SettingsSnapshot
from greenroom.api.fleet import machine_service as service
from greenroom.api.fleet.machine_schemas import (
    MachineOrderView,
    MachinePoolCreate,
    MachinePoolPatch,
    MachinePoolView,
    MachinePreview,
)
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.db.fleet import machine_orders, machine_pools

router = APIRouter(tags=["machines"])


@router.get("/machine-pools", dependencies=[requires("machines_view")])
async def list_machine_pools(db: Db, page: Paging) -> list[MachinePoolView]:
    """All by zone and name; deleted ones as long as they have machines."""
    order = machine_pools.BY_PLACE
    found = await machine_pools.list_pools(db, after=page.after_row(order), limit=page.limit)
    return [service.view(row) for row in page.rows(found, order)]


@router.post("/machine-pools", status_code=201)
async def create_machine_pool(
    body: MachinePoolCreate,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    config: Config,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("machines_create")],
) -> MachinePoolView:
    """Create a machine pool; it orders nothing before it is enabled.

    Its machines join as pending Agents unless the caller has `agents_create` and `agents_modify`, or someone with these
    permissions approves the pool.
    """
    installation = snapshot.installation
    row = await service.create_pool(db, logs, secrets, caller, body, config=config, installation=installation)
    return service.view(row)


@router.get("/machine-pools/{machine_pool_id}", dependencies=[requires("machines_view")])
async def get_machine_pool(machine_pool_id: str, db: Db) -> MachinePoolView:
    """One machine pool, by its id or name."""
    return service.view(await machine_pools.find_pool(db, machine_pool_id))


@router.get("/machine-pools/{machine_pool_id}/preview", dependencies=[requires("machines_view")])
async def preview_machine_pool(machine_pool_id: str, db: Db) -> MachinePreview:
    """What would be ordered, taken back, drained and released now if it were enabled, and why; nothing is done."""
    return await service.preview(db, machine_pool_id)


@router.patch("/machine-pools/{machine_pool_id}")
async def update_machine_pool(
    machine_pool_id: str,
    body: MachinePoolPatch,
    db: Db,
    logs: Logs,
    secrets: SecretsDep,
    config: Config,
    snapshot: SettingsSnapshot,
    caller: Annotated[Caller, requires("machines_modify")],
) -> MachinePoolView:
    """Change, enable or disable a machine pool; 409 where its provider would go elsewhere while it has machines.

    Another program, address, driver or account needs the secrets anew. A change of `provider`, `options`, `secrets`,
    `join_url` or `edge_url` withdraws the approval of the pool, unless the caller has `agents_create` and
    `agents_modify`.
    """
    installation = snapshot.installation
    row = await service.update_pool(
        db, logs, secrets, caller, body, name=machine_pool_id, config=config, installation=installation
    )
    return service.view(row)


@router.delete("/machine-pools/{machine_pool_id}", status_code=204)
async def delete_machine_pool(
    machine_pool_id: str, db: Db, logs: Logs, caller: Annotated[Caller, requires("machines_delete")]
) -> None:
    """Delete a machine pool: its machines go when their last session has ended, and it goes with the last one."""
    await service.delete_pool(db, logs, caller, machine_pool_id)


@router.get("/machine-orders", dependencies=[requires("machines_view")])
async def list_machine_orders(
    db: Db,
    page: Paging,
    machine_pool_id: Annotated[UUID | None, Query(description="of this machine pool alone")] = None,
    is_open: Annotated[bool | None, Query(alias="open", description="those whose machine is, or may be, there")] = None,
) -> list[MachineOrderView]:
    """The ledger of orders, newest first, each with its reasons; ended ones are kept for 90 days."""
    order = machine_orders.BY_TIME
    found = await machine_orders.list_orders(
        db,
        machine_pool_id=str(machine_pool_id) if machine_pool_id else None,
        is_open=is_open,
        after=page.after_row(order),
        limit=page.limit,
    )
    return [MachineOrderView.model_validate(row) for row in page.rows(found, order)]


@router.get("/machine-orders/{machine_order_id}", dependencies=[requires("machines_view")])
async def get_machine_order(machine_order_id: UUID, db: Db) -> MachineOrderView:
    """One order."""
    return MachineOrderView.model_validate(await machine_orders.get_order(db, str(machine_order_id)))
