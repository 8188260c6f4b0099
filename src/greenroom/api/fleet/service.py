"""Agents, Managers, zones and gateways by name, and their changes. Each change is on behalf of a caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from greenroom.api.diagnostics.audit import audit
from greenroom.api.fleet.schemas import (
    AgentPatch,
    ManagerChanged,
    ManagerPatch,
    ZoneChanged,
    ZoneCreate,
    ZonePatch,
)
from greenroom.api.security import Caller
from greenroom.core.errors import Forbidden, NotFound, found
from greenroom.core.events import ChangeEvent, Topic
from greenroom.core.fleet.addresses import foreign_hosts
from greenroom.core.fleet.liveness import unattended
from greenroom.core.log_codes import LogCode
from greenroom.core.pool.shortfalls import emptied
from greenroom.core.workspace.spec_builder import REQUEST_HOST
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.fleet import agents, enrolment, managers, views, zones
from greenroom.db.fleet.views import read_ways, settle_edge
from greenroom.db.fleet.zones import ListedZone, ZoneSettings
from greenroom.db.pool import configs
from greenroom.db.rows import values_of
from greenroom.kit.config import ApiConfig

_OVERRIDES: Final = ("cores_override", "memory_override")
_ADDRESSES: Final = ("proxy_hostname", "upstream_auth_address", "allow_origin_domain")
"""The fields of a zone that receive viewers' tokens and Agents' credentials, or whose pages may open streams."""
_SHOWN: Final = ("enabled", "draining", *_OVERRIDES, "edge_url", "edge_url_requested")


async def find_agent(db: Database, name: str) -> views.AgentRow:
    """Return an Agent by its id, the first 8 digits of its id, or its hostname.

    Raises:
        NotFound: there is none, or several have this hostname.
    """
    agent_ids = await views.find_agents(db, name.replace("\0", ""))
    if len(agent_ids) > 1:
        ids = ", ".join(agent_id[:8] for agent_id in agent_ids)
        raise NotFound(f"{len(agent_ids)} Agents have the name {name}; use an id instead: {ids}.")
    rows = (await views.list_agents(db, agent_ids[0])).rows if agent_ids else []
    return found(next(iter(rows), None), "Agent", name)


async def update_agent(db: Database, logs: LogWriter, caller: Caller, name: str, body: AgentPatch) -> views.AgentRow:
    """Change an Agent. An override of null becomes 0; `edge_url` selects the address to use."""
    before = await find_agent(db, name)
    changes = body.sent()
    if (edge_url := changes.pop("edge_url", None)) is not None:
        await settle_edge(db, before.agent_id, edge_url)
    changes |= {name: 0 for name in _OVERRIDES if name in changes and changes[name] is None}
    await agents.update_agent(db, before.agent_id, **changes)
    after = await find_agent(db, before.agent_id)
    old, new = ({name: getattr(agent, name) for name in _SHOWN} for agent in (before, after))
    audit(logs, caller, LogCode.AGENT_CHANGED, after.hostname, before=old, after=new, zone_name=after.zone_name)
    return after


async def revoke_credential(db: Database, logs: LogWriter, caller: Caller, name: str) -> None:
    """Revoke the credential of an Agent."""
    agent = await find_agent(db, name)
    await agents.revoke_credential(db, agent.agent_id)
    audit(logs, caller, LogCode.AGENT_CREDENTIAL_DELETED, f"of {agent.hostname}", zone_name=agent.zone_name)


async def delete_agent(db: Database, logs: LogWriter, caller: Caller, name: str, *, force: bool) -> None:
    """Delete an Agent. If it has sessions, that needs `force`, and the Agent must be gone."""
    agent = await find_agent(db, name)
    await agents.delete_agent(db, agent.agent_id, force=force)
    zone = agent.zone_name
    audit(logs, caller, LogCode.AGENT_DELETED, agent.hostname, before={"zone_name": zone}, zone_name=zone)


async def find_manager(db: Database, name: str) -> managers.ListedManager:
    """Return a Manager by its id or instance id.

    Raises:
        NotFound: there is none.
    """
    manager_id = await managers.find_manager(db, name.replace("\0", ""))
    rows = await managers.list_managers(db, manager_id) if manager_id else []
    return found(next(iter(rows), None), "Manager", name)


async def update_manager(
    db: Database, logs: LogWriter, caller: Caller, name: str, body: ManagerPatch
) -> ManagerChanged:
    """Enable or disable a Manager. The answer has a warning if no Manager coordinates its zone afterwards."""
    before = await find_manager(db, name)
    change = await managers.set_enabled(db, before.manager_id, body.enabled)
    await db.notify(ChangeEvent(Topic.MANAGERS))
    after = await find_manager(db, before.manager_id)
    old, new = {"enabled": before.enabled}, {"enabled": body.enabled}
    audit(logs, caller, LogCode.MANAGER_CHANGED, after.instance_id, before=old, after=new, zone_name=after.zone_name)
    warning = None if body.enabled else unattended(change.zone_name, change.others, change.running_others)
    return ManagerChanged.of(after, warning=warning)


async def delete_manager(db: Database, logs: LogWriter, caller: Caller, name: str, *, force: bool) -> None:
    """Delete the record of a Manager. A running one needs `force`."""
    manager = await find_manager(db, name)
    await managers.delete_manager(db, manager.manager_id, force=force)
    await db.notify(ChangeEvent(Topic.MANAGERS))
    zone = manager.zone_name
    audit(logs, caller, LogCode.MANAGER_DELETED, manager.instance_id, before={"zone_name": zone}, zone_name=zone)


async def create_zone(
    db: Database, logs: LogWriter, caller: Caller, body: ZoneCreate, *, config: ApiConfig
) -> ListedZone:
    """Create a zone.

    Raises:
        Forbidden: it names a host that is unknown to the installation, and the caller may not change its settings.
    """
    is_foreign = await _has_foreign_host(db, caller, body.model_dump(), {}, config)
    async with db.transaction() as connection:
        zone_id = await zones.insert_zone(connection, ZoneSettings(**body.model_dump()))
    zone = await zones.get_zone(db, zone_id)
    name = zone.zone_name
    after = values_of(ZoneSettings, zone)
    audit(logs, caller, LogCode.ZONE_CREATED, name, after=after, zone_name=name)
    if is_foreign:
        addresses = {field: after[field] for field in _ADDRESSES}
        audit(logs, caller, LogCode.ZONE_ADDRESSES_CHANGED, name, after=addresses, zone_name=name)
    return zone


async def update_zone(
    db: Database, logs: LogWriter, caller: Caller, zone_id: str, body: ZonePatch, *, config: ApiConfig
) -> ZoneChanged:
    """Change a zone. The answer has a warning if nothing can be staged there afterwards.

    Raises:
        Forbidden: it names a host that is unknown to the installation, and the caller may not change its settings.
    """
    async with db.transaction() as connection:
        before = await zones.lock_zone(connection, zone_id)
        is_foreign = await _has_foreign_host(db, caller, body.sent(), values_of(ZoneSettings, before), config)
        await zones.update_zone(connection, replace(before, **body.sent()))
    after = await zones.get_zone(db, zone_id)
    await db.notify(ChangeEvent.zone(after.zone_key))
    old, new = values_of(ZoneSettings, before), values_of(ZoneSettings, after)
    code = LogCode.ZONE_ADDRESSES_CHANGED if is_foreign else LogCode.ZONE_CHANGED
    audit(logs, caller, code, after.zone_name, before=old, after=new, zone_name=after.zone_name)
    return ZoneChanged.of(after, warning=emptied(after.facts, await configs.staged_in_zone(db, zone_id)))


async def _has_foreign_host(
    db: Database, caller: Caller, given: Mapping[str, Any], before: Mapping[str, Any], config: ApiConfig
) -> bool:
    """True if fields of a zone name a host that is new to the installation.

    It would get connect tokens and credentials.

    Raises:
        Forbidden: there is such a host, and the caller may not change the settings of the installation.
    """
    urls = [config.public_url, config.stream_url, *(way.edge_url for way in await read_ways(db))]
    known = [REQUEST_HOST, config.served_hosts, config.gateway_address, *(urlsplit(url).netloc for url in urls)]
    named = {name: given[name] for name in _ADDRESSES if name in given}
    foreign = foreign_hosts(named, before, known)
    if foreign and not caller.may("settings_modify"):
        name, host = next(iter(foreign.items()))
        raise Forbidden(
            f"{name} leads to {host}, which is neither a host that this installation serves nor a confirmed "
            "edge gateway. A user with the permission settings_modify can set it.",
            required=["settings_modify"],
        )
    return bool(foreign)


async def delete_zone(db: Database, logs: LogWriter, caller: Caller, zone_id: str) -> None:
    """Delete a zone without Managers, Agents, sessions and staging configs."""
    zone = await zones.get_zone(db, zone_id)
    async with db.transaction() as connection:
        await zones.delete_zone(connection, zone)
    name = zone.zone_name
    audit(logs, caller, LogCode.ZONE_DELETED, name, before=values_of(ZoneSettings, zone), zone_name=name)


async def get_gateway(db: Database, gateway_id: str) -> enrolment.GatewayRow:
    """Return one web gateway that joined with a token.

    Raises:
        NotFound: there is none.
    """
    rows = await enrolment.list_gateways(db, gateway_id)
    if not rows:
        raise NotFound("There is no such gateway; it may have been removed.")
    return rows[0]


async def delete_gateway(db: Database, logs: LogWriter, caller: Caller, gateway_id: str) -> None:
    """Remove a gateway, and revoke its credential."""
    gateway = await get_gateway(db, gateway_id)
    await enrolment.delete_gateway(db, gateway_id)
    zone = gateway.zone_name
    audit(logs, caller, LogCode.GATEWAY_DELETED, gateway.hostname, before={"zone_name": zone}, zone_name=zone)
