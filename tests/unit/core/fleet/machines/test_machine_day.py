"""Days of a zone with its own cloud, simulated with the plan and the simulated provider, which fails, loses answers,
creates a machine twice and some that never serve: no user's session ends, machines come and go without thrashing, and
their cost is close to that of an optimal schedule.
"""

from __future__ import annotations

import heapq
import math
import random
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from tests.unit.machines import DESKTOP, GB, LIMITS, NOW, POOL

from greenroom.core.fleet.machines import orders as core_orders
from greenroom.core.fleet.machines.model import (
    TRANSITIONS,
    EndMachine,
    ListedMachines,
    MachineOrder,
    MachinePlan,
    MachinePoolLimits,
    OrderState,
    OrderTransition,
    PlaceOrder,
    RequestMachine,
    StrayMachine,
    Surplus,
    UnmetDemand,
    ZoneSnapshot,
)
from greenroom.core.fleet.machines.plan import plan
from greenroom.core.fleet.machines.provider import machine_name, machines_of_pool, name_prefix
from greenroom.core.launch.placement import PlacementAgent, Strategy, place
from greenroom.machine_providers.builtin import SimulatedCloud, SimulatedProvider
from greenroom.machine_providers.contract import JoinData, NewMachine, ProviderError, ProviderMachine

T = TypeVar("T")

INSTALLATION = "11111111-0000-0000-0000-000000000000"
POOL_ID = "22222222-0000-0000-0000-000000000000"
NOWHERE = JoinData(url="", token="", ca_sha256="", edge_url="", zone="")
STEP_S = 60
DAY_S = 24 * 3600
PER_MACHINE = 8
"""The number of sessions of a machine."""


@dataclass(slots=True)
class Host:
    """A machine of the cloud: the time at which its Agent registers, its ability to serve, and the end of each of
    its sessions."""

    ref: str
    order_id: str
    joins_s: float
    serves: bool = True
    ends: list[float] = field(default_factory=list[float])


def done(call: Coroutine[Any, Any, T]) -> T:
    """The simulated provider has no waits."""
    try:
        call.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


