"""The eviction of staged sessions, which makes room for a session on demand if the zone is full.

Only sessions that are still starting are evicted, because administrators reserve capacity for usable staged sessions.
Replacements for sessions that still exist are evicted first, then the newest sessions. Invariants, tested as
properties: after the eviction, there is room for the launch; there would be no room if one evicted session stayed; all
evicted sessions are on one Agent, which rejects the launch only for lack of room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.placement import Placement, PlacementAgent, PlacementRequest, Rejection, place

WAITING_S: Final = 15.0
"""The time after a refusal for which a user counts as waiting. In this time, the pools of the zone start no sessions in
free room.
"""
MAX_WAITING_S: Final = 60.0
"""The maximum time for which the pools wait for a user who tries repeatedly, because there may never be enough room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingSession:
    """A staged session that is not usable yet, with its reservation: `cores` (offered cores of its Agent) and `memory`
    (bytes). `is_replacement` is True if it replaces a session that still exists.
    """

    session_id: str
    staging_config_id: str
    agent_id: str
    cores: float
    memory: int
    created: datetime
    is_replacement: bool = False


@dataclass(frozen=True, slots=True)
class AgentWithRoom:
    """An Agent for a new session, and the staged sessions that must be evicted there, usually none."""

    agent: PlacementAgent
    evicted: tuple[StartingSession, ...] = ()


def events_of(evicted: Iterable[StartingSession]) -> set[ChangeEvent]:
    """Return the change events for evicted staged sessions."""
    events: set[ChangeEvent] = set()
    for session in evicted:
        events |= session_events(
            session.session_id, agent_id=session.agent_id, staging_config_id=session.staging_config_id
        )
    return events


def agents_large_enough(rejected: Sequence[Rejection], request: PlacementRequest) -> tuple[PlacementAgent, ...]:
    """Return the Agents that have no room now, but would have room for the session without their other sessions."""
    full = [rejection.agent for rejection in rejected if rejection.code == "no_capacity"]
    return tuple(
        agent
        for agent in full
        if _fits(_with_freed_capacity(agent, agent.cores_allocated, agent.memory_allocated), request)
    )


def agents_with_room(
    placement: Placement, request: PlacementRequest, starting: Sequence[StartingSession]
) -> list[AgentWithRoom]:
    """Return the Agents for a user's session in the order to try. The list has evictions only if no Agent has room."""
    if placement.candidates:
        return [AgentWithRoom(agent) for agent in placement.candidates]
    agent = room_after_eviction(placement.rejected, request, starting)
    return [agent] if agent else []


def room_after_eviction(
    rejected: Sequence[Rejection], request: PlacementRequest, starting: Sequence[StartingSession]
) -> AgentWithRoom | None:
    """Return the Agent that needs the fewest evictions; None if no Agent has room without its starting sessions."""
    agents = [
        AgentWithRoom(agent, evicted)
        for agent in agents_large_enough(rejected, request)
        if (
            evicted := _evictions(
                agent, request, [session for session in starting if session.agent_id == agent.agent_id]
            )
        )
        is not None
    ]
    return min(agents, key=lambda each: (len(each.evicted), each.agent.agent_id), default=None)


def _evictions(
    agent: PlacementAgent, request: PlacementRequest, starting: Sequence[StartingSession]
) -> tuple[StartingSession, ...] | None:
    newest_first = sorted(
        starting, key=lambda session: (session.is_replacement, session.created, session.session_id), reverse=True
    )
    selected: list[StartingSession] = []
    for session in newest_first:
        if _fits_without(agent, selected, request):
            break
        selected.append(session)
    if not _fits_without(agent, selected, request):
        return None
    for session in reversed(newest_first):  # An earlier selected session may stay if a later one is larger.
        others = [other for other in selected if other is not session]
        if session in selected and _fits_without(agent, others, request):
            selected = others
    return tuple(selected)


def _fits_without(agent: PlacementAgent, evicted: Sequence[StartingSession], request: PlacementRequest) -> bool:
    freed_cores, freed_memory = sum(each.cores for each in evicted), sum(each.memory for each in evicted)
    return _fits(_with_freed_capacity(agent, freed_cores, freed_memory), request)


def _with_freed_capacity(agent: PlacementAgent, cores: float, memory: int) -> PlacementAgent:
    return replace(
        agent, cores_allocated=agent.cores_allocated - cores, memory_allocated=agent.memory_allocated - memory
    )


def _fits(agent: PlacementAgent, request: PlacementRequest) -> bool:
    return bool(place((agent,), request, "Least Load").candidates)


def placement_reason(chosen: AgentWithRoom, zone_name: str, suffix: str = "") -> str:
    """Return the sentence about the placement of a session. `suffix` is a text about the session that it replaces."""
    placed = f"A new session was placed on {chosen.agent.hostname} in zone {zone_name}{suffix}"
    number = len(chosen.evicted)
    if number == 0:
        return f"{placed}."
    evicted = "a staged session that was" if number == 1 else f"{number} staged sessions that were"
    return f"{placed}, in place of {evicted} not usable yet: launches of users have priority."


def waiting_users_text(number: int) -> str:
    """Return the beginning of a sentence about this number of waiting users."""
    return "1 user waits" if number == 1 else f"{number} users wait"


def waiting_for_room_text(number: int, zone_name: str) -> str | None:
    """Return the beginning of a sentence about users who wait for room; None if no user waits."""
    return f"{waiting_users_text(number)} for room in zone {zone_name}" if number else None
