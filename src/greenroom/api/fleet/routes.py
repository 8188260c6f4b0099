"""Zones, Managers, Agents, and web gateways on separate hosts: list, change, enable, disable, drain, delete."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from greenroom.api.bodies import View
from greenroom.api.deps import Config, Db, Logs
from greenroom.api.fleet import service
from greenroom.api.fleet.schemas import (
    AgentPatch,
    AgentView,
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
from greenroom.db.fleet import enrolment, managers, views, zones
from greenroom.db.fleet.enrolment import GatewayRow

agent_router = APIRouter(tags=["agents"])


class GatewayView(View, row=GatewayRow):
    """A web gateway on a separate host."""

    gateway_id: UUID
    zone_id: UUID


@agent_router.get("/agents", dependencies=[requires("agents_view")])
async def list_agents(db: Db, page: Paging) -> list[AgentView]:
    """List all Agents by zone."""
    order = views.BY_PLACE
    found = await views.list_agents(db, after=page.after_row(order), limit=page.limit)
    return [AgentView.model_validate(agent) for agent in page.rows(found, order)]


@agent_router.get("/agents/{agent_id}", dependencies=[requires("agents_view")])
async def get_agent(agent_id: str, db: Db) -> AgentView:
    """Return one Agent, by its id, the first 8 digits of its id, or its hostname."""
    return AgentView.model_validate(await service.find_agent(db, agent_id))


@agent_router.patch("/agents/{agent_id}")
async def update_agent(
    agent_id: str, body: AgentPatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> AgentView:
    """Enable, disable or drain an Agent, or change its capacity or the address of its edge gateway.

    A disabled or draining Agent gets no new sessions. `edge_url` is the waiting address, which is used from now on, or
    the address in use, which declines the waiting one.
    """
    return AgentView.model_validate(await service.update_agent(db, logs, caller, agent_id, body))


@agent_router.delete("/agents/{agent_id}/credential", status_code=204)
async def revoke_credential(
    agent_id: str, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> None:
    """Revoke the credential of an Agent. Its messages are refused until it joins again."""
    await service.revoke_credential(db, logs, caller, agent_id)


@agent_router.delete("/agents/{agent_id}", status_code=204)
async def delete_agent(
    agent_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("agents_delete")],
    force: Annotated[bool, Query(description="also end the sessions of an Agent that is missing permanently")] = False,
) -> None:
    """Delete an Agent; 409 while it has sessions, unless it is gone and `force` is set."""
    await service.delete_agent(db, logs, caller, agent_id, force=force)


manager_router = APIRouter(tags=["managers"])


@manager_router.get("/managers", dependencies=[requires("managers_view")])
async def list_managers(db: Db, page: Paging) -> list[ManagerView]:
    """List all Managers by zone and instance id."""
    rows = page.slice(await managers.list_managers(db), lambda manager: [manager.zone_name, manager.instance_id])
    return [ManagerView.model_validate(row) for row in rows]


@manager_router.get("/managers/{manager_id}", dependencies=[requires("managers_view")])
async def get_manager(manager_id: str, db: Db) -> ManagerView:
    """Return one Manager, by its id or instance id."""
    return ManagerView.model_validate(await service.find_manager(db, manager_id))


@manager_router.patch("/managers/{manager_id}")
async def update_manager(
    manager_id: str,
    body: ManagerPatch,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_modify")],
) -> ManagerChanged:
    """Enable or disable a Manager; 409 `last-enabled-manager` if its zone would have no enabled one."""
    return await service.update_manager(db, logs, caller, manager_id, body)


@manager_router.delete("/managers/{manager_id}", status_code=204)
async def delete_manager(
    manager_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("managers_delete")],
    force: Annotated[
        bool, Query(description="also delete a running Manager; it registers again as a new record")
    ] = False,
) -> None:
    """Delete the record of a Manager.

    409 `manager-running` while it runs, `last-enabled-manager` if its zone would have no enabled one.
    """
    await service.delete_manager(db, logs, caller, manager_id, force=force)


zone_router = APIRouter(tags=["zones"])


@zone_router.get("/zones", dependencies=[requires("zones_view")])
async def list_zones(db: Db, page: Paging) -> list[ZoneView]:
    """List all zones by name."""
    rows = page.slice(await zones.list_zones(db), lambda zone: [zone.zone_name])
    return [ZoneView.model_validate(zone) for zone in rows]


@zone_router.post("/zones", status_code=201)
async def create_zone(
    body: ZoneCreate, db: Db, logs: Logs, config: Config, caller: Annotated[Caller, requires("zones_create")]
) -> ZoneView:
    """Create a zone. Managers and Agents join it separately.

    A host that is unknown to the installation needs `settings_modify`, too.
    """
    return ZoneView.model_validate(await service.create_zone(db, logs, caller, body, config=config))


@zone_router.get("/zones/{zone_id}", dependencies=[requires("zones_view")])
async def get_zone(zone_id: UUID, db: Db) -> ZoneView:
    """Return one zone."""
    return ZoneView.model_validate(await zones.get_zone(db, str(zone_id)))


@zone_router.patch("/zones/{zone_id}")
async def update_zone(
    zone_id: UUID,
    body: ZonePatch,
    db: Db,
    logs: Logs,
    config: Config,
    caller: Annotated[Caller, requires("zones_modify")],
) -> ZoneChanged:
    """Change a zone. Sessions keep the Allow Origin Domain and Upstream Auth Address from their creation.

    A host that is unknown to the installation needs `settings_modify`, too.
    """
    return await service.update_zone(db, logs, caller, str(zone_id), body, config=config)


@zone_router.delete("/zones/{zone_id}", status_code=204)
async def delete_zone(zone_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("zones_delete")]) -> None:
    """Delete a zone; 409 while Managers, Agents, sessions or staging configs belong to it."""
    await service.delete_zone(db, logs, caller, str(zone_id))


gateway_router = APIRouter(tags=["gateways"])


@gateway_router.get("/gateways", dependencies=[requires("agents_view")])
async def list_gateways(db: Db, page: Paging) -> list[GatewayView]:
    """List the web gateways that joined with a token.

    Those on the host of an api use the installation's key and are not listed.
    """
    rows = page.slice(
        await enrolment.list_gateways(db), lambda row: [row.zone_name, str(row.registered), row.gateway_id]
    )
    return [GatewayView.model_validate(row) for row in rows]


@gateway_router.get("/gateways/{gateway_id}", dependencies=[requires("agents_view")])
async def get_gateway(gateway_id: UUID, db: Db) -> GatewayView:
    """Return one gateway."""
    return GatewayView.model_validate(await service.get_gateway(db, str(gateway_id)))


@gateway_router.delete("/gateways/{gateway_id}", status_code=204)
async def delete_gateway(
    gateway_id: UUID, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_delete")]
) -> None:
    """Remove a gateway, and revoke its credential. It serves the last known state until its next request is refused."""
    await service.delete_gateway(db, logs, caller, str(gateway_id))
