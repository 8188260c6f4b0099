"""The input of the plan of a zone's machines: its Agents, unmet demand, waiting users, pools and open orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString

from greenroom.core.fleet.machines.model import (
    ListedMachines,
    MachineOrder,
    MachinePool,
    UnmetDemand,
    WaitingUser,
    ZoneSnapshot,
    zones_of_users,
)
from greenroom.core.launch.eviction import waiting_users_text
from greenroom.core.launch.placement import PlacementAgent, placement_request_of
from greenroom.core.pool.model import config_title
from greenroom.core.workspace.spec_builder import ImageFacts
from greenroom.db.database import Connection, returned_row, rows_as
from greenroom.db.fleet.machine_orders import ADDITIONAL_AGENTS
from greenroom.db.launch.claims import CLAIMABLE_NOW, FRESH_AGENT_S, IS_STARTING
from greenroom.db.launch.on_demand import AGENTS_OF_ZONE, STILL_WAITING, waiting_parameters
from greenroom.db.workspace.images import IMAGE_FACTS

MAX_USERS: Final = 1000
"""The maximum number of waiting users that are read, in the order of their waiting time, longest first."""
MAX_MACHINES: Final = 20
"""The maximum number of future machines of one pool that can serve waiting users in a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitingRow:
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


# `zone_ids` are in the order in which the user's launch tried the zones: one zone after another.
_WAITING_USERS: Final[LiteralString] = (
    f"SELECT w.user_id::text, w.image_id::text, w.since, w.zone_ids, {IMAGE_FACTS}"
    " AS image FROM (SELECT w.user_id, w.image_id, min(w.since) AS since,"
    f" array_agg(w.zone_id::text ORDER BY w.since, w.zone_id) AS zone_ids{STILL_WAITING}"
    " GROUP BY w.user_id, w.image_id) w JOIN images i USING (image_id) ORDER BY w.since, w.user_id LIMIT %(max_users)s"
)
# The machines that each pool is getting or may order. A machine that has just joined is included: waiting users will
# launch on it. If calls of the provider fail, the pool supplies no machine.
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


async def read_waiting_users(
    connection: Connection, zone_id: str, pools: Sequence[MachinePool], overcommit: float
) -> tuple[list[UnmetDemand], list[str]]:
    """Return the unmet demand of the waiting users that this zone counts (`zones_of_users`), and sentences about users
    who wait in this zone but are counted in another zone. `pools` count as enabled unless they are `disabled`."""
    params = {**waiting_parameters(zone_id), "max_users": MAX_USERS}
    users = rows_as(_WaitingRow, await (await connection.execute(_WAITING_USERS, params)).fetchall())
    if not any(zone_id in user.zone_ids for user in users):
        return [], []
    supplies = rows_as(_Supply, await (await connection.execute(_SUPPLY, params)).fetchall())
    planned_pool_ids = {pool.machine_pool_id for pool in pools if not pool.disabled}
    supply = defaultdict[str, list[PlacementAgent]](list)
    for zone_supply in supplies:
        if zone_supply.enabled or zone_supply.machine_pool_id in planned_pool_ids:
            supply[zone_supply.zone_id] += _machines(zone_supply, overcommit)
    zone_names = {zone_supply.zone_id: zone_supply.zone_name for zone_supply in supplies}
    images = {user.image_id: user.image for user in users}
    users_of_image = defaultdict[str, list[WaitingUser]](list)
    users_elsewhere = defaultdict[tuple[str, str], int](int)
    for user, counted_zone in zones_of_users(map(_waiting_user, users), supply).items():
        if counted_zone == zone_id:
            users_of_image[user.image_id].append(user)
        elif zone_id in user.zone_ids:
            users_elsewhere[user.image_id, counted_zone] += 1
    demand = [
        _demand_of_users(images[image_id], waiting_users, zone_id, zone_names)
        for image_id, waiting_users in users_of_image.items()
    ]
    sentences = [
        f"{waiting_users_text(number)} for {images[image_id].friendly_name} in this zone, too; zone "
        f"{zone_names[counted_zone]} counts them and may get a machine first."
        for (image_id, counted_zone), number in users_elsewhere.items()
        if counted_zone in zone_names
    ]
    return sorted(demand, key=lambda unmet: unmet.why), sorted(sentences)


def _waiting_user(row: _WaitingRow) -> WaitingUser:
    return WaitingUser(
        user_id=row.user_id,
        image_id=row.image_id,
        request=placement_request_of(row.image),
        since=row.since,
        zone_ids=tuple(row.zone_ids),
    )


def _machines(supply: _Supply, overcommit: float) -> Iterable[PlacementAgent]:
    for number in range(min(supply.number, MAX_MACHINES)):
        yield PlacementAgent(
            agent_id=f"{supply.machine_pool_id} {number}",
            hostname="",
            cores=supply.cores * overcommit,
            overcommit=overcommit,
            memory=supply.memory,
        )