@dataclass
class Day:
    """A day from midnight. `errors`: the number of failing calls in a thousand; `broken`: the number of machines in
    a thousand whose Agent registers but never serves."""

    seed: int
    peak: float
    limits: MachinePoolLimits
    errors: int = 0
    broken: int = 0
    boot_s: float = 180.0
    strategy: Strategy = "Least Load"
    orders: dict[str, MachineOrder] = field(default_factory=dict[str, MachineOrder])
    hosts: dict[str, Host] = field(default_factory=dict[str, Host])
    """By the provider's name."""
    not_ended: Counter[str] = field(default_factory=Counter[str])
    machine_s: float = 0.0
    ended_live: int = 0
    taken_back: int = 0
    placed: int = 0
    launched: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 -- no secret
        self.pool = replace(POOL, machine_pool_id=POOL_ID, limits=self.limits)
        self.waiting: list[tuple[float, float]] = []
        self.now_s = 0
        self.cloud = SimulatedCloud(before_action=self._may_fail, on_create=self._boots, on_end=self._is_gone)
        self.provider = SimulatedProvider(self.cloud)

    def arrivals(self) -> list[tuple[float, float]]:
        """(time, duration) of the launches: few at night, most in the morning and after lunch, and a class at ten."""
        made: list[tuple[float, float]] = []
        for minute in range(24 * 60):
            hour = minute / 60
            wave = math.exp(-(((hour - 9.5) / 1.8) ** 2)) + 0.8 * math.exp(-(((hour - 14) / 2.2) ** 2)) + 0.02
            number = int(self.peak * wave) + (self.random.random() < (self.peak * wave) % 1)
            number += 15 if minute == 600 else 0
            made += [(minute * 60 + 60 * self.random.random(), self._length_s()) for _ in range(number)]
        return sorted(made)

    def _length_s(self) -> float:
        return min(6 * 3600.0, self.random.lognormvariate(math.log(45 * 60), 0.8))

    def goes_wrong(self) -> bool:
        return self.random.randrange(1000) < self.errors

    # The cloud ---------------------------------------------------------------------------------------------------

    def _may_fail(self, action: str) -> None:
        if self.goes_wrong():
            raise ProviderError("It fails.", refused=action == "create")

    def _boots(self, machine: NewMachine, ref: str) -> None:
        """Start a machine. Its answer may be lost; it may never start, never serve, or be created twice: one of the
        two joins then."""
        order_id = str(uuid.UUID(machine.name[-32:]))
        boot_s = math.inf if self.goes_wrong() else self.boot_s * self.random.uniform(0.6, 1.6)
        refs = [ref]
        if self.goes_wrong():
            refs.insert(self.random.randrange(2), f"twin-{ref}")
            self.cloud.machines[f"twin-{ref}"] = ProviderMachine(f"twin-{ref}", machine.name)
        serves = self.random.randrange(1000) >= self.broken
        for number, name in enumerate(refs):
            self.hosts[name] = Host(name, order_id, math.inf if number else self.now_s + boot_s, serves)
        if self.goes_wrong():
            raise ProviderError("The answer is lost.")

    def _is_gone(self, ref: str) -> None:
        self.ended_live += len(self.hosts.pop(ref).ends)

    # The zone as the plan sees it --------------------------------------------------------------------------------

    def at(self, now_s: float) -> datetime:
        return NOW.replace(hour=0) + timedelta(seconds=now_s)

    def view(self, host: Host, now_s: float) -> PlacementAgent:
        order = self.orders[host.order_id]
        live = len(host.ends)
        return PlacementAgent(
            agent_id=host.ref,
            hostname=host.ref,
            status="running" if host.serves and now_s >= host.joins_s + 15 else "pending",
            draining=order.state is OrderState.DRAINING,
            cores=float(PER_MACHINE),
            memory=16 * GB,
            cores_allocated=float(live),
            memory_allocated=2 * GB * live,
            sessions=live,
        )

    def agents(self, now_s: float) -> dict[str, PlacementAgent]:
        """The Agents of machines that have registered and were not removed."""
        there = {OrderState.ORDERED, OrderState.CREATED, OrderState.JOINED, OrderState.DRAINING}
        return {
            host.order_id: self.view(host, now_s)
            for host in self.hosts.values()
            if now_s >= host.joins_s and self.orders[host.order_id].state in there
        }

    def snapshot(self, now_s: float) -> ZoneSnapshot:
        agents = self.agents(now_s)
        orders = tuple(
            replace(
                order,
                agent=agents.get(order.machine_order_id),
                agent_sessions=agents[order.machine_order_id].sessions if order.machine_order_id in agents else 0,
                live_sessions=agents[order.machine_order_id].sessions if order.machine_order_id in agents else 0,
            )
            for order in self.orders.values()
            if order.state is not OrderState.ENDED
        )
        number = len(self.waiting)
        return ZoneSnapshot(
            now=self.at(now_s),
            zone_name="eu",
            overcommit=1.0,
            agents=tuple(agents.values()),
            demands=(UnmetDemand(DESKTOP, number, f"{number} people wait"),) if number else (),
            pools=(self.pool,),
            orders=orders,
            listings=self._listed(now_s),
        )

    def _listed(self, now_s: float) -> dict[str, ListedMachines]:
        try:
            shown = done(self.provider.list(name_prefix(INSTALLATION, POOL_ID)))
        except ProviderError:
            return {}
        pairs = [(machine.ref, machine.name) for machine in shown]
        return {POOL_ID: ListedMachines(self.at(now_s), machines_of_pool(INSTALLATION, POOL_ID, pairs))}

    # Actions -----------------------------------------------------------------------------------------------------

    def apply(self, made: MachinePlan, now_s: float) -> None:
        now = self.at(now_s)
        for action in made.actions:
            match action:
                case PlaceOrder():
                    self.placed += 1
                    assert action.reason
                    deadline = now + timedelta(seconds=self.limits.order_deadline_s)
                    order_id = str(uuid.UUID(int=self.placed))
                    self.orders[order_id] = MachineOrder(
                        machine_order_id=order_id,
                        machine_pool_id=POOL_ID,
                        state=OrderState.ORDERED,
                        ordered=now,
                        deadline=deadline,
                        changed=now,
                    )
                case RequestMachine():
                    self._create(action.machine_order_id, now)
                case OrderTransition():
                    self._move(action, now)
                case EndMachine():
                    self._end(action, now)
                case StrayMachine():
                    order = self.orders[action.machine_order_id]
                    if order.state is OrderState.ENDED:
                        self._move(
                            OrderTransition(action.machine_order_id, OrderState.RELEASING, action.reason, action.ref),
                            now,
                        )
                case Surplus():
                    order = self.orders[action.machine_order_id]
                    self.orders[order.machine_order_id] = replace(order, surplus_since=action.since)
        self._remember(made, now)

    def _remember(self, made: MachinePlan, now: datetime) -> None:
        failed = [move.reason for move in made.transitions if move.failed]
        joined = any(move.to is OrderState.JOINED and "joined as" in move.reason for move in made.transitions)
        state = core_orders.failures_after_orders(self.pool.failure_state, failed, joined=joined, now=now)
        self.pool = replace(self.pool, failure_state=state)

    def _move(self, move: OrderTransition, now: datetime) -> None:
        order = self.orders[move.machine_order_id]
        assert move.to in TRANSITIONS[order.state]
        if move.to is OrderState.RELEASING:
            self.ended_live += sum(len(h.ends) for h in self.hosts.values() if h.order_id == order.machine_order_id)
        self.taken_back += order.state is OrderState.DRAINING and move.to is OrderState.JOINED
        self.orders[order.machine_order_id] = replace(
            order, state=move.to, changed=now, ref=move.ref or order.ref, surplus_since=None
        )

    def _create(self, order_id: str, now: datetime) -> None:
        self.orders[order_id] = replace(self.orders[order_id], requested=now)
        name = machine_name(INSTALLATION, POOL_ID, order_id)
        machine = NewMachine(name=name, cores=8.0, memory=16 * GB, user_data="", join=NOWHERE)
        try:
            ref = done(self.provider.create(machine))
        except ProviderError as error:
            if error.refused:
                self._move(OrderTransition(order_id, OrderState.ENDED, "refused", failed=True), now)
                state = core_orders.failures_after_orders(self.pool.failure_state, ["refused"], joined=False, now=now)
                self.pool = replace(self.pool, failure_state=state)
            return
        self._move(OrderTransition(order_id, OrderState.CREATED, "made", ref), now)

    def _end(self, action: EndMachine, now: datetime) -> None:
        order_id = action.machine_order_id
        try:
            done(self.provider.end(action.ref, machine_name(INSTALLATION, POOL_ID, order_id)))
        except ProviderError:
            self.not_ended[order_id] += 1
            again = core_orders.next_end(self.not_ended[order_id], 0.0, now)
            self.orders[order_id] = replace(self.orders[order_id], next_end=again)

    def _launch(self, now_s: float) -> None:
        """Place users by the zone's Load Balance Strategy; a user without a place retries."""
        still: list[tuple[float, float]] = []
        for came_s, length_s in self.waiting:
            taken = place(list(self.agents(now_s).values()), DESKTOP, self.strategy).candidates
            if not taken:
                still.append((came_s, length_s))
                continue
            heapq.heappush(self.hosts[taken[0].agent_id].ends, now_s + length_s)
            self.launched += 1
        self.waiting = still

    def play(self) -> Day:
        for _ in self.steps(self.arrivals()):
            pass
        return self

    def steps(self, arrivals: list[tuple[float, float]], until_s: float = DAY_S) -> Iterator[float]:
        """Run a step every minute."""
        coming = arrivals[::-1]
        for now_s in range(0, int(until_s), STEP_S):
            self.now_s = now_s
            for host in self.hosts.values():
                while host.ends and host.ends[0] <= now_s:
                    heapq.heappop(host.ends)
            while coming and coming[-1][0] <= now_s:
                self.waiting.append(coming.pop())
            self._launch(now_s)
            self.apply(plan(self.snapshot(now_s)), now_s)
            assert len({host.order_id for host in self.hosts.values()}) <= self.limits.max_machines
            self.machine_s += STEP_S * len(self.hosts)
            yield now_s


