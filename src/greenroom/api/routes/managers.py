"""Managers: see, enable, disable, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.infrastructure import ManagerChanged, ManagerPatch, ManagerView
from greenroom.api.security import Caller, requires
from greenroom.core.errors import NotFound
from greenroom.db import managers
from greenroom.db.database import Database

router = APIRouter(tags=["managers"])


@router.get("/managers", dependencies=[requires("managers_view")])
async def list_managers(db: Db, page: Paging) -> list[ManagerView]:
    """All Managers by zone and instance id."""
    rows = page.slice(await managers.list_managers(db), lambda row: [row["zone_name"], row["instance_id"]])
    return [ManagerView.model_validate(row) for row in rows]


@router.get("/managers/{manager_id}", dependencies=[requires("managers_view")])
async def get_manager(manager_id: str, db: Db) -> ManagerView:
    """One Manager, by its id or instance id."""
    return ManagerView.model_validate(await _manager(db, manager_id))


@router.patch("/managers/{manager_id}")
async def update_manager(
    manager_id: str,
    body: ManagerPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_modify")],
) -> ManagerChanged:
    """Enable or disable a Manager; 409 `last-enabled-manager` if its zone would be left without an enabled one."""
    before = await _manager(db, manager_id)
    change = await managers.set_enabled(db, before["manager_id"], body.enabled)
    await db.notify("managers:")
    after = await _manager(db, before["manager_id"])
    old, new = {"enabled": before["enabled"]}, {"enabled": change.enabled}
    zone = after["zone_name"]
    audit(logs, caller, "changed", "Manager", change.instance_id, before=old, after=new, zone_name=zone)
    return ManagerChanged.model_validate(after | {"warning": change.warning})


@router.delete("/managers/{manager_id}", status_code=204)
async def delete_manager(
    manager_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_delete")],
    force: Annotated[bool, Query(description="although it runs and registers again, as a new record")] = False,
) -> None:
    """Delete the record of a Manager; 409 `manager-running` while it runs, `last-enabled-manager` as above."""
    manager = await _manager(db, manager_id)
    await managers.delete_manager(db, manager["manager_id"], force=force)
    await db.notify("managers:")
    zone = manager["zone_name"]
    audit(logs, caller, "deleted", "Manager", manager["instance_id"], before={"zone_name": zone}, zone_name=zone)


async def _manager(db: Database, name: str) -> dict[str, Any]:
    manager_id = await managers.find_manager(db, name.replace("\0", ""))
    rows = await managers.list_managers(db, manager_id) if manager_id else []
    if not rows:
        raise NotFound(f"There is no Manager {name}; it may have been deleted.")
    return rows[0]