def _demand_of_users(
    image: ImageFacts, users: Sequence[WaitingUser], zone_id: str, zone_names: dict[str, str]
) -> UnmetDemand:
    number = len(users)
    others = sorted({zone_names[z] for user in users for z in user.zone_ids if z != zone_id and z in zone_names})
    also_text = f", in zone {' and '.join(others)} as well" if others else ""
    return UnmetDemand(
        placement_request_of(image), number, f"{waiting_users_text(number)} for {image.friendly_name}{also_text}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnfilledConfig:
    """A staging config that lacks `number` sessions, because the Agents have no room."""

    staging_config_id: str
    image: ImageFacts
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenOrder(MachineOrder):
    agent_id: str | None
    agent_hostname: str | None


_UNFILLED: Final[LiteralString] = (
    f"SELECT staging_config_id::text, image, number FROM (SELECT c.staging_config_id, {IMAGE_FACTS}"
    " AS image, c.num_sessions - (SELECT count(*) FROM sessions s JOIN agents a USING (agent_id)"
    f" WHERE s.staging_config_id = c.staging_config_id AND {CLAIMABLE_NOW})"
    " - (SELECT count(*) FROM sessions s WHERE s.staging_config_id = c.staging_config_id AND s.user_id IS NULL AND "
    f"{IS_STARTING}) AS number FROM staging_configs c JOIN images i USING (image_id)"
    " WHERE c.zone_id = %(zone_id)s AND c.deleted IS NULL AND NOT c.paused"
    " AND c.shortfall_code IN ('no-capacity', 'no-agent')) unfilled WHERE number > 0 ORDER BY 1"
)
_ORDERS: Final[LiteralString] = f"""
SELECT o.machine_order_id::text, o.machine_pool_id::text, o.state, o.ordered, o.deadline, o.changed,
       o.asked AS requested, o.ref, o.surplus_since, o.next_end, a.agent_id::text, a.hostname AS agent_hostname,
       CASE WHEN o.asked < p.secrets_since AND (o.shown IS NULL OR o.shown <= p.secrets_since) THEN p.secrets_since END
           AS list_unreliable_since,
       (SELECT coalesce(min(b.hostname), '') {ADDITIONAL_AGENTS}) AS other_agent,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted') AS agent_sessions,
       (SELECT count(*) FROM sessions s WHERE s.agent_id = a.agent_id AND s.status <> 'deleted'
           AND s.user_id IS NOT NULL) AS live_sessions
  FROM machine_orders o JOIN machine_pools p USING (machine_pool_id)
  LEFT JOIN agents a ON a.agent_id = o.agent_id OR a.joined_with = o.token_hash
 WHERE p.zone_id = %(zone_id)s AND o.state <> 'ended' ORDER BY o.ordered, o.machine_order_id
"""
_ZONE: Final[LiteralString] = """
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
    return (await returned_row(cursor))["has_pools"]


async def read_snapshot(
    connection: Connection,
    zone_id: str,
    pools: Sequence[MachinePool],
    *,
    listings: Mapping[str, ListedMachines],
    overcommit: float | None = None,
    quiet: bool = False,
) -> ZoneSnapshot:
    """Return the input of the plan of these pools of one zone. `overcommit`: None = the highest value of its Agents.
    `quiet`: the quiet period lasts."""
    params = {"zone_id": zone_id, "image": "", "fresh_s": FRESH_AGENT_S}
    zone = await returned_row(await connection.execute(_ZONE, params))
    cursor = await connection.execute(AGENTS_OF_ZONE, params)
    agents = tuple(replace(agent, image_state="present") for agent in rows_as(PlacementAgent, await cursor.fetchall()))
    unfilled = rows_as(_UnfilledConfig, await (await connection.execute(_UNFILLED, params)).fetchall())
    used_overcommit = overcommit or zone["overcommit"] or DEFAULT_OVERCOMMIT
    demand, other_zone_notes = await read_waiting_users(connection, zone_id, pools, used_overcommit)
    orders = rows_as(_OpenOrder, await (await connection.execute(_ORDERS, params)).fetchall())
    by_id = {agent.agent_id: agent for agent in agents}
    return ZoneSnapshot(
        now=zone["now"],
        zone_name=zone["zone_name"],
        overcommit=used_overcommit,
        agents=agents,
        demands=(*demand, *(_demand_of_config(config, zone["zone_name"]) for config in unfilled)),
        pools=tuple(pools),
        orders=tuple(_order_with_agent(row, by_id) for row in orders),
        listings=listings,
        quiet=quiet,
        other_zone_notes=tuple(other_zone_notes),
    )


def _demand_of_config(config: _UnfilledConfig, zone_name: str) -> UnmetDemand:
    title = config_title(config.image.friendly_name, zone_name, config.staging_config_id)
    sessions = "1 session" if config.number == 1 else f"{config.number} sessions"
    return UnmetDemand(placement_request_of(config.image), config.number, f"the pool {title} lacks {sessions}")


def _order_with_agent(row: _OpenOrder, agents: Mapping[str, PlacementAgent]) -> MachineOrder:
    """Return an open order with its Agent. An Agent that has moved to another zone does not serve this zone, but its
    machine is kept."""
    if row.agent_id is None:
        return row
    moved_agent = PlacementAgent(agent_id=row.agent_id, hostname=row.agent_hostname or "", status="in another zone")
    return replace(row, agent=agents.get(row.agent_id, moved_agent))
