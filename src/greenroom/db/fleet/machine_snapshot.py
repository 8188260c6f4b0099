"""The input of the plan of a zone's machines: its Agents, unmet demand, waiting users, pools and open orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.fleet.machines.demand import WaitingUser, zones_of_users
from greenroom.core.fleet.machines.model import (
    ListedMachines,
    MachineOrder,
    MachinePool,
    UnmetDemand,
    ZoneSnapshot,
)
from greenroom.core.launch.eviction import waiting_users_text
from greenroom.core.launch.placement import PlacementAgent, session_of
from greenroom.core.pool.model import config_title
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.database import Connection, returned, rows_as
from greenroom.db.fleet.machine_orders import OTHER_AGENTS
from greenroom.db.launch.claims import CLAIMABLE_NOW, COMING, FRESH_AGENT_S
from greenroom.db.launch.ledger import AGENTS_OF_ZONE
from greenroom.db.launch.on_demand import STILL_WAITING, waiting
from greenroom.db.workspace.images import IMAGE_FACTS

MOST_PEOPLE: Final = 1000
"""The maximum number of waiting users that are read, those who wait longest first."""
MOST_MACHINES: Final = 20
"""Maximum number of machines of one pool that are counted on at the same time."""


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


# A launch tries one zone after another: the order of its refusals is that of its attempts.
_PEOPLE: Final[LiteralString] = (
    f"SELECT w.user_id::text, w.image_id::text, w.since, w.zone_ids, {IMAGE_FACTS}"
    " AS image FROM (SELECT w.user_id, w.image_id, min(w.since) AS since,"
    f" array_agg(w.zone_id::text ORDER BY w.since, w.zone_id) AS zone_ids{STILL_WAITING}"
    " GROUP BY w.user_id, w.image_id) w JOIN images i USING (image_id) ORDER BY w.since, w.user_id LIMIT %(most)s"
)
# A machine that has just joined has room for users who try again within a moment. A failing provider is not counted on.
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
) -> tuple[list[UnmetDemand], list[str]]:
    """Unmet demand of the users who count in the zone with these `pools`; sentences for those who count elsewhere."""
    params = {**waiting(zone_id), "most": MOST_PEOPLE}
    people = rows_as(_Person, await (await connection.execute(_PEOPLE, params)).fetchall())
    if not any(zone_id in person.zone_ids for person in people):
        return [], []
    supplies = rows_as(_Supply, await (await connection.execute(_SUPPLY, params)).fetchall())
    planned = {pool.machine_pool_id for pool in pools if not pool.closed}
    supply = defaultdict[str, list[PlacementAgent]](list)
    for one in supplies:
        if one.enabled or one.machine_pool_id in planned:
            supply[one.zone_id] += _machines(one, overcommit)
    names = {one.zone_id: one.zone_name for one in supplies}
    images = {person.image_id: person.image for person in people}
    here = defaultdict[str, list[WaitingUser]](list)
    there = defaultdict[tuple[str, str], int](int)
    for one, counts_in in zones_of_users(map(_waiting, people), supply).items():
        if counts_in == zone_id:
            here[one.image_id].append(one)
        elif zone_id in one.zone_ids:
            there[one.image_id, counts_in] += 1
    wants = [_want(images[image_id], found, zone_id, names) for image_id, found in here.items()]
    sentences = [
        f"{waiting_users_text(number)} for {images[image_id].friendly_name} here as well; zone "
        f"{names[counts_in]} counts them and may get a machine first."
        for (image_id, counts_in), number in there.items()
        if counts_in in names
    ]
    return sorted(wants, key=lambda want: want.why), sorted(sentences)


def _waiting(person: _Person) -> WaitingUser:
    return WaitingUser(
        user_id=person.user_id,
        image_id=person.image_id,
        request=session_of(person.image),
        since=person.since,
        zone_ids=tuple(person.zone_ids),
    )


def _machines(supply: _Supply, overcommit: float) -> Iterable[PlacementAgent]:
    for number in range(min(supply.number, MOST_MACHINES)):
        yield PlacementAgent(
            agent_id=f"{supply.machine_pool_id} {number}",
            hostname="",
            cores=supply.cores * overcommit,
            overcommit=overcommit,
            memory=supply.memory,
        )


def _want(image: ImageFacts, people: Sequence[WaitingUser], zone_id: str, names: dict[str, str]) -> UnmetDemand:
    number = len(people)
    others = sorted({names[z] for one in people for z in one.zone_ids if z != zone_id and z in names})
    also = f", in zone {' and '.join(others)} as well" if others else ""
    return UnmetDemand(session_of(image), number, f"{waiting_users_text(number)} for {image.friendly_name}{also}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Short:
    """A staging config that lacks sessions because of missing room."""

    staging_config_id: str
    image: ImageFacts
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenOrder(MachineOrder):
    agent_id: str | None
    agent_hostname: str | None


_SHORT: Final[LiteralString] = (
    f"SELECT staging_config_id::text, image, number FROM (SELECT c.staging_config_id, {IMAGE_FACTS}"
    " AS image, c.num_sessions - (SELECT count(*) FROM sessions s JOIN agents a USING (agent_id)"
    f" WHERE s.staging_config_id = c.staging_config_id AND {CLAIMABLE_NOW})"
    " - (SELECT count(*) FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL AND "
    f"{COMING}) AS number FROM staging_configs c JOIN images i USING (image_id)"
    " WHERE c.zone_id = %(zone_id)s AND c.deleted IS NULL AND NOT c.paused"
    " AND c.shortfall_code IN ('no-capacity', 'no-agent')) short WHERE number > 0 ORDER BY 1"
)
_ORDERS: Final[LiteralString] = f"""
SELECT o.machine_order_id::text, o.machine_pool_id::text, o.state, o.ordered, o.deadline, o.changed, o.asked, o.ref,
       o.surplus_since, o.next_end, a.agent_id::text, a.hostname AS agent_hostname,
       CASE WHEN o.asked < p.secrets_since AND (o.shown IS NULL OR o.shown <= p.secrets_since) THEN p.secrets_since END
           AS doubted,
       (SELECT coalesce(min(b.hostname), '') {OTHER_AGENTS}) AS other_agent,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS agent_sessions,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted'
           AND s.user_id IS NOT NULL) AS live_sessions
  FROM machine_orders o JOIN machine_pools p USING (machine_pool_id)
  LEFT JOIN agents a ON a.agent_id = o.agent_id OR a.joined_with = o.token_hash
 WHERE p.zone_id = %(zone_id)s AND o.state <> 'ended' ORDER BY o.ordered, o.machine_order_id
