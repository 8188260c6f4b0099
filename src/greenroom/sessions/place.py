"""Place a new session for a user on an Agent of an attempt's zone, in the room of staged ones if needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from greenroom.core.launch.eviction import lacks_only_room, room_reason, rooms
from greenroom.core.launch.placement import Placement, place
from greenroom.core.launch.plan import (
    Attempt,
    LaunchZone,
    TraceStep,
    missed_steps,
    placement_misses,
    room_taken,
    success_step,
)
from greenroom.core.launch.replacement import others_first, without
from greenroom.db.database import Database
from greenroom.db.launch.eviction import read_unready, remember_refused
from greenroom.db.launch.ledger import read_agents
from greenroom.kit.secrets import Secrets
from greenroom.sessions.new_session import new_session
from greenroom.sessions.wanted import Misses, PlacedSession, WantedSession, Writer

PLACEMENT_ROUNDS: Final = 3
"""How often the Agents are read again when others take the room in between."""


async def place_session(
    db: Database,
    secrets: Secrets,
    wanted: WantedSession,
    writer: Writer,
    attempt: Attempt,
    *,
    trace: Sequence[TraceStep],
) -> PlacedSession | Misses:
    """Create a session in the attempt's zone, or say why no Agent takes it; `trace` is that of the search so far."""
    zone, taken = attempt.zone, list[str]()
    for _ in range(PLACEMENT_ROUNDS):
        placement = await _placement(db, wanted, zone)
        unready = [] if placement.candidates else await read_unready(db, zone.zone_id)
        misses = placement_misses(zone, placement, wanted.another_agent)
        found = rooms(placement, wanted.request, unready)
        if not found:
            await _remember_waiting(db, wanted, zone, placement)
            return misses
        for room in found:
            new = new_session(
                secrets,
                wanted.spec_in(zone),
                zone_id=zone.zone_id,
                agent_id=room.agent.agent_id,
                memory=wanted.request.memory,
                permissions=wanted.permissions,
                user=wanted.user,
            )
            reason = wanted.reason_of(room_reason(room, zone.zone_name, wanted.instead))
            steps = (*trace, *missed_steps(attempt, misses), success_step(attempt, room.agent.hostname, reason))
            if await writer.insert(new, room, steps):
                return PlacedSession(
                    session_id=new.session_id,
                    agent_id=new.agent_id,
                    edge_url=room.agent.edge_url,
                    attempt=attempt,
                    reason=reason,
                    steps=steps,
                    yielding=room.yielding,
                )
        taken = [room.agent.hostname for room in found]
    return (room_taken(taken),)


async def _placement(db: Database, wanted: WantedSession, zone: LaunchZone) -> Placement:
    agents = await read_agents(db, zone.zone_id, wanted.request.image)
    placement = place(agents, wanted.request, zone.load_balancing_strategy)
    return others_first(without(placement, wanted.never_on), wanted.last_agent_id)


async def _remember_waiting(db: Database, wanted: WantedSession, zone: LaunchZone, placement: Placement) -> None:
    """Let the zone's pools leave free room alone, if there can be enough for this user."""
    if wanted.keeps_room and lacks_only_room(placement.rejected, wanted.request):
        user_id, image_id = wanted.user.user_id, wanted.image.image_id
        await remember_refused(db, zone_id=zone.zone_id, user_id=user_id, image_id=image_id)