def clairvoyant_s(arrivals: list[tuple[float, float]]) -> float:
    """The machine seconds of an optimal schedule, which knows the end of each session and groups sessions with the
    same end; no user waits, machines start at once, and sessions do not move."""
    open_: list[list[float]] = []
    cost_s = 0.0
    for came_s, length_s in arrivals:
        ends_s = came_s + length_s
        open_ = [[end for end in ends if end > came_s] for ends in open_]
        open_ = [ends for ends in open_ if ends]
        free = [ends for ends in open_ if len(ends) < PER_MACHINE]
        longer_s, machine = min(
            ((max(0.0, ends_s - max(ends)), ends) for ends in free),
            key=lambda one: (one[0], -len(one[1])),
            default=(0, None),
        )
        if machine is None:
            open_.append([ends_s])
            cost_s += length_s
        else:
            machine.append(ends_s)
            cost_s += longer_s
    return cost_s


SMALL = replace(LIMITS, max_machines=25, idle_s=300.0)


# 20 batches of 5 days; with the profile `fast`, 3 of them.
@pytest.mark.parametrize("batch", range(min(20, settings().max_examples // 5)))
def test_no_session_ends_and_nothing_thrashes_even_if_the_provider_errs(batch: int):
    for seed in range(batch * 5, batch * 5 + 5):
        day = Day(seed, peak=0.4, limits=SMALL, errors=50, broken=50, boot_s=150.0 + seed).play()
        assert day.ended_live == 0, f"seed {seed}"
        assert day.launched > 100, f"seed {seed}"
        # Each machine exists for long: a day of two waves needs a dozen, and a few more for those that failed. The
        # observed maximum is 18 machines and 6 cancellations.
        good = [order for order in day.orders.values() if order.ref is not None]
        assert len(good) <= 24, f"seed {seed}: {len(good)} machines in a day"
        assert day.taken_back <= 10, f"seed {seed}: {day.taken_back} times taken back"


# 4 days; with the profile `fast`, one of them.
@pytest.mark.parametrize("seed", range(min(4, settings().max_examples // 15)))
def test_a_disabled_pool_leaves_no_machine_behind_however_late_they_come(seed: int):
    day = Day(seed, peak=0.4, limits=SMALL, errors=150, broken=150)
    arrivals = day.arrivals()
    for now_s in day.steps(arrivals, until_s=1.2 * DAY_S):
        if now_s == 36_000:
            day.pool = replace(day.pool, disabled=True)
    assert day.hosts == {}
    assert {order.state for order in day.orders.values()} == {OrderState.ENDED}
    assert day.ended_live == 0


@pytest.mark.parametrize(("strategy", "most"), [("Least Load", 1.3), ("Most Load", 1.25)])
def test_a_large_day_costs_little_more_than_one_who_knows_it_pays(strategy: Strategy, most: float):
    """Including starts of machines and the reserve for the next users."""
    day = Day(1, peak=2.0, strategy=strategy, limits=replace(LIMITS, max_machines=200, idle_s=300.0))
    known_s = clairvoyant_s(Day(1, peak=2.0, limits=LIMITS).arrivals())
    day.play()
    assert day.ended_live == 0
    assert day.machine_s / known_s < most, f"{day.machine_s / known_s:.3f} times what one who knows the day pays"


def test_machines_that_register_and_never_serve_are_given_back_and_their_pool_pauses():
    day = Day(1, peak=0.4, limits=SMALL, broken=1000)
    paid = [len(day.hosts) for _ in day.steps(day.arrivals(), until_s=DAY_S / 2)]
    assert day.launched == 0
    assert day.pool.failure_state.failures > 5, "nothing has served, so nothing is forgotten"
    assert day.placed <= 90, f"{day.placed} machines for nothing; 69 were seen"
    assert sum(paid) / len(paid) < 2.5, f"{sum(paid) / len(paid):.1f} machines paid at a time; 1.7 were seen"
