"""Deployment zones."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from psycopg.rows import DictRow

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.infrastructure import ZoneChanged, ZoneCreate, ZonePatch, ZoneView
from greenroom.api.security import Caller, requires
from greenroom.core.shortfalls import emptied
from greenroom.db import staging_configs, zones
from greenroom.db.facts import zone_facts

router = APIRouter(tags=["zones"])

_FIELDS: Final = tuple(ZonePatch.model_fields)


@router.get("/zones", dependencies=[requires("zones_view")])
async def list_zones(db: Db, page: Paging) -> list[ZoneView]:
    """All zones by name."""
    rows = page.slice(await zones.list_zones(db), lambda zone: [zone["zone_name"]])
    return [ZoneView.model_validate(zone) for zone in rows]


@router.post("/zones", status_code=201)
async def create_zone(
    body: ZoneCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_create")]
) -> ZoneView:
    """Create a zone; Managers and Agents join it on their own."""
    async with db.transaction() as connection:
        zone_id = await zones.insert_zone(connection, body.model_dump())
    zone = await zones.get_zone(db, zone_id)
    name = zone["zone_name"]
    audit(logs, caller, "created", "zone", name, after=_settable(zone), zone_name=name)
    return ZoneView.model_validate(zone)


@router.get("/zones/{zone_id}", dependencies=[requires("zones_view")])
async def get_zone(zone_id: UUID, db: Db) -> ZoneView:
    """One zone."""
    return ZoneView.model_validate(await zones.get_zone(db, str(zone_id)))


@router.patch("/zones/{zone_id}")
async def update_zone(
    zone_id: UUID, body: ZonePatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_modify")]
) -> ZoneChanged:
    """Change a zone; sessions keep the Allow Origin Domain and Upstream Auth Address they were created with."""
    async with db.transaction() as connection:
        before = await zones.lock_zone(connection, str(zone_id))
        await zones.update_zone(connection, str(zone_id), _settable(before) | body.sent())
    after = await zones.get_zone(db, str(zone_id))
    await db.notify(f"zone:{after['zone_key']}")
    old, new, name = _settable(before), _settable(after), after["zone_name"]
    audit(logs, caller, "changed", "zone", name, before=old, after=new, zone_name=name)
    pools = await staging_configs.staged_in_zone(db, str(zone_id))
    return ZoneChanged.model_validate(after | {"warning": emptied(zone_facts(after), pools)})


@router.delete("/zones/{zone_id}", status_code=204)
async def delete_zone(zone_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_delete")]) -> None:
    """Delete a zone; 409 while Managers, Agents, sessions or staging configs belong to it."""
    zone = await zones.get_zone(db, str(zone_id))
    async with db.transaction() as connection:
        await zones.delete_zone(connection, zone)
    name = zone["zone_name"]
    audit(logs, caller, "deleted", "zone", name, before=_settable(zone), zone_name=name)


def _settable(zone: DictRow) -> dict[str, Any]:
    return {name: zone[name] for name in _FIELDS}