"""
_NOW: Final[LiteralString] = """
SELECT clock_timestamp() AS now, zone_name,
       (SELECT max(c.overcommit) FROM agents a JOIN agent_capacity c USING (agent_id)
    WHERE a.zone_id = z.zone_id AND a.cores_override IS NULL) AS overcommit FROM zones z WHERE zone_id = %(zone_id)s
"""
DEFAULT_OVERCOMMIT: Final = 16.0
"""The overcommit if no Agent of the zone reports one."""


async def has_pools(connection: Connection, zone_id: str) -> bool:
    """Return True if the zone has machine pools."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT 1 FROM machine_pools WHERE zone_id = %s) AS has_pools", (zone_id,)
    )
    return (await returned(cursor))["has_pools"]


async def read_snapshot(
    connection: Connection,
    zone_id: str,
    pools: Sequence[MachinePool],
    *,
    listings: Mapping[str, ListedMachines],
    overcommit: float | None = None,
    quiet: bool = False,
) -> ZoneSnapshot:
    """The input of the plan of these pools of one zone. `overcommit` None = as its Agents report it."""
    params = {"zone_id": zone_id, "image": "", "fresh_s": FRESH_AGENT_S}
    now = await returned(await connection.execute(_NOW, params))
    cursor = await connection.execute(AGENTS_OF_ZONE, params)
    agents = tuple(replace(agent, image_state="present") for agent in rows_as(PlacementAgent, await cursor.fetchall()))
    short = rows_as(_Short, await (await connection.execute(_SHORT, params)).fetchall())
    offered = overcommit or now["overcommit"] or DEFAULT_OVERCOMMIT
    people, elsewhere = await read_people(connection, zone_id, pools, offered)
    orders = rows_as(_OpenOrder, await (await connection.execute(_ORDERS, params)).fetchall())
    by_id = {agent.agent_id: agent for agent in agents}
    return ZoneSnapshot(
        now=now["now"],
        zone_name=now["zone_name"],
        overcommit=offered,
        agents=agents,
        wants=(*people, *(_of_config(one, now["zone_name"]) for one in short)),
        pools=tuple(pools),
        orders=tuple(_order(row, by_id) for row in orders),
        listings=listings,
        quiet=quiet,
        elsewhere=tuple(elsewhere),
    )


def _of_config(short: _Short, zone_name: str) -> UnmetDemand:
    title = config_title(short.image.friendly_name, zone_name, short.staging_config_id)
    sessions = "1 session" if short.number == 1 else f"{short.number} sessions"
    return UnmetDemand(session_of(short.image), short.number, f"the pool {title} lacks {sessions}")


def _order(row: _OpenOrder, agents: Mapping[str, PlacementAgent]) -> MachineOrder:
    """An open order with its Agent, which serves nothing here, but keeps its machine, if it is in another zone now."""
    if row.agent_id is None:
        return row
    elsewhere = PlacementAgent(agent_id=row.agent_id, hostname=row.agent_hostname or "", status="in another zone")
    return replace(row, agent=agents.get(row.agent_id, elsewhere))
