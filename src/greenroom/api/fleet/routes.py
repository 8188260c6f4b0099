"""Zones, Managers, Agents, and web gateways on hosts of their own: see, change, enable, disable, drain, delete."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.deps import Db, Logs
from greenroom.api.diagnostics.audit import audit
from greenroom.api.fleet import service
from greenroom.api.fleet.schemas import (
    AgentPatch,
    AgentView,
    GatewayView,
    ManagerChanged,
    ManagerPatch,
    ManagerView,
    ZoneChanged,
    ZoneCreate,
    ZonePatch,
    ZoneView,
)
from greenroom.api.paging import Paging
from greenroom.api.security import Caller, requires
from greenroom.core.errors import NotFound
from greenroom.core.events import Event, Topic
from greenroom.core.fleet.liveness import unattended
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.shortfalls import emptied
from greenroom.db.database import Database
from greenroom.db.fleet import agents, enrolment, managers, zones
from greenroom.db.pool import configs

agent_router = APIRouter(tags=["agents"])


@agent_router.get("/agents", dependencies=[requires("agents_view")])
async def list_agents(db: Db, page: Paging) -> list[AgentView]:
    """All Agents by zone."""
    rows = page.slice(
        await agents.list_agents(db), lambda agent: [agent.zone_name, str(agent.registered), agent.agent_id]
    )
    return [AgentView.model_validate(row) for row in rows]


@agent_router.get("/agents/{agent_id}", dependencies=[requires("agents_view")])
async def get_agent(agent_id: str, db: Db) -> AgentView:
    """One Agent, by its id, the first 8 digits of it, or its hostname."""
    return AgentView.model_validate(await service.find_agent(db, agent_id))


@agent_router.patch("/agents/{agent_id}")
async def update_agent(
    agent_id: str, body: AgentPatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> AgentView:
    """Enable, disable, drain, say what the Agent offers, or where its edge gateway is. Disabled or draining: no new
    sessions. `edge_url` is the address that waits, which is used from then on, or the one in use, which declines it.
    """
    return AgentView.model_validate(await service.update_agent(db, logs, caller, agent_id, body))


@agent_router.delete("/agents/{agent_id}/credential", status_code=204)
async def revoke_credential(
    agent_id: str, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> None:
    """Make an Agent's credential worthless: it is refused from its next message on, until it joins again."""
    await service.revoke_credential(db, logs, caller, agent_id)


@agent_router.delete("/agents/{agent_id}", status_code=204)
async def delete_agent(
    agent_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("agents_delete")],
    force: Annotated[bool, Query(description="end the sessions of an Agent that is gone for good")] = False,
) -> None:
    """Delete an Agent; 409 while it has sessions, unless it is gone and `force` is given."""
    await service.delete_agent(db, logs, caller, agent_id, force=force)


manager_router = APIRouter(tags=["managers"])


@manager_router.get("/managers", dependencies=[requires("managers_view")])
async def list_managers(db: Db, page: Paging) -> list[ManagerView]:
    """All Managers by zone and instance id."""
    rows = page.slice(await managers.list_managers(db), lambda manager: [manager.zone_name, manager.instance_id])
    return [ManagerView.model_validate(row) for row in rows]


@manager_router.get("/managers/{manager_id}", dependencies=[requires("managers_view")])
async def get_manager(manager_id: str, db: Db) -> ManagerView:
    """One Manager, by its id or instance id."""
    return ManagerView.model_validate(await _manager(db, manager_id))


@manager_router.patch("/managers/{manager_id}")
async def update_manager(
    manager_id: str,
    body: ManagerPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_modify")],
) -> ManagerChanged:
    """Enable or disable a Manager; 409 `last-enabled-manager` if its zone would be left without an enabled one."""
    before = await _manager(db, manager_id)
    change = await managers.set_enabled(db, before.manager_id, body.enabled)
    await db.notify(Event(Topic.MANAGERS))
    after = await _manager(db, before.manager_id)
    old, new = {"enabled": before.enabled}, {"enabled": body.enabled}
    name, zone = after.instance_id, after.zone_name
    audit(logs, caller, LogCode.MANAGER_CHANGED, name, before=old, after=new, zone_name=zone)
    warning = None if body.enabled else unattended(change.zone_name, change.others, change.running_others)
    return ManagerChanged.model_validate(asdict(after) | {"warning": warning})


@manager_router.delete("/managers/{manager_id}", status_code=204)
async def delete_manager(
    manager_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_delete")],
    force: Annotated[bool, Query(description="although it runs and registers again, as a new record")] = False,
) -> None:
    """Delete the record of a Manager; 409 `manager-running` while it runs, `last-enabled-manager` as above."""
    manager = await _manager(db, manager_id)
    await managers.delete_manager(db, manager.manager_id, force=force)
    await db.notify(Event(Topic.MANAGERS))
    zone = manager.zone_name
    audit(logs, caller, LogCode.MANAGER_DELETED, manager.instance_id, before={"zone_name": zone}, zone_name=zone)


