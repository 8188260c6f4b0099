"""Who waits for a machine in a zone, and what machines may still come (`core.fleet.machines.demand`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.fleet.machines.demand import Waiting, counted
from greenroom.core.fleet.machines.model import MachinePool, Want
from greenroom.core.launch.eviction import people_wait
from greenroom.core.launch.placement import AgentView, session_of
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.database import Connection, rows_as
from greenroom.db.launch.eviction import STILL_WAITING, waiting
from greenroom.db.workspace.images import IMAGE_FACTS

MOST_PEOPLE: Final = 1000
"""Who waits longest is looked at; the others are later."""
MOST_MACHINES: Final = 20
"""Of one pool that are counted on at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    user_id: str
    image_id: str
    image: ImageFacts
    since: datetime
    zone_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Supply:
    zone_id: str
    zone_name: str
    machine_pool_id: str
    enabled: bool
    cores: float
    memory: int
    number: int


# A launch asks one zone after the other: the order of its refusals is that in which it tried them.
_PEOPLE: Final[LiteralString] = (
    "SELECT w.user_id::text, w.image_id::text, w.since, w.zone_ids, "
    + IMAGE_FACTS
    + " AS image FROM (SELECT w.user_id, w.image_id, min(w.since) AS since,"
    " array_agg(w.zone_id::text ORDER BY w.since, w.zone_id) AS zone_ids"
    + STILL_WAITING
    + " GROUP BY w.user_id, w.image_id) w JOIN images i USING (image_id) ORDER BY w.since, w.user_id LIMIT %(most)s"
)
# What has just joined has room for those who ask again within a moment. A provider that fails is not counted on.
_SUPPLY: Final[LiteralString] = """
SELECT z.zone_id::text, z.zone_name, p.machine_pool_id::text, p.enabled, p.cores, p.memory,
       CASE WHEN p.call_failures > 0 THEN 0 WHEN p.next_try > clock_timestamp() THEN o.coming
            ELSE o.coming + greatest(0, p.max_machines - o.open) END AS number
  FROM machine_pools p JOIN zones z USING (zone_id), LATERAL (
       SELECT count(*) AS open, count(*) FILTER (WHERE state IN ('ordered', 'created', 'draining')
              OR state = 'joined' AND changed > clock_timestamp() - make_interval(secs => %(waiting_s)s)) AS coming
         FROM machine_orders WHERE machine_pool_id = p.machine_pool_id AND state <> 'ended') o
 WHERE p.deleted IS NULL ORDER BY p.zone_id, p.name
"""


async def read_people(
    connection: Connection, zone_id: str, pools: Sequence[MachinePool], overcommit: float
) -> tuple[list[Want], list[str]]:
    """What people lack who count in this zone, and a sentence for those who wait here and count elsewhere. `pools` are
    the zone's, as they are planned.
    """
    params = {**waiting(zone_id), "most": MOST_PEOPLE}
    people = rows_as(_Person, await (await connection.execute(_PEOPLE, params)).fetchall())
    if not any(zone_id in person.zone_ids for person in people):
        return [], []
    supplies = rows_as(_Supply, await (await connection.execute(_SUPPLY, params)).fetchall())
    planned = {pool.machine_pool_id for pool in pools if not pool.closed}
    supply = defaultdict[str, list[AgentView]](list)
    for one in supplies:
        if one.enabled or one.machine_pool_id in planned:
            supply[one.zone_id] += _machines(one, overcommit)
    names = {one.zone_id: one.zone_name for one in supplies}
    images = {person.image_id: person.image for person in people}
    here = defaultdict[str, list[Waiting]](list)
    there = defaultdict[tuple[str, str], int](int)
    for one, counts_in in counted(map(_waiting, people), supply).items():
        if counts_in == zone_id:
            here[one.image_id].append(one)
        elif zone_id in one.zone_ids:
            there[one.image_id, counts_in] += 1
    wants = [_want(images[image_id], found, zone_id, names) for image_id, found in here.items()]
    sentences = [
        f"{people_wait(number)} for {images[image_id].friendly_name} here as well; zone {names[counts_in]} counts them,"
        " where a machine may come for them first."
        for (image_id, counts_in), number in there.items()
        if counts_in in names
    ]
    return sorted(wants, key=lambda want: want.why), sorted(sentences)


def _waiting(person: _Person) -> Waiting:
    return Waiting(
        user_id=person.user_id,
        image_id=person.image_id,
        request=session_of(person.image),
        since=person.since,
        zone_ids=tuple(person.zone_ids),
    )


def _machines(supply: _Supply, overcommit: float) -> Iterable[AgentView]:
    for number in range(min(supply.number, MOST_MACHINES)):
        yield AgentView(
            agent_id=f"{supply.machine_pool_id} {number}",
            hostname="",
            cores=supply.cores * overcommit,
            overcommit=overcommit,
            memory=supply.memory,
        )


def _want(image: ImageFacts, people: Sequence[Waiting], zone_id: str, names: dict[str, str]) -> Want:
    number = len(people)
    others = sorted({names[z] for one in people for z in one.zone_ids if z != zone_id and z in names})
    also = f", in zone {' and '.join(others)} as well" if others else ""
    return Want(session_of(image), number, f"{people_wait(number)} for {image.friendly_name}{also}")
