"""Published calls for zones, Agents and Managers. The rules are those of `/api/v1`."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from greenroom.api.bodies import validated
from greenroom.api.deps import Db
from greenroom.api.fleet import routes
from greenroom.api.fleet.schemas import AgentPatch, ManagerPatch, ManagerView, ZoneCreate, ZonePatch
from greenroom.db.fleet import managers, views, zones
from greenroom.db.fleet.views import AgentRow
from greenroom.interfaces.public.calls import Answer, CallBody, format_time, public_router, requires_key, zone_shape

router = public_router()

TARGET_ZONE: Final = "target_zone"
TARGET_AGENT: Final = "target_agent"
TARGET_MANAGER: Final = "target_manager"
ZONE_FIELDS: Final = tuple(ZonePatch.model_fields)
AGENT_FIELDS: Final = tuple(AgentPatch.model_fields)
_FIXED_ZONE_FIELDS: Final = {"auto_scaling_enabled": False, "prioritize_static_agents": True}
_FIXED_AGENT_FIELDS: Final = {"gpus_override": 0, "auto_prune_images": "Off"}
"""Fields that clients expect, each with the only value that Greenroom supports."""


@router.post("/get_zones")
async def get_zones(db: Db, call: Annotated[CallBody, requires_key("zones_view")]) -> Answer:
    """List all zones; with `brief` only their ids and names."""
    brief = call.flag("brief")
    return {"zones": [zone_shape(zone, brief=brief) for zone in await zones.list_zones(db)]}


@router.post("/create_zone")
async def create_zone(db: Db, call: Annotated[CallBody, requires_key("zones_create")]) -> Answer:
    """Create a zone. Managers and Agents join it separately."""
    body = validated(ZoneCreate, _zone_fields(call.nested(TARGET_ZONE)))
    zone = await routes.create_zone(body, call.change)
    return {"zone": zone_shape(await zones.get_zone(db, str(zone.zone_id)))}


@router.post("/update_zone")
async def update_zone(db: Db, call: Annotated[CallBody, requires_key("zones_modify")]) -> Answer:
    """Change a zone. Omitted and null fields keep their values."""
    zone_id = call.nested(TARGET_ZONE).id("zone_id")
    body = validated(ZonePatch, _zone_fields(call.nested(TARGET_ZONE)))
    await routes.update_zone(UUID(zone_id), body, call.change)
    return {"zone": zone_shape(await zones.get_zone(db, zone_id))}


@router.post("/delete_zone")
async def delete_zone(call: Annotated[CallBody, requires_key("zones_delete")]) -> Answer:
    """Delete a zone without Managers, Agents, sessions and staging configs."""
    await routes.delete_zone(UUID(call.nested(TARGET_ZONE).id("zone_id")), call.change)
    return {}


@router.post("/get_agents", dependencies=[requires_key("agents_view")])
async def get_agents(db: Db) -> Answer:
    """List all Agents."""
    return {"agents": [_agent_shape(agent) for agent in (await views.list_agents(db)).rows]}


@router.post("/get_agent")
async def get_agent(db: Db, call: Annotated[CallBody, requires_key("agents_view")]) -> Answer:
    """Return one Agent."""
    return {"agent": _agent_shape(await routes.find_agent(db, call.nested(TARGET_AGENT).id("agent_id")))}


@router.post("/get_agent_report", dependencies=[requires_key("agents_view")])
async def get_agent_report(db: Db) -> Answer:
    """Return the status of each Agent, and the usage of its host."""
    return {"agent_report": [_report_shape(agent) for agent in (await views.list_agents(db)).rows]}


@router.post("/update_agent")
async def update_agent(db: Db, call: Annotated[CallBody, requires_key("agents_modify")]) -> Answer:
    """Enable or disable an Agent, or change its capacity. An override of 0 means the capacity of the host."""
    target = call.nested(TARGET_AGENT)
    target.require_fixed_values(_FIXED_AGENT_FIELDS, "Agents have no GPUs and do not prune images")
    body = validated(AgentPatch, target.sent(*AGENT_FIELDS))
    agent = await routes.update_agent(target.id("agent_id"), body, call.change)
    return {"agent": _agent_shape(await routes.find_agent(db, str(agent.agent_id)))}


@router.post("/delete_agent")
async def delete_agent(call: Annotated[CallBody, requires_key("agents_delete")]) -> Answer:
    """Delete an Agent. Refused if the Agent has sessions, unless it is gone and `force` is set."""
    await routes.delete_agent(call.nested(TARGET_AGENT).id("agent_id"), call.change, force=call.flag("force"))
    return {}


@router.post("/get_managers", dependencies=[requires_key("managers_view")])
async def get_managers(db: Db) -> Answer:
    """List all Managers."""
    return {"managers": [_manager_shape(ManagerView.model_validate(each)) for each in await managers.list_managers(db)]}


@router.post("/update_manager")
async def update_manager(call: Annotated[CallBody, requires_key("managers_modify")]) -> Answer:
    """Enable or disable a Manager."""
    target = call.nested(TARGET_MANAGER)
    body = validated(ManagerPatch, target.sent("enabled"))
    return {"manager": _manager_shape(await routes.update_manager(target.id("manager_id"), body, call.change))}


def _zone_fields(target: CallBody) -> Answer:
    """Return the sent fields of a zone, as in `/api/v1`. Clients can also send `load_strategy` in place of
    `load_balancing_strategy`, and values with underscores, such as `most_kasms`.
    """
    target.require_fixed_values(_FIXED_ZONE_FIELDS, "machine pools (/api/v1/machine-pools) order machines")
    fields = target.sent(*ZONE_FIELDS)
    if strategy := target.text("load_balancing_strategy") or target.text("load_strategy"):
        fields["load_balancing_strategy"] = strategy.replace("_", " ").title()
    return fields


def _agent_shape(agent: AgentRow) -> Answer:
    return {
        "agent_id": agent.agent_id,
        "server_id": agent.agent_id,
        "hostname": agent.hostname,
        "status": agent.status,
        "enabled": agent.enabled,
        "draining": agent.draining,
        "zone_id": agent.zone_id,
        "zone_name": agent.zone_name,
        "manager_id": agent.manager_id,
        "created": format_time(agent.registered),
        "last_reported": format_time(agent.last_reported),
        "cores": agent.cores,
        "memory": agent.memory,
        "gpus": 0,
        "cores_override": agent.cores_override or 0,
        "memory_override": agent.memory_override or 0,
        "cores_allocated": agent.cores_allocated,
        "memory_allocated": agent.memory_allocated,
        "kasms": agent.sessions,
        **_FIXED_AGENT_FIELDS,
    }


def _report_shape(agent: AgentRow) -> Answer:
    """Return the report of an Agent. The usage of its host is null until the first check-in of the Agent."""
    used = agent.memory_used
    return {
        "name": agent.hostname,
        "server_id": agent.agent_id,
        "zone_name": agent.zone_name,
        "health": agent.status,
        "kasms": agent.sessions,
        "cpu_percent": None if agent.cpu_used is None else round(100 * agent.cpu_used, 1),
        "memory_total": agent.memory_reported,
        "memory_used": used,
        "memory_free": None if used is None else max(agent.memory_reported - used, 0),
        "disk_space": None,
        "disk_space_used": None,
        "disk_space_free": None,
    }


def _manager_shape(view: ManagerView) -> Answer:
    """Return a Manager as in `/api/v1`, with dates in the published format."""
    return view.model_dump(mode="json", include=set(ManagerView.model_fields)) | {
        "manager_hostname": view.hostname,
        "first_reported": format_time(view.first_reported),
        "last_reported": format_time(view.last_reported),
    }
