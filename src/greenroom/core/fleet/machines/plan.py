"""The plan of the machine pools of a zone: the machines to order, to drain, to use again and to release, with reasons.

The demand is the capacity that the zone lacks: for staged sessions, for users who wait, and for the standby capacity
and the schedule of each machine pool. The supply is the capacity of Agents and of ordered machines. A draining machine
is used again before a new machine is ordered. Invariants, tested as properties: a machine with a session, or with an
Agent that did not join with the token of its order, is never released or ended; a pool has at most `max_machines`; a
disabled pool orders nothing; a pool orders nothing while one of its surplus machines drains; repeated plans reach a
stable state; every order and transition has a reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from greenroom.core.fleet.machines import orders as order_rules
from greenroom.core.fleet.machines.model import (
    UNJOINED_STATES,
    Action,
    MachineOrder,
    MachinePlan,
    MachinePool,
    MachinePoolLimits,
    OrderState,
    OrderTransition,
    PlaceOrder,
    PoolReport,
    Surplus,
    UnmetDemand,
    ZoneSnapshot,
    entries_in_force,
    reserve_room,
)
from greenroom.core.launch.placement import TOLERANCE, PlacementAgent, PlacementRequest, cores_text, place
from greenroom.core.text import exact_size

MAX_AT_ONCE: Final = 20
"""The maximum number of orders of one pool in one plan; the other orders follow in the next plan."""
MAX_RESERVED_SESSIONS: Final = 200
"""The maximum number of sessions of one demand in one plan; the other sessions follow in the next plan."""


@dataclass(slots=True)
class _Zone:
    """The capacity of a zone: of Agents, ordered machines and new machines. The plan reserves room for the demand."""

    hosts: list[PlacementAgent]
    """The Agents of the zone; an ordered or new machine counts as an empty Agent."""
    standby_cores: float = 0.0
    """The free capacity that the zone needs: the largest standby capacity of its pools."""
    standby_memory: int = 0
    unmet: list[UnmetDemand] = field(default_factory=list[UnmetDemand])
    """The demand without room in `hosts`."""

    @property
    def free(self) -> tuple[float, int]:
        return sum(host.free_cores for host in self.hosts), sum(host.free_memory for host in self.hosts)

    def reserve(self, demand: UnmetDemand) -> UnmetDemand | None:
        """Reserve room for as many sessions of the demand as possible; return the rest of the demand, or None."""
        for reserved in range(min(demand.number, MAX_RESERVED_SESSIONS)):
            if not reserve_room(self.hosts, demand.request):
                return replace(demand, number=demand.number - reserved)
        return None

    def reserve_all(self, demands: Iterable[UnmetDemand]) -> None:
        self.unmet = [unmet for demand in demands if (unmet := self.reserve(demand)) is not None]


@dataclass(slots=True)
class _Pool:
    """The state of a machine pool while the plan is computed."""

    definition: MachinePool
    limits: MachinePoolLimits
    """The limits of the pool, raised by its schedule."""
    empty_machine: PlacementAgent
    """A new machine of the pool, as an Agent without sessions."""
    orders: list[MachineOrder]
    """The orders that have not ended, after the transitions of `orders.order_actions`."""
    actions: list[Action] = field(default_factory=list[Action])
    placed: int = 0
    """The number of new orders in the plan."""
    reused_order_ids: set[str] = field(default_factory=set[str])
    """The ids of orders whose draining machines the plan uses again."""
    notes: list[str] = field(default_factory=list[str])
    """The reasons why the pool does not meet its demand, for the report."""
    failed: bool = False
    """True if an order of the pool failed in this plan. The pool then orders nothing until a pause has passed."""

    @property
    def existing(self) -> int:
        """The number of machines that exist or may exist. Each of them costs money until it has ended."""
        return len(self.orders) + self.placed

    @property
    def in_use(self) -> int:
        """The number of machines that are not draining or released, including new machines and those used again."""
        kept = {*UNJOINED_STATES, OrderState.JOINED}
        return sum(o.state in kept or o.machine_order_id in self.reused_order_ids for o in self.orders) + self.placed

    @property
    def orders_left(self) -> int:
        """The number of machines that the plan may still order for the pool."""
        return max(0, min(self.limits.max_machines - self.existing, MAX_AT_ONCE - self.placed))


def plan(snapshot: ZoneSnapshot) -> MachinePlan:
    """Return the actions that bring the machine pools of a zone closer to its demand."""
    actions_of_orders: list[Action] = []
    pools: list[_Pool] = []
    for pool in sorted(snapshot.pools, key=lambda pool: (pool.name, pool.machine_pool_id)):
        pool_orders = [order for order in snapshot.orders if order.machine_pool_id == pool.machine_pool_id]
        listing = snapshot.listings.get(pool.machine_pool_id)
        for order in pool_orders:
            actions_of_orders += order_rules.order_actions(order, pool, listing, snapshot.now, quiet=snapshot.quiet)
        actions_of_orders += order_rules.stray_machines(pool, pool_orders, listing)
        transitions = {
            action.machine_order_id: action for action in actions_of_orders if isinstance(action, OrderTransition)
        }
        updated_orders = [
            replace(order, state=transitions[order.machine_order_id].to)
            if order.machine_order_id in transitions
            else order
            for order in pool_orders
        ]
        open_orders = [order for order in updated_orders if order.state is not OrderState.ENDED]
        planned = _pool_with_schedule(snapshot, pool, open_orders)
        planned.failed = any(
            transitions[order.machine_order_id].failed for order in pool_orders if order.machine_order_id in transitions
        )
        pools.append(planned)
    zone = _free_capacity(snapshot, pools)
    zone.reserve_all(snapshot.demands)
    for pool in pools:
        if pool.definition.disabled:
            _drain_disabled(pool)
        else:
            _order_machines(snapshot, pool, zone)
            _drain_surplus(snapshot, pool, zone)
    actions = (*actions_of_orders, *(action for pool in pools for action in pool.actions))
    return MachinePlan(actions, tuple(_report(pool, zone, snapshot.other_zone_notes) for pool in pools))


def _pool_with_schedule(snapshot: ZoneSnapshot, pool: MachinePool, orders: list[MachineOrder]) -> _Pool:
    limits = pool.limits
    entries = entries_in_force(limits.schedule, snapshot.now, limits.order_deadline_s)
    limits = replace(
        limits,
        min_machines=min(limits.max_machines, max([limits.min_machines, *(entry.min_machines for entry in entries)])),
        standby_cores=max([limits.standby_cores, *(entry.standby_cores for entry in entries)]),
        standby_memory=max([limits.standby_memory, *(entry.standby_memory for entry in entries)]),
    )
    return _Pool(pool, limits, _empty_machine(snapshot, pool, orders), orders)


def _empty_machine(snapshot: ZoneSnapshot, pool: MachinePool, orders: Sequence[MachineOrder]) -> PlacementAgent:
    """Return a new machine of the pool as an Agent without sessions. It has the size that the pool declares, but not
    more than the smallest capacity that a joined machine offers.

    A joined machine offers less memory than declared, because its kernel reserves some. Without this rule, machines
    would be ordered again and again for a session that needs the declared size.
    """
    joined_agents = [
        order.agent for order in orders if order.agent and order.agent.cores > 0 and order.agent.memory > 0
    ]
    return PlacementAgent(
        agent_id="",
        hostname=f"a machine of pool {pool.name}",
        cores=min([pool.limits.cores * snapshot.overcommit, *(agent.cores for agent in joined_agents)]),
        overcommit=snapshot.overcommit,
        memory=min([pool.limits.memory, *(agent.memory for agent in joined_agents)]),
    )


def _free_capacity(snapshot: ZoneSnapshot, pools: Sequence[_Pool]) -> _Zone:
    """Return the capacity of Agents that accept sessions and of ordered machines, without draining machines, released
    machines and machines of disabled pools."""
    leaving = {
        order.agent.agent_id
        for pool in pools
        for order in pool.orders
        if order.agent and (pool.definition.disabled or order.state in (OrderState.DRAINING, OrderState.RELEASING))
    }
    hosts = [agent for agent in snapshot.agents if agent.closed is None and agent.agent_id not in leaving]
    for pool in pools:
        if not pool.definition.disabled:
            hosts += [
                replace(pool.empty_machine, agent_id=order.machine_order_id)
                for order in pool.orders
                if order.state in UNJOINED_STATES
            ]
    enabled = [pool.limits for pool in pools if not pool.definition.disabled]
    return _Zone(
        hosts,
        max((limits.standby_cores for limits in enabled), default=0.0),
        max((limits.standby_memory for limits in enabled), default=0),
    )


def _drain_disabled(pool: _Pool) -> None:
    for order in pool.orders:
        if order.state is OrderState.JOINED:
            why = f"pool {pool.definition.name} is disabled, and its machines are released after their last session"
            pool.actions.append(OrderTransition(order.machine_order_id, OrderState.DRAINING, why))


def _order_machines(snapshot: ZoneSnapshot, pool: _Pool, zone: _Zone) -> None:
    still_unmet: list[UnmetDemand] = []
    for demand in zone.unmet:
        if (too_small_reason := _too_small_reason(pool, demand.request)) is not None:
            pool.notes.append(f"{demand.why}, and the machines of this pool are too small: {too_small_reason}")
            still_unmet.append(demand)
            continue
        remaining: UnmetDemand | None = demand
        while remaining is not None and _add_machine(snapshot, pool, zone, f"{demand.why}, and there is no room"):
            remaining = zone.reserve(remaining)
        if remaining is not None:
            still_unmet.append(remaining)
    zone.unmet = still_unmet
    missing_machines = pool.limits.min_machines - pool.in_use
    noun = "machine" if pool.limits.min_machines == 1 else "machines"
    for _ in range(max(0, missing_machines)):
        _add_machine(snapshot, pool, zone, f"at least {pool.limits.min_machines} {noun} must exist at this time")
    while (why := _standby_reason(pool, zone)) and _add_machine(snapshot, pool, zone, why):
        pass


def _too_small_reason(pool: _Pool, request: PlacementRequest) -> str | None:
    """Return the reason why a new machine of the pool has no room for such a session; None if it has room."""
    return next((rejection.reason for rejection in place((pool.empty_machine,), request, "Least Load").rejected), None)


def _standby_reason(pool: _Pool, zone: _Zone) -> str:
    """Return the reason why the standby capacity needs one more machine; empty if it needs none."""
    limits, (cores, memory) = pool.limits, zone.free
    if cores + TOLERANCE < limits.standby_cores:
        return f"{cores_text(limits.standby_cores)} cores must be free, and {cores_text(cores)} are free"
    if memory < limits.standby_memory:
        return f"{exact_size(limits.standby_memory)} memory must be free, and {exact_size(memory)} are free"
    return ""


def _add_machine(snapshot: ZoneSnapshot, pool: _Pool, zone: _Zone, why: str) -> bool:
    """Use a draining machine of the pool again, or order a new machine. Return False if neither is possible."""
    for order in pool.orders:
        agent = order.agent
        usable = order.state is OrderState.DRAINING and order.machine_order_id not in pool.reused_order_ids
        if usable and agent and agent.status == "running" and agent.enabled:
            pool.reused_order_ids.add(order.machine_order_id)
            pool.actions.append(OrderTransition(order.machine_order_id, OrderState.JOINED, f"it is used again: {why}"))
            zone.hosts.append(replace(agent, draining=False))
            return True
    if pool.definition.failure_state.next_try is not None and snapshot.now < pool.definition.failure_state.next_try:
        pool.notes.append(
            f"{why}; after {pool.definition.failure_state.failures} failures in a row, the next machine is ordered at "
            f"{pool.definition.failure_state.next_try:%H:%M:%S} UTC"
        )
        return False
    if pool.failed:
        pool.notes.append(f"{why}; an order has just failed, and the next order follows after a pause")
        return False
    if not pool.orders_left:
        pool.notes.append(f"{why}; {pool.existing} of at most {pool.limits.max_machines} machines exist or are ordered")
        return False
    pool.placed += 1
    pool.actions.append(PlaceOrder(pool.definition.machine_pool_id, why[:1].upper() + why[1:] + "."))
    zone.hosts.append(replace(pool.empty_machine, agent_id=f"new {pool.definition.machine_pool_id} {pool.placed}"))
    return True


def _drain_surplus(snapshot: ZoneSnapshot, pool: _Pool, zone: _Zone) -> None:
    """Drain the machines that were surplus for `idle_s`. The machines with the fewest sessions are surplus first; among
    equals, those that were surplus before, so that the choice does not change from plan to plan."""
    joined = [
        order
        for order in pool.orders
        if order.state is OrderState.JOINED and order.machine_order_id not in pool.reused_order_ids and order.agent
    ]
    has_unmet = any(_too_small_reason(pool, demand.request) is None for demand in zone.unmet)
    dispensable = 0 if has_unmet or pool.placed or pool.reused_order_ids else pool.in_use - pool.limits.min_machines
    joined.sort(key=lambda o: (o.live_sessions, o.agent_sessions, o.surplus_since is None, o.machine_order_id))
    for order in joined:
        surplus = dispensable > 0 and _remove_if_surplus(order, zone)
        if surplus:
            dispensable -= 1
        _record_surplus(snapshot.now, order, pool, is_surplus=surplus)


def _remove_if_surplus(order: MachineOrder, zone: _Zone) -> bool:
    """Remove a machine from the capacity of the zone if the other hosts of the zone have room for its sessions and for
    the standby capacity of the zone. Return True if it was removed. The standby capacity is that of all pools, because
    otherwise a pool would order a machine when another pool drains one."""
    machine_host = next((host for host in zone.hosts if order.agent and host.agent_id == order.agent.agent_id), None)
    if machine_host is None:
        return False
    others = _Zone([host for host in zone.hosts if host is not machine_host])
    cores, memory = others.free
    needed_cores = machine_host.cores_allocated + zone.standby_cores
    needed_memory = machine_host.memory_allocated + zone.standby_memory
    if cores + TOLERANCE < needed_cores or memory < needed_memory:
        return False
    _reserve_elsewhere(others.hosts, machine_host)
    zone.hosts = others.hosts
    return True


def _reserve_elsewhere(hosts: list[PlacementAgent], removed: PlacementAgent) -> None:
    """Reserve on `hosts` the capacity that sessions have reserved on the host `removed`, which is not in `hosts`."""
    cores, memory = removed.cores_allocated, removed.memory_allocated
    for i, host in enumerate(hosts):
        reserved_cores, reserved_memory = min(cores, host.free_cores), min(memory, host.free_memory)
        hosts[i] = replace(
            host,
            cores_allocated=host.cores_allocated + reserved_cores,
            memory_allocated=host.memory_allocated + reserved_memory,
        )
        cores, memory = cores - reserved_cores, memory - reserved_memory


def _record_surplus(now: datetime, order: MachineOrder, pool: _Pool, *, is_surplus: bool) -> None:
    surplus_since = order.surplus_since
    if not is_surplus:
        if surplus_since is not None:
            pool.actions.append(Surplus(order.machine_order_id, None))
    elif surplus_since is None:
        pool.actions.append(Surplus(order.machine_order_id, now))
    elif now - surplus_since >= timedelta(seconds=pool.limits.idle_s):
        surplus_s = math.floor((now - surplus_since).total_seconds())
        why = f"the other machines had room for all its sessions for {surplus_s} s"
        pool.actions.append(OrderTransition(order.machine_order_id, OrderState.DRAINING, why))


def _report(pool: _Pool, zone: _Zone, other_zone_notes: Sequence[str]) -> PoolReport:
    numbers_by_state = {
        "joined": sum(o.state is OrderState.JOINED for o in pool.orders),
        "coming": sum(o.state in UNJOINED_STATES for o in pool.orders),
        "draining": sum(o.state is OrderState.DRAINING for o in pool.orders),
        "being released": sum(o.state is OrderState.RELEASING for o in pool.orders),
    }
    numbers = ", ".join(f"{number} {state}" for state, number in numbers_by_state.items() if number) or "no machine"
    if pool.definition.disabled:
        return PoolReport(pool.definition.machine_pool_id, f"Disabled: {numbers}.")
    more = f" {pool.placed} more to be ordered." if pool.placed else ""
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in dict.fromkeys(pool.notes))
    enough = "" if more or notes or zone.unmet else " The capacity is sufficient."
    others = "".join(f" {text}" for text in other_zone_notes)
    kept = "".join(
        f" Agent {name} also joined on a machine of this pool; the machine is kept until this Agent is deleted."
        for name in sorted({order.other_agent for order in pool.orders} - {""})
    )
    sentence = f"{numbers[:1].upper()}{numbers[1:]}.{more}{notes}{enough}{kept}{others}"
    return PoolReport(pool.definition.machine_pool_id, sentence, bool(notes))