async def _manager(db: Database, name: str) -> managers.ListedManager:
    manager_id = await managers.find_manager(db, name.replace("\0", ""))
    rows = await managers.list_managers(db, manager_id) if manager_id else []
    if not rows:
        raise NotFound(f"There is no Manager {name}; it may have been deleted.")
    return rows[0]


zone_router = APIRouter(tags=["zones"])

_FIELDS: Final = tuple(ZonePatch.model_fields)


@zone_router.get("/zones", dependencies=[requires("zones_view")])
async def list_zones(db: Db, page: Paging) -> list[ZoneView]:
    """All zones by name."""
    rows = page.slice(await zones.list_zones(db), lambda zone: [zone.zone_name])
    return [ZoneView.model_validate(zone) for zone in rows]


@zone_router.post("/zones", status_code=201)
async def create_zone(
    body: ZoneCreate, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_create")]
) -> ZoneView:
    """Create a zone; Managers and Agents join it on their own."""
    async with db.transaction() as connection:
        zone_id = await zones.insert_zone(connection, zones.ZoneSettings(**body.model_dump()))
    zone = await zones.get_zone(db, zone_id)
    name = zone.zone_name
    audit(logs, caller, LogCode.ZONE_CREATED, name, after=_settable(zone), zone_name=name)
    return ZoneView.model_validate(zone)


@zone_router.get("/zones/{zone_id}", dependencies=[requires("zones_view")])
async def get_zone(zone_id: UUID, db: Db) -> ZoneView:
    """One zone."""
    return ZoneView.model_validate(await zones.get_zone(db, str(zone_id)))


@zone_router.patch("/zones/{zone_id}")
async def update_zone(
    zone_id: UUID, body: ZonePatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_modify")]
) -> ZoneChanged:
    """Change a zone; sessions keep the Allow Origin Domain and Upstream Auth Address they were created with."""
    async with db.transaction() as connection:
        before = await zones.lock_zone(connection, str(zone_id))
        await zones.update_zone(connection, replace(before, **body.sent()))
    after = await zones.get_zone(db, str(zone_id))
    await db.notify(Event.zone(after.zone_key))
    old, new, name = _settable(before), _settable(after), after.zone_name
    audit(logs, caller, LogCode.ZONE_CHANGED, name, before=old, after=new, zone_name=name)
    pools = await configs.staged_in_zone(db, str(zone_id))
    return ZoneChanged.model_validate(asdict(after) | {"warning": emptied(after.facts, pools)})


@zone_router.delete("/zones/{zone_id}", status_code=204)
async def delete_zone(zone_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_delete")]) -> None:
    """Delete a zone; 409 while Managers, Agents, sessions or staging configs belong to it."""
    zone = await zones.get_zone(db, str(zone_id))
    async with db.transaction() as connection:
        await zones.delete_zone(connection, zone)
    name = zone.zone_name
    audit(logs, caller, LogCode.ZONE_DELETED, name, before=_settable(zone), zone_name=name)


def _settable(zone: zones.ZoneSettings) -> dict[str, Any]:
    return {name: getattr(zone, name) for name in _FIELDS}


gateway_router = APIRouter(tags=["gateways"])


@gateway_router.get("/gateways", dependencies=[requires("agents_view")])
async def list_gateways(db: Db, page: Paging) -> list[GatewayView]:
    """Web gateways that joined with a token; those beside an api use the installation's key and are not listed."""
    rows = page.slice(
        await enrolment.list_gateways(db), lambda row: [row.zone_name, str(row.registered), row.gateway_id]
    )
    return [GatewayView.model_validate(row) for row in rows]


@gateway_router.get("/gateways/{gateway_id}", dependencies=[requires("agents_view")])
async def get_gateway(gateway_id: UUID, db: Db) -> GatewayView:
    """One gateway."""
    return GatewayView.model_validate(await _gateway(db, gateway_id))


@gateway_router.delete("/gateways/{gateway_id}", status_code=204)
async def delete_gateway(
    gateway_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_delete")]
) -> None:
    """Remove a gateway: its credential is refused from its next question on. What it serves it serves until then."""
    gateway = await _gateway(db, gateway_id)
    await enrolment.delete_gateway(db, str(gateway_id))
    zone = gateway.zone_name
    audit(logs, caller, LogCode.GATEWAY_DELETED, gateway.hostname, before={"zone_name": zone}, zone_name=zone)


async def _gateway(db: Database, gateway_id: UUID) -> enrolment.GatewayRow:
    rows = await enrolment.list_gateways(db, str(gateway_id))
    if not rows:
        raise NotFound("There is no such gateway; it may have been removed.")
    return rows[0]
