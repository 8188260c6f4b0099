"""The staged sessions that yield to a session on demand when the zone is full.

Only sessions that are not usable yet yield, because Desired is a reservation of an administrator. Early replacements
yield first, then the newest sessions. Invariants, tested as properties: the launch fits after the eviction; it would
not fit if any evicted session stayed; all evicted sessions are on one Agent, which lacks only room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.placement import Placement, PlacementAgent, PlacementRequest, Rejection, place

WAITING_S: Final = 15.0
"""The time after a refusal for which a user counts as waiting. The pools of the zone then do not use free room."""
MAX_WAITING_S: Final = 60.0
"""The maximum time for which a user who tries repeatedly delays the pools, because the session may never fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """A staged session that is not usable yet. It reserves `cores` (offered cores of its Agent) and `memory` (bytes).

    `is_replacement` is True if it replaces a session that still exists.
    """

    session_id: str
    staging_config_id: str
    agent_id: str
    cores: float
    memory: int
    created: datetime
    is_replacement: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """An Agent for a new session, and the staged sessions that yield to it there; usually none."""

    agent: PlacementAgent
    yielding: tuple[Unready, ...] = ()


def events_of(yielding: Iterable[Unready]) -> set[ChangeEvent]:
    """Return the change events for staged sessions that yield."""
    events: set[ChangeEvent] = set()
    for gone in yielding:
        events |= session_events(gone.session_id, agent_id=gone.agent_id, staging_config_id=gone.staging_config_id)
    return events


def lacks_only_room(rejected: Sequence[Rejection], request: PlacementRequest) -> tuple[PlacementAgent, ...]:
    """Return the Agents that could run the session if they were empty."""
    full = [rejection.agent for rejection in rejected if rejection.code == "no_capacity"]
    return tuple(
        agent for agent in full if _fits(_emptied(agent, agent.cores_allocated, agent.memory_allocated), request)
    )


def rooms(placement: Placement, request: PlacementRequest, unready: Sequence[Unready]) -> list[Room]:
    """Return the Agents for a user's session, in order. Staged sessions yield only if no Agent has room."""
    if placement.candidates:
        return [Room(agent) for agent in placement.candidates]
    room = make_room(placement.rejected, request, unready)
    return [room] if room else []


def make_room(rejected: Sequence[Rejection], request: PlacementRequest, unready: Sequence[Unready]) -> Room | None:
    """Return the Agent on which the fewest sessions must yield; None if all of them would not make enough room."""
    rooms = [
        Room(agent, yielding)
        for agent in lacks_only_room(rejected, request)
        if (yielding := _yielding(agent, request, [u for u in unready if u.agent_id == agent.agent_id])) is not None
    ]
    return min(rooms, key=lambda room: (len(room.yielding), room.agent.agent_id), default=None)


def _yielding(
    agent: PlacementAgent, request: PlacementRequest, unready: Sequence[Unready]
) -> tuple[Unready, ...] | None:
    newest_first = sorted(unready, key=lambda u: (u.is_replacement, u.created, u.session_id), reverse=True)
    chosen: list[Unready] = []
    for session in newest_first:
        if _fits_without(agent, chosen, request):
            break
        chosen.append(session)
    if not _fits_without(agent, chosen, request):
        return None
    for session in reversed(newest_first):  # a chosen session may stay if a session chosen later is larger
        others = [u for u in chosen if u is not session]
        if session in chosen and _fits_without(agent, others, request):
            chosen = others
    return tuple(chosen)


def _fits_without(agent: PlacementAgent, gone: Sequence[Unready], request: PlacementRequest) -> bool:
    return _fits(_emptied(agent, sum(u.cores for u in gone), sum(u.memory for u in gone)), request)


def _emptied(agent: PlacementAgent, cores: float, memory: int) -> PlacementAgent:
    return replace(
        agent, cores_allocated=agent.cores_allocated - cores, memory_allocated=agent.memory_allocated - memory
    )


def _fits(agent: PlacementAgent, request: PlacementRequest) -> bool:
    return bool(place((agent,), request, "Least Load").candidates)


def room_reason(room: Room, zone_name: str, instead: str = "") -> str:
    """Return a sentence for the placement of a session with its reason. `instead`: it replaces another session."""
    placed = f"A new session was placed on {room.agent.hostname} in zone {zone_name}{instead}"
    if not room.yielding:
        return f"{placed}."
    whose = (
        "a staged session that was" if len(room.yielding) == 1 else f"{len(room.yielding)} staged sessions that were"
    )
    return f"{placed}, in place of {whose} not usable yet: launches of users have priority."


def people_wait(number: int) -> str:
    """Return the beginning of a sentence about this number of waiting users."""
    return "1 user waits" if number == 1 else f"{number} users wait"


def people_waiting(number: int, zone_name: str) -> str | None:
    """Return the beginning of a sentence about users who wait for room; None if no user waits."""
    return f"{people_wait(number)} for room in zone {zone_name}" if number else None
