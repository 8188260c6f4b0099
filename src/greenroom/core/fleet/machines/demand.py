"""Who waits for a machine counts in one zone alone.

A launch asks one zone after the other, and where none has room its user waits in each of them. If each ordered one
for them, all but one would be paid for nothing. So they count in the first zone they tried where a machine that is
there to come has room for them beside those who have waited longer. Every zone finds the same from the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from greenroom.core.launch.placement import AgentView, PlacementRequest, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A user who waits for a workspace. `zone_ids`: where the launch was refused, in the order it tried them."""

    user_id: str
    image_id: str
    request: PlacementRequest
    since: datetime
    zone_ids: tuple[str, ...]


def take_room(hosts: list[AgentView], request: PlacementRequest) -> bool:
    """Put a session on the fullest of the hosts that has room; False = none has."""
    taken = place(hosts, request, "Most Load").candidates
    if not taken:
        return False
    at = next(i for i, host in enumerate(hosts) if host is taken[0])
    hosts[at] = taken[0].with_one_more(request)
    return True


def counted(people: Iterable[Waiting], supply: Mapping[str, Sequence[AgentView]]) -> dict[Waiting, str]:
    """The zone in which each of them counts. `supply`: zone → the empty machines that may still come there, for each
    zone with an enabled pool. Who fits nowhere counts in the first of these, which says what is lacking.
    """
    rooms = {zone_id: list(machines) for zone_id, machines in supply.items()}
    found: dict[Waiting, str] = {}
    for one in sorted(people, key=lambda one: (one.since, one.user_id, one.image_id)):
        tried = [zone_id for zone_id in one.zone_ids if zone_id in rooms] or list(one.zone_ids)
        fitting = (zone_id for zone_id in tried if take_room(rooms.get(zone_id, []), one.request))
        found[one] = next(fitting, tried[0])
    return found
