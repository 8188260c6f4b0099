"""Published calls for staging configs, imported lists of workspaces, and reports. The rules are those of `/api/v1`."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

from greenroom.api.bodies import Json, validated
from greenroom.api.catalogue import lists as catalogue_lists
from greenroom.api.catalogue import routes as catalogue_routes
from greenroom.api.catalogue.schemas import CatalogueCreate
from greenroom.api.deps import Db
from greenroom.api.pool import routes
from greenroom.api.pool.schemas import StagingConfigView, StagingCreate, StagingPatch
from greenroom.core.errors import Invalid
from greenroom.db import catalogue as catalogue_rows
from greenroom.db.catalogue import Catalogue
from greenroom.db.fleet import managers, views, zones
from greenroom.db.pool.configs import list_configs
from greenroom.interfaces.public.calls import Answer, CallBody, current_time, format_time, public_router, requires_key
from greenroom.interfaces.public.statements import read_report

router = public_router()

CONFIG_FIELDS: Final = tuple(StagingCreate.model_fields)
TARGET_FIELD: Final = "target_staging_config"


@router.post("/get_staging_configs", dependencies=[requires_key("staging_view")])
async def get_staging_configs(db: Db) -> Answer:
    """List all staging configs."""
    configs = (await list_configs(db)).rows
    return {"staging_configs": [_config_shape(view) for view in await routes.config_views(db, configs)]}


@router.post("/get_staging_config")
async def get_staging_config(db: Db, call: Annotated[CallBody, requires_key("staging_view")]) -> Answer:
    """Return one staging config."""
    return {"staging_config": _config_shape(await routes.get_staging_config(_config_id(call), db))}


@router.post("/create_staging_config")
async def create_staging_config(call: Annotated[CallBody, requires_key("staging_create")]) -> Answer:
    """Create a staging config. Omitted permissions get the values of All Users."""
    body = validated(StagingCreate, _config_fields(call))
    return {"staging_config": _config_shape(await routes.create_staging_config(body, call.change))}


@router.post("/update_staging_config")
async def update_staging_config(call: Annotated[CallBody, requires_key("staging_modify")]) -> Answer:
    """Change a staging config. Omitted and null fields keep their values."""
    body = validated(StagingPatch, _config_fields(call))
    return {"staging_config": _config_shape(await routes.update_staging_config(_config_id(call), body, call.change))}


@router.post("/delete_staging_config")
async def delete_staging_config(call: Annotated[CallBody, requires_key("staging_delete")]) -> Answer:
    """Delete a staging config and its sessions without a user."""
    await routes.delete_staging_config(_config_id(call), call.change)
    return {}


def _config_fields(call: CallBody) -> Json:
    """Return the sent fields of a config. The number of sessions may be a string, because some clients send a
    string."""
    target = call.nested(TARGET_FIELD)
    fields = target.sent(*CONFIG_FIELDS)
    return fields | {"num_sessions": target.number("num_sessions")} if "num_sessions" in fields else fields


def _config_id(call: CallBody) -> UUID:
    return UUID(call.nested(TARGET_FIELD).id("staging_config_id"))


def _config_shape(config: StagingConfigView) -> Answer:
    shown = set(StagingConfigView.model_fields) - {"refill_problem"}
    only_console = {"shortfall": {"needs_action"}}
    return config.model_dump(mode="json", include=shown, exclude=only_console) | {
        "image_id": config.image_id.hex,
        "created": format_time(config.created),
        "next_try": format_time(config.next_try),
    }


@router.post("/get_registries", dependencies=[requires_key("catalogues_view")])
async def get_registries(db: Db) -> Answer:
    """List the imported lists of workspaces."""
    catalogues = (await catalogue_rows.list_catalogues(db)).rows
    return {"registries": [_registry_shape(catalogue) for catalogue in catalogues]}


@router.post("/create_registry")
async def create_registry(call: Annotated[CallBody, requires_key("catalogues_create")]) -> Answer:
    """Add a list of workspaces and read the list. Without `name`, the name of the list is derived from its host."""
    address = call.text("registry")
    if call.text("channel"):
        raise Invalid("Lists of workspaces have no channels. Omit channel, or set it to the address of the list.")
    name = call.text("name") or _name_from_host(address)
    body = validated(CatalogueCreate, {"name": name, "list_url": address})
    return {"registry": _registry_shape(await catalogue_lists.add_catalogue(call.change, body))}


@router.post("/delete_registry")
async def delete_registry(call: Annotated[CallBody, requires_key("catalogues_delete")]) -> Answer:
    """Delete a list of workspaces. The workspaces that were added from the list remain."""
    await catalogue_routes.delete_catalogue(UUID(call.id("registry_id")), call.change)
    return {}


def _name_from_host(address: str) -> str:
    """Return a name for the list at an address: the host without invalid characters. The name can be empty."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:63]


def _registry_shape(catalogue: Catalogue) -> Answer:
    return {
        "registry_id": catalogue.catalogue_id,
        "registry_url": catalogue.list_url,
        "name": catalogue.name,
        "channel": None,
        "num_images": catalogue.entries,
        "error": catalogue.error or None,
        "last_read": format_time(catalogue.looked),
        "created": format_time(catalogue.created),
    }


DAY_S: Final = 86_400.0
MAX_DELTA_S: Final = 10 * 366 * DAY_S
"""The longest period of a report."""


@router.post("/get_report")
async def get_report(db: Db, call: Annotated[CallBody, requires_key("system_view")]) -> Answer:
    """Return the number that the report `name` counts in the last `delta` seconds (by default one day)."""
    return {"data": await read_report(db, call.text("name"), _delta_s(call))}


@router.post("/system_info", dependencies=[requires_key("system_view")])
async def system_info(db: Db) -> Answer:
    """Return the version, the numbers of zones, Managers, Agents and sessions, and the total capacity of the Agents."""
    agents = (await views.list_agents(db)).rows
    return {
        "current_time": current_time(),
        "system_info": {
            "version": version("greenroom"),
            "zones": len(await zones.list_zones(db)),
            "managers": len(await managers.list_managers(db)),
            "agents": len(agents),
            "kasms": sum(agent.sessions for agent in agents),
            "cores": sum(agent.cores for agent in agents),
            "cores_allocated": sum(agent.cores_allocated for agent in agents),
            "memory": sum(agent.memory for agent in agents),
            "memory_allocated": sum(agent.memory_allocated for agent in agents),
        },
    }


def _delta_s(call: CallBody) -> float:
    value = call.body.get("delta")
    try:
        seconds = DAY_S if value in (None, "") else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid("delta must be a number of seconds.") from error
    if not 0 <= seconds <= MAX_DELTA_S:
        raise Invalid("delta must be a number of seconds, of ten years at most.")
    return seconds
