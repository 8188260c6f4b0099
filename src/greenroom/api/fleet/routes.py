"""Zones, Managers, Agents, and web gateways on separate hosts: list, change, enable, disable, drain, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Query

from greenroom.api.bodies import View
from greenroom.api.deps import ChangeDep, Db
from greenroom.api.diagnostics.audit import CallerChange
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
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED, OF_AGENT, OF_GATEWAY, OF_MANAGER, OF_ZONE
from greenroom.api.security import Caller, requires
from greenroom.core.errors import Forbidden, NotFound, require_row
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.addresses import HTTPS_PORT, foreign_hosts
from greenroom.core.fleet.liveness import unattended_zone_warning
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.shortfalls import empty_pools_warning
from greenroom.core.workspace.spec_builder import REQUEST_HOST
from greenroom.db.database import Database
from greenroom.db.fleet import agents, enrollment, managers, views, zones
from greenroom.db.fleet.enrollment import GatewayRow
from greenroom.db.fleet.views import confirm_edge, read_routes
from greenroom.db.fleet.zones import ZoneSettings
from greenroom.db.pool import configs
from greenroom.db.rows import values_of

_OVERRIDE_FIELDS: Final = ("cores_override", "memory_override")
_ADDRESS_FIELDS: Final = ("proxy_hostname", "upstream_auth_address", "allow_origin_domain")
"""The fields of a zone with hosts that get tokens and credentials, or whose pages may open streams."""
_AUDITED_FIELDS: Final = ("enabled", "draining", *_OVERRIDE_FIELDS, "edge_url", "edge_url_requested")

agent_router = api_router("agents")


class GatewayView(View, row=GatewayRow):
    """A web gateway on a separate host."""

    gateway_id: UUID
    zone_id: UUID


@agent_router.get("/agents")
async def list_agents(
    db: Db, page: Paging, caller: Annotated[Caller, requires("agents_view", scope=LISTED)]
) -> list[AgentView]:
    """List all Agents by zone."""
    order = views.BY_ZONE
    rows = await views.list_agents(
        db, zone_ids=caller.ids_in_scope("agents_view", "zone"), after=page.after_row(order), limit=page.limit
    )
    return [AgentView.model_validate(agent) for agent in page.rows(rows, order)]


@agent_router.get("/agents/{agent_id}", dependencies=[requires("agents_view", scope=OF_AGENT)])
async def get_agent(agent_id: str, db: Db) -> AgentView:
    """Return one Agent, by its id, the first 8 digits of its id, or its hostname."""
    return AgentView.model_validate(await find_agent(db, agent_id))


async def find_agent(db: Database, name: str) -> views.AgentRow:
    """Return an Agent by its id, the first 8 digits of its id, or its hostname. Raises NotFound: there is no such
    Agent, or several Agents have this hostname."""
    agent_ids = await views.find_agents(db, name.replace("\0", ""))
    if len(agent_ids) > 1:
        ids = ", ".join(agent_id[:8] for agent_id in agent_ids)
        raise NotFound(f"{len(agent_ids)} Agents have the name {name}; use an id instead: {ids}.")
    rows = (await views.list_agents(db, agent_ids[0])).rows if agent_ids else []
    return require_row(next(iter(rows), None), "Agent", name)


@agent_router.patch("/agents/{agent_id}", dependencies=[requires("agents_modify", scope=OF_AGENT)])
async def update_agent(agent_id: str, body: AgentPatch, change: ChangeDep) -> AgentView:
    """Enable, disable or drain an Agent, or change its capacity or the address of its edge gateway.

    A disabled or draining Agent gets no new sessions. To confirm the address that an Agent requests, set `edge_url` to
    the value of `edge_url_requested`; to decline this address, set `edge_url` to its present value.
    """
    before = await find_agent(change.db, agent_id)
    changes = body.sent_fields()
    if (edge_url := changes.pop("edge_url", None)) is not None:
        await confirm_edge(change.db, before.agent_id, edge_url)
    changes |= {name: 0 for name in _OVERRIDE_FIELDS if name in changes and changes[name] is None}
    await agents.update_agent(change.db, before.agent_id, **changes)
    after = await find_agent(change.db, before.agent_id)
    old, new = ({name: getattr(agent, name) for name in _AUDITED_FIELDS} for agent in (before, after))
    change.audit(LogCode.AGENT_CHANGED, after.hostname, before=old, after=new, zone_name=after.zone_name)
    return AgentView.model_validate(after)


@agent_router.delete(
    "/agents/{agent_id}/credential", status_code=204, dependencies=[requires("agents_modify", scope=OF_AGENT)]
)
async def revoke_credential(agent_id: str, change: ChangeDep) -> None:
    """Revoke the credential of an Agent. Its messages are refused until it joins again."""
    agent = await find_agent(change.db, agent_id)
    await agents.revoke_credential(change.db, agent.agent_id)
    change.audit(LogCode.AGENT_CREDENTIAL_DELETED, f"of {agent.hostname}", zone_name=agent.zone_name)


@agent_router.delete("/agents/{agent_id}", status_code=204, dependencies=[requires("agents_delete", scope=OF_AGENT)])
async def delete_agent(
    agent_id: str,
    change: ChangeDep,
    force: Annotated[bool, Query(description="also end the sessions of an Agent that is missing permanently")] = False,
) -> None:
    """Delete an Agent; 409 while it has sessions, unless it is gone and `force` is set."""
    agent = await find_agent(change.db, agent_id)
    await agents.delete_agent(change.db, agent.agent_id, force=force)
    zone = agent.zone_name
    change.audit(LogCode.AGENT_DELETED, agent.hostname, before={"zone_name": zone}, zone_name=zone)


manager_router = api_router("managers")


@manager_router.get("/managers")
async def list_managers(
    db: Db, page: Paging, caller: Annotated[Caller, requires("managers_view", scope=LISTED)]
) -> list[ManagerView]:
    """List all Managers by zone and instance id."""
    rows = page.slice(
        await managers.list_managers(db, zone_ids=caller.ids_in_scope("managers_view", "zone")),
        lambda manager: [manager.zone_name, manager.instance_id],
    )
    return [ManagerView.model_validate(row) for row in rows]


@manager_router.get("/managers/{manager_id}", dependencies=[requires("managers_view", scope=OF_MANAGER)])
async def get_manager(manager_id: str, db: Db) -> ManagerView:
    """Return one Manager, by its id or instance id."""
    return ManagerView.model_validate(await find_listed_manager(db, manager_id))


async def find_listed_manager(db: Database, name: str) -> managers.ListedManager:
    """Return the Manager with this id or instance id. Raises NotFound: there is no such Manager."""
    manager_id = await managers.find_manager(db, name.replace("\0", ""))
    rows = await managers.list_managers(db, manager_id) if manager_id else []
    return require_row(next(iter(rows), None), "Manager", name)


@manager_router.patch("/managers/{manager_id}", dependencies=[requires("managers_modify", scope=OF_MANAGER)])
async def update_manager(manager_id: str, body: ManagerPatch, change: ChangeDep) -> ManagerChanged:
    """Enable or disable a Manager; 409 `last-enabled-manager` if its zone would have no enabled Manager."""
    before = await find_listed_manager(change.db, manager_id)
    change_result = await managers.set_enabled(change.db, before.manager_id, body.enabled)
    await change.db.notify(ChangeEvent(Topic.MANAGERS))
    after = await find_listed_manager(change.db, before.manager_id)
    old, new = {"enabled": before.enabled}, {"enabled": body.enabled}
    change.audit(LogCode.MANAGER_CHANGED, after.instance_id, before=old, after=new, zone_name=after.zone_name)
    warning = (
        None
        if body.enabled
        else unattended_zone_warning(change_result.zone_name, change_result.others, change_result.running_others)
    )
    return ManagerChanged.of(after, warning=warning)


@manager_router.delete(
    "/managers/{manager_id}", status_code=204, dependencies=[requires("managers_delete", scope=OF_MANAGER)]
)
async def delete_manager(
    manager_id: str,
    change: ChangeDep,
    force: Annotated[
        bool, Query(description="also delete a running Manager; it registers again as a new record")
    ] = False,
) -> None:
    """Delete the record of a Manager.

    409 `manager-running` while it runs, `last-enabled-manager` if its zone would have no enabled Manager.
    """
    manager = await find_listed_manager(change.db, manager_id)
    await managers.delete_manager(change.db, manager.manager_id, force=force)
    await change.db.notify(ChangeEvent(Topic.MANAGERS))
    zone = manager.zone_name
    change.audit(LogCode.MANAGER_DELETED, manager.instance_id, before={"zone_name": zone}, zone_name=zone)


zone_router = api_router("zones")


@zone_router.get("/zones")
async def list_zones(
    db: Db, page: Paging, caller: Annotated[Caller, requires("zones_view", scope=LISTED)]
) -> list[ZoneView]:
    """List all zones by name."""
    rows = page.slice(
        await zones.list_zones(db, caller.ids_in_scope("zones_view", "zone")), lambda zone: [zone.zone_name]
    )
    return [ZoneView.model_validate(zone) for zone in rows]


@zone_router.post("/zones", status_code=201, dependencies=[requires("zones_create")])
async def create_zone(body: ZoneCreate, change: ChangeDep) -> ZoneView:
    """Create a zone. Managers and Agents join it separately.

    A field with a host that is unknown to the installation requires `settings_modify`, too.
    """
    has_foreign_host = await _has_foreign_host(change, body.model_dump(), {})
    async with change.db.transaction() as connection:
        zone_id = await zones.insert_zone(connection, ZoneSettings(**body.model_dump()))
    zone = await zones.get_zone(change.db, zone_id)
    name = zone.zone_name
    after = values_of(ZoneSettings, zone)
    change.audit(LogCode.ZONE_CREATED, name, after=after, zone_name=name)
    if has_foreign_host:
        addresses = {field: after[field] for field in _ADDRESS_FIELDS}
        change.audit(LogCode.ZONE_ADDRESSES_CHANGED, name, after=addresses, zone_name=name)
    return ZoneView.model_validate(zone)


@zone_router.get("/zones/{zone_id}", dependencies=[requires("zones_view", scope=OF_ZONE)])
async def get_zone(zone_id: UUID, db: Db) -> ZoneView:
    """Return one zone."""
    return ZoneView.model_validate(await zones.get_zone(db, str(zone_id)))


@zone_router.patch("/zones/{zone_id}", dependencies=[requires("zones_modify", scope=OF_ZONE)])
async def update_zone(zone_id: UUID, body: ZonePatch, change: ChangeDep) -> ZoneChanged:
    """Change a zone. Sessions keep the Allow Origin Domain and Upstream Auth Address from their creation.

    A field with a host that is unknown to the installation requires `settings_modify`, too.
    """
    async with change.db.transaction() as connection:
        before = await zones.lock_zone(connection, str(zone_id))
        has_foreign_host = await _has_foreign_host(change, body.sent_fields(), values_of(ZoneSettings, before))
        await zones.update_zone(connection, replace(before, **body.sent_fields()))
    after = await zones.get_zone(change.db, str(zone_id))
    await change.db.notify(ChangeEvent.zone(after.zone_key))
    old, new = values_of(ZoneSettings, before), values_of(ZoneSettings, after)
    code = LogCode.ZONE_ADDRESSES_CHANGED if has_foreign_host else LogCode.ZONE_CHANGED
    change.audit(code, after.zone_name, before=old, after=new, zone_name=after.zone_name)
    return ZoneChanged.of(
        after,
        warning=empty_pools_warning(after.facts, await configs.staged_workspaces_of_zone(change.db, str(zone_id))),
    )


async def _has_foreign_host(change: CallerChange, body: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Return True if fields of a zone contain a host or a port that is new to the installation.

    Such an address would receive connect tokens and credentials. Raises Forbidden: there is such an address, and the
    caller may not change the settings of the installation.
    """
    config = change.config
    gateway_urls = ",".join(await managers.read_gateway_urls(change.db)).split(",")
    own = [urlsplit(url) for url in (config.public_url, config.stream_url, *gateway_urls)]
    own.append(urlsplit(f"//{config.gateway_address}"))
    edges = [urlsplit(route.edge_url).netloc for route in await read_routes(change.db)]
    known = [REQUEST_HOST, config.served_hosts, *(url.hostname or "" for url in own), *edges]
    ports = {HTTPS_PORT, *(url.port for url in own if url.port)}
    after, old = {**before, **body}, dict(before)
    for values in (after, old):
        if "proxy_hostname" in values:
            values["proxy_hostname"] = f"{values['proxy_hostname']}:{values['proxy_port']}"
    foreign = foreign_hosts({name: after[name] for name in _ADDRESS_FIELDS}, old, known, ports)
    if foreign and not change.caller.may("settings_modify"):
        name, host = next(iter(foreign.items()))
        raise Forbidden(
            f"{name} leads to {host}, which is neither a host with a port that this installation serves nor a "
            "confirmed edge gateway. A user with the permission settings_modify can set it.",
            required=["settings_modify"],
        )
    return bool(foreign)


