"""The stage map: zones with their Managers, Agents, pools and sessions, as compact rows.

The fleet is read once for callers that ask at the same time; `Watched.seen_by` then removes what a caller may not see.
The sessions are read for each caller, because the groups of their users can limit them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.deps import Db, FleetReads
from greenroom.api.diagnostics.today_routes import session_scope_of, sight_of
from greenroom.api.fleet.schemas import ClosedView
from greenroom.api.pool.schemas import ShortfallView
from greenroom.api.problems import api_router
from greenroom.api.scopes import LISTED
from greenroom.api.security import Caller, requires_one_of
from greenroom.core.diagnostics.watched import Watched, WatchedManager, WatchedPool
from greenroom.core.fleet.liveness import AgentStatus
from greenroom.db.session.views import MAX_STAGE_SESSIONS, StageSession, list_stage_sessions

router = api_router("diagnostics")

CODES: Final = ("zones_view", "managers_view", "agents_view", "staging_view", "sessions_view")
"""The permissions of the parts of the map."""


class StageZoneView(View):
    """A zone."""

    zone_id: UUID
    zone_name: str


class StageManagerView(View, row=WatchedManager, without={"zone_name", "last_reported", "reason", "disabled_since"}):
    """A Manager."""

    manager_id: UUID
    zone_id: UUID


class StageAgentView(View):
    """An Agent. Sessions reserve the allocated part of its cores and memory (bytes)."""

    agent_id: UUID
    hostname: str
    zone_id: UUID
    status: AgentStatus
    status_reason: str | None
    enabled: bool
    draining: bool
    closed: ClosedView | None
    cores: float
    cores_allocated: float
    memory: int
    memory_allocated: int


class StagePoolView(View, row=WatchedPool, without={"zone_name", "since"}):
    """A pool. `desired` is 0 while it is paused."""

    staging_config_id: UUID
    zone_id: UUID
    image_id: UUID
    shortfall: ShortfallView | None
    refill_problem: ShortfallView | None


class StageSessionView(View, row=StageSession, without={"zone_name"}):
    """A session that has not ended. Without `username`, it is staged."""

    session_id: UUID
    zone_id: UUID
    agent_id: UUID | None
    image_id: UUID
    staging_config_id: UUID | None


class StageMapView(View):
    """The stage map. A part is null if the caller may not see it."""

    zones: Annotated[list[StageZoneView], Field(description="zones of the other parts, too, ordered by name")]
    managers: list[StageManagerView] | None
    agents: list[StageAgentView] | None
    pools: list[StagePoolView] | None
    sessions: Annotated[list[StageSessionView] | None, Field(description="newest first", max_length=MAX_STAGE_SESSIONS)]
    has_more_sessions: Annotated[bool, Field(description="true = the oldest sessions are left out")]


@router.get("/stage-map")
async def get_stage_map(
    db: Db, fleet_reads: FleetReads, caller: Annotated[Caller, requires_one_of(*CODES, scope=LISTED)]
) -> StageMapView:
    """Return the zones with their Managers, Agents, pools and sessions, at most the newest 5,000 sessions.

    The answer has only what the caller may see.
    """
    sight = sight_of(caller)
    seen = (await fleet_reads.get()).seen_by(sight)
    scope = session_scope_of(caller)
    sees_sessions = scope is None or not scope.is_empty
    placed = await list_stage_sessions(db, scope) if sees_sessions else []
    sees = sight.zones
    agents = [
        StageAgentView.of(agent, status=agent.effective.status, status_reason=agent.effective.reason)
        for agent in seen.agents
    ]
    return StageMapView(
        zones=_zones(seen, placed),
        managers=[StageManagerView.model_validate(each) for each in seen.managers] if "managers_view" in sees else None,
        agents=agents if "agents_view" in sees else None,
        pools=[StagePoolView.model_validate(pool) for pool in seen.pools] if "staging_view" in sees else None,
        sessions=[StageSessionView.model_validate(each) for each in placed[:MAX_STAGE_SESSIONS]]
        if sees_sessions
        else None,
        has_more_sessions=len(placed) > MAX_STAGE_SESSIONS,
    )


def _zones(seen: Watched, placed: Iterable[StageSession]) -> list[StageZoneView]:
    """Return the zones that the caller sees, and the zones of all other visible parts."""
    parts = chain(seen.zones, seen.managers, seen.agents, seen.pools, placed)
    names = {part.zone_id: part.zone_name for part in parts}
    return [
        StageZoneView(zone_id=UUID(zone_id), zone_name=name)
        for zone_id, name in sorted(names.items(), key=lambda zone: zone[1])
    ]
