"""Which staged sessions yield to a session on demand when the zone is full.

Only sessions that are not usable yet yield: Desired is an administrator's reservation. Early replacements go first,
then the newest. Invariants, tested as properties: the launch fits afterwards; without any one of the evicted it would
not; all are on one Agent, which lacks nothing but room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from greenroom.core.events import ChangeEvent, session_events
from greenroom.core.launch.placement import Placement, PlacementAgent, PlacementRequest, Rejection, place

WAITING_S: Final = 15.0
"""After a refusal the user is taken to wait this long, and the zone's pools leave free room alone."""
MAX_WAITING_S: Final = 60.0
"""A user who tries again and again holds up the pools no longer than this: the session may never fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """A staged session that is not usable yet; it reserves `cores` (of the Agent's offer) and `memory` (bytes)."""

    session_id: str
    staging_config_id: str
    agent_id: str
    cores: float
    memory: int
    created: datetime
    is_replacement: bool = False
    """It is to replace one that still exists."""


@dataclass(frozen=True, slots=True)
class Room:
    """An Agent for a new session, and the sessions that yield to it there; mostly none."""

    agent: PlacementAgent
    yielding: tuple[Unready, ...] = ()


def events_of(yielding: Iterable[Unready]) -> set[ChangeEvent]:
    """That these staged sessions make room."""
    events: set[ChangeEvent] = set()
    for gone in yielding:
        events |= session_events(gone.session_id, agent_id=gone.agent_id, staging_config_id=gone.staging_config_id)
    return events


def lacks_only_room(rejected: Sequence[Rejection], request: PlacementRequest) -> tuple[PlacementAgent, ...]:
    """The Agents that would take the session if they were empty."""
    full = [rejection.agent for rejection in rejected if rejection.code == "no_capacity"]
    return tuple(
        agent for agent in full if _fits(_emptied(agent, agent.cores_allocated, agent.memory_allocated), request)
    )


def rooms(placement: Placement, request: PlacementRequest, unready: Sequence[Unready]) -> list[Room]:
    """Where a user's new session can go, in the order to try; sessions yield only if no Agent has room."""
    if placement.candidates:
        return [Room(agent) for agent in placement.candidates]
    room = make_room(placement.rejected, request, unready)
    return [room] if room else []


def make_room(rejected: Sequence[Rejection], request: PlacementRequest, unready: Sequence[Unready]) -> Room | None:
    """Where the fewest have to yield; None where even all of them would not make enough room."""
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
    for session in reversed(newest_first):  # some may stay if a later one was larger
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
    """Why the new session is where it is, as a sentence; `instead` is inserted where it replaces another one."""
    placed = f"A new session was placed on {room.agent.hostname} in zone {zone_name}{instead}"
    if not room.yielding:
        return f"{placed}."
    whose = (
        "a staged session that was" if len(room.yielding) == 1 else f"{len(room.yielding)} staged sessions that were"
    )
    return f"{placed}, in the room of {whose} not usable yet: people go first."


def people_wait(number: int) -> str:
    """That so many users wait, as the beginning of a sentence."""
    return "1 person waits" if number == 1 else f"{number} people wait"


def people_waiting(number: int, zone_name: str) -> str | None:
    """That users wait for room, as the beginning of a sentence; None if no user does."""
    return f"{people_wait(number)} for room in zone {zone_name}" if number else None