@zone_router.delete("/zones/{zone_id}", status_code=204, dependencies=[requires("zones_delete")])
async def delete_zone(zone_id: UUID, change: ChangeDep) -> None:
    """Delete a zone; 409 while Managers, Agents, sessions or staging configs belong to it."""
    zone = await zones.get_zone(change.db, str(zone_id))
    async with change.db.transaction() as connection:
        await zones.delete_zone(connection, zone)
    name = zone.zone_name
    change.audit(LogCode.ZONE_DELETED, name, before=values_of(ZoneSettings, zone), zone_name=name)


gateway_router = api_router("gateways")


@gateway_router.get("/gateways")
async def list_gateways(
    db: Db, page: Paging, caller: Annotated[Caller, requires("agents_view", scope=LISTED)]
) -> list[GatewayView]:
    """List the web gateways that joined with a token.

    Web gateways on the host of an api use the installation's key and are not listed.
    """
    rows = page.slice(
        await enrollment.list_gateways(db, zone_ids=caller.ids_in_scope("agents_view", "zone")),
        lambda row: [row.zone_name, str(row.registered), row.gateway_id],
    )
    return [GatewayView.model_validate(row) for row in rows]


@gateway_router.get("/gateways/{gateway_id}", dependencies=[requires("agents_view", scope=OF_GATEWAY)])
async def get_gateway(gateway_id: UUID, db: Db) -> GatewayView:
    """Return one gateway."""
    return GatewayView.model_validate(await _get_gateway(db, gateway_id))


async def _get_gateway(db: Database, gateway_id: UUID) -> GatewayRow:
    rows = await enrollment.list_gateways(db, str(gateway_id))
    if not rows:
        raise NotFound("There is no such gateway; it may have been removed.")
    return rows[0]


@gateway_router.delete(
    "/gateways/{gateway_id}", status_code=204, dependencies=[requires("agents_delete", scope=OF_GATEWAY)]
)
async def delete_gateway(gateway_id: UUID, change: ChangeDep) -> None:
    """Remove a gateway, and revoke its credential. It continues to serve until its next request is refused."""
    gateway = await _get_gateway(change.db, gateway_id)
    await enrollment.delete_gateway(change.db, gateway.gateway_id)
    zone = gateway.zone_name
    change.audit(LogCode.GATEWAY_DELETED, gateway.hostname, before={"zone_name": zone}, zone_name=zone)
