"""The session that is sought for a user, and where in a zone a new one can go.

A launch (`core.launch.request`) and a replacement (`sessions.replace`) search in the same way and differ only in these
values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from greenroom.core.access.group_settings import ClientSettings
from greenroom.core.launch.eviction import Room, Unready, lacks_only_room, rooms
from greenroom.core.launch.placement import AgentView, PlacementRequest, place
from greenroom.core.launch.plan import LaunchZone, Miss, placement_misses
from greenroom.core.launch.replacement import others_first, without
from greenroom.core.lease.granted import NewLease
from greenroom.core.session.expiry import Clocks
from greenroom.core.workspace.session_spec import Exec, SessionSpec
from greenroom.core.workspace.spec_builder import ImageFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUser:
    """The user of a session, staged or new, and what it has from the launch. `clocks` begin with it."""

    user_id: str
    launch_id: str | None
    clocks: Clocks
    kasm_url: str = ""
    client_settings: ClientSettings = field(default_factory=dict[str, bool | int | float])
    idempotency_key: str | None = None
    idempotency_body: str | None = None
    lease: NewLease | None = None
    """Written in the transaction that gives them the session."""


class SpecMaker(Protocol):
    """Makes the specification of one session, once its id and its credential are known."""

    def __call__(self, *, session_id: str, credential: str) -> SessionSpec:
        """May raise a GreenroomError."""
        ...


@dataclass(frozen=True, slots=True)
class ZoneRooms:
    """Where a new session can go in a zone, in the order to try, and why the other Agents cannot take it."""

    rooms: Sequence[Room]
    misses: Sequence[Miss]
    room_helps: bool
    """Without room: one of the Agents could take it if it were empty, so pools are to leave free room alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """The session that a user is to get, staged or new."""

    user: SessionUser
    image: ImageFacts
    permissions: Mapping[str, bool]
    assign: Exec
    """What hands a staged one over; `argv` is empty where the workspace has no such command."""
    request: PlacementRequest
    """What a new one needs of an Agent."""
    spec_in: Callable[[LaunchZone], SpecMaker]
    """The specification of a new one in a zone."""
    last_agent_id: str | None = None
    never_on: frozenset[str] = frozenset()
    another_agent: str = "Agent"
    """What a zone without a possible Agent lacks."""
    instead: str = ""
    """Inserted into the sentence that says where the session is from, as is `remark` after it."""
    remark: str = ""
    keeps_room: bool = False
    """Without room, the user waits and asks again: pools leave free room alone, and machines are ordered."""

    def reason_of(self, reason: str) -> str:
        """How the user came to the session, as a sentence for trace and log."""
        return f"{reason} {self.remark}".rstrip()

    def rooms_in(self, zone: LaunchZone, agents: Sequence[AgentView], unready: Sequence[Unready] = ()) -> ZoneRooms:
        """`unready` are the zone's staged sessions that yield if no Agent has room."""
        placed = place(agents, self.request, zone.load_balancing_strategy)
        placement = others_first(without(placed, self.never_on), self.last_agent_id)
        return ZoneRooms(
            rooms=rooms(placement, self.request, unready),
            misses=placement_misses(zone, placement, self.another_agent),
            room_helps=bool(lacks_only_room(placement.rejected, self.request)),
        )
