"""Figures of the installation in the published shape: single ones by name, and what there is of everything."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Final

from fastapi import APIRouter

from greenroom.api.deps import Db
from greenroom.api.published.calls import Answer, Call, now, requires_key
from greenroom.core.errors import Invalid
from greenroom.db.diagnostics.metrics import read_report
from greenroom.db.fleet import managers, views, zones

DAY_S: Final = 86_400.0
MAX_DELTA_S: Final = 10 * 366 * DAY_S

router = APIRouter(include_in_schema=False)


@router.post("/get_report")
async def get_report(db: Db, call: Annotated[Call, requires_key("system_view")]) -> Answer:
    """One figure: `name`, of the last `delta` seconds (a day if left out)."""
    return {"data": await read_report(db, call.text("name"), _delta_s(call))}


@router.post("/system_info", dependencies=[requires_key("system_view")])
async def system_info(db: Db) -> Answer:
    """The version, and what the installation has."""
    agents = (await views.list_agents(db)).rows
    return {
        "current_time": now(),
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


def _delta_s(call: Call) -> float:
    value = call.body.get("delta")
    try:
        seconds = DAY_S if value in (None, "") else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid("delta must be a number of seconds.") from error
    if not 0 <= seconds <= MAX_DELTA_S:
        raise Invalid("delta must be a number of seconds, of ten years at most.")
    return seconds
