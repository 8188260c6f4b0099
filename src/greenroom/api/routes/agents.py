"""Agents: see, change, drain, delete."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from greenroom.api.audit import audit
from greenroom.api.deps import Db, Logs
from greenroom.api.paging import Paging
from greenroom.api.schemas.infrastructure import AgentPatch, AgentView
from greenroom.api.security import Caller, requires
from greenroom.core.errors import NotFound
from greenroom.db import agents
from greenroom.db.database import Database
from greenroom.db.edges import settle_edge

router = APIRouter(tags=["agents"])

_OVERRIDES: Final = ("cores_override", "memory_override")
_SHOWN: Final = ("enabled", "draining", *_OVERRIDES, "edge_url", "edge_url_requested")


@router.get("/agents", dependencies=[requires("agents_view")])
async def list_agents(db: Db, page: Paging) -> list[AgentView]:
    """All Agents by zone."""
    rows = page.slice(
        await agents.list_agents(db), lambda row: [row["zone_name"], str(row["registered"]), row["agent_id"]]
    )
    return [AgentView.model_validate(row) for row in rows]


@router.get("/agents/{agent_id}", dependencies=[requires("agents_view")])
async def get_agent(agent_id: str, db: Db) -> AgentView:
    """One Agent, by its id, the first 8 digits of it, or its hostname."""
    return AgentView.model_validate(await _agent(db, agent_id))


@router.patch("/agents/{agent_id}")
async def update_agent(
    agent_id: str, body: AgentPatch, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> AgentView:
    """Enable, disable, drain, say what the Agent offers, or where its edge gateway is. Disabled or draining: no new
    sessions. `edge_url` is the address that waits, which is used from then on, or the one in use, which declines it.
    """
    before = await _agent(db, agent_id)
    changes = body.sent()
    if (edge_url := changes.pop("edge_url", None)) is not None:
        await settle_edge(db, before["agent_id"], edge_url)
    changes |= {name: 0 for name in _OVERRIDES if name in changes and changes[name] is None}
    await agents.update_agent(db, before["agent_id"], **changes)
    after = await _agent(db, before["agent_id"])
    old, new = ({name: row[name] for name in _SHOWN} for row in (before, after))
    audit(logs, caller, "changed", "Agent", after["hostname"], before=old, after=new, zone_name=after["zone_name"])
    return AgentView.model_validate(after)


@router.delete("/agents/{agent_id}/credential", status_code=204)
async def revoke_credential(
    agent_id: str, db: Db, logs: Logs, caller: Annotated[Caller, requires("agents_modify")]
) -> None:
    """Make an Agent's credential worthless: it is refused from its next message on, until it joins again."""
    agent = await _agent(db, agent_id)
    await agents.revoke_credential(db, agent["agent_id"])
    audit(logs, caller, "deleted", "Agent credential", f"of {agent['hostname']}", zone_name=agent["zone_name"])


@router.delete("/agents/{agent_id}", status_code=204)
async def delete_agent(
    agent_id: str,
    db: Db,
    logs: Logs,
    caller: Annotated[Caller, requires("agents_delete")],
    force: Annotated[bool, Query(description="end the sessions of an Agent that is gone for good")] = False,
) -> None:
    """Delete an Agent; 409 while it has sessions, unless it is gone and `force` is given."""
    agent = await _agent(db, agent_id)
    await agents.delete_agent(db, agent["agent_id"], force=force)
    zone = agent["zone_name"]
    audit(logs, caller, "deleted", "Agent", agent["hostname"], before={"zone_name": zone}, zone_name=zone)


async def _agent(db: Database, name: str) -> dict[str, Any]:
    found = await agents.find_agents(db, name.replace("\0", ""))
    if len(found) > 1:
        ids = ", ".join(agent_id[:8] for agent_id in found)
        raise NotFound(f"{len(found)} Agents are called {name}; use the id of one: {ids}.")
    rows = await agents.list_agents(db, found[0]) if found else []
    if not rows:
        raise NotFound(f"There is no Agent {name}; it may have been deleted.")
    return rows[0]
