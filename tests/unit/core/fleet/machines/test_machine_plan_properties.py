"""The properties of every plan of every zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st
from tests.unit.machines import DESKTOP, GB, LIMITS, NOW, POOL, agent, ago, order, want, zone
from tests.unit.properties import for_all

from greenroom.core.fleet.machines.model import (
    TRANSITIONS,
    UNJOINED_STATES,
    EndMachine,
    ListedMachines,
    Machine,
    MachineOrder,
    MachinePlan,
    MachinePool,
    MachinePoolFailures,
    MachinePoolLimits,
    OrderState,
    OrderTransition,
    RequestMachine,
    Surplus,
    ZoneSnapshot,
)
from greenroom.core.fleet.machines.orders import failures_after_orders
from greenroom.core.fleet.machines.plan import plan

POOLS: Final = ("p", "q")
MOST_ORDERS: Final = 5
times = st.sampled_from([ago(10_000), ago(1_000), ago(200), ago(60), NOW, NOW + timedelta(seconds=300)])
maybe = times | st.none()


@st.composite
def orders(draw: st.DrawFn, name: str) -> MachineOrder:
    live, others = draw(st.integers(0, 4)), draw(st.integers(0, 1))
    there = draw(st.booleans())
    view = agent(
        f"a-{name}",
        cores_used=live + others,
        status=draw(st.sampled_from(["running", "running", "pending", "missing", "dead", "in another zone"])),
        draining=draw(st.booleans()),
        enabled=draw(st.booleans()),
    )
    state = draw(st.sampled_from([state for state in OrderState if state is not OrderState.ENDED]))
    return order(
        name,
        state,
        machine_pool_id=draw(st.sampled_from(POOLS)),
        deadline=draw(times),
        changed=draw(times),
        requested=draw(maybe if state is OrderState.ORDERED else times),
        ref=draw(st.sampled_from([None, f"r-{name}"])),
        agent=view if there else None,
        agent_sessions=live + others if there else 0,
        live_sessions=live if there else 0,
        other_agent=draw(st.sampled_from(["", "", "another"])),
        surplus_since=draw(maybe),
        next_end=draw(maybe),
        list_unreliable_since=draw(maybe),
    )


@st.composite
def pools(draw: st.DrawFn, name: str) -> MachinePool:
    most = draw(st.integers(0, MOST_ORDERS + 2))
    limits: MachinePoolLimits = replace(
        LIMITS,
        min_machines=draw(st.integers(0, most)),
        max_machines=most,
        standby_cores=draw(st.sampled_from([0.0, 3.0, 20.0])),
        standby_memory=draw(st.sampled_from([0, 10 * GB])),
    )
    state = MachinePoolFailures(failures=draw(st.integers(0, 2)), next_try=draw(maybe))
    return replace(
        POOL, machine_pool_id=name, name=name, limits=limits, disabled=draw(st.booleans()), failure_state=state
    )


@st.composite
def zones(draw: st.DrawFn) -> ZoneSnapshot:
    there = [draw(orders(f"o{number}")) for number in range(draw(st.integers(0, MOST_ORDERS)))]
    listings: dict[str, ListedMachines] = {}
    for name in POOLS:
        if draw(st.booleans()):
            known = [one.machine_order_id for one in there if one.machine_pool_id == name]
            shown = draw(st.lists(st.sampled_from([*known, "unknown"]), max_size=6))
            machines = tuple(Machine(f"{'rst'[i % 3]}-{order_id}", order_id) for i, order_id in enumerate(shown))
            listings[name] = ListedMachines(draw(times), machines)
    large = replace(DESKTOP, cores=9.0)
    return zone(
        *there,
        pools=tuple(draw(pools(name)) for name in POOLS),
        demands=(want(draw(st.integers(0, 30))), want(draw(st.integers(0, 2)), request=large)),
        listings=listings,
        quiet=draw(st.booleans()),
    )


def without_limits(snapshot: ZoneSnapshot) -> MachinePlan:
    generous = [replace(pool, limits=replace(pool.limits, max_machines=20)) for pool in snapshot.pools]
    return plan(replace(snapshot, pools=tuple(generous)))


def blind_to_sessions(snapshot: ZoneSnapshot) -> MachinePlan:
    empty = [replace(one, agent_sessions=0, live_sessions=0) for one in snapshot.orders]
    return plan(replace(snapshot, orders=tuple(empty)))


def opens_closed_pools(snapshot: ZoneSnapshot) -> MachinePlan:
    return plan(replace(snapshot, pools=tuple(replace(pool, disabled=False) for pool in snapshot.pools)))


@for_all(zones(), subject=plan, mutants=[without_limits, blind_to_sessions, opens_closed_pools])
def test_no_plan_takes_a_machine_from_a_session_or_has_more_than_are_allowed(subject: Any, snapshot: ZoneSnapshot):
    made = subject(snapshot)
    by_id = {one.machine_order_id: one for one in snapshot.orders}
    states = {name: one.state for name, one in by_id.items()}
    moves = {move.machine_order_id: move for move in made.transitions}
    for move in made.transitions:  # a machine that an administrator drained may be enabled again with the same plan
        one = by_id[move.machine_order_id]
        assert move.reason
        assert move.to in TRANSITIONS[states[move.machine_order_id]]
        states[move.machine_order_id] = move.to
        if move.to is OrderState.RELEASING:
            assert one.agent_sessions == 0
            assert one.state in UNJOINED_STATES or not one.other_agent
    for action in made.actions:
        if isinstance(action, EndMachine):
            assert by_id[action.machine_order_id].agent_sessions == 0
            assert (
                not by_id[action.machine_order_id].other_agent
                or by_id[action.machine_order_id].state in UNJOINED_STATES
            )
        if isinstance(action, RequestMachine):
            assert action.machine_order_id not in moves
    for pool in snapshot.pools:
        mine = [one for one in snapshot.orders if one.machine_pool_id == pool.machine_pool_id]
        placed = [one for one in made.orders if one.machine_pool_id == pool.machine_pool_id]
        left = [one for one in mine if _after(one, made).state is not OrderState.ENDED]
        assert not placed or len(left) + len(placed) <= pool.limits.max_machines
        assert all(one.reason for one in placed)
        asked = any(isinstance(a, RequestMachine) and a.machine_pool_id == pool.machine_pool_id for a in made.actions)
        surplus = [
            one
            for one in mine
            if "had room" in (moves.get(one.machine_order_id) or OrderTransition("", one.state, "")).reason
        ]
        assert not (placed and surplus), "none drains for being surplus while another is ordered"
        if pool.disabled:
            assert not placed
            assert not asked
            assert all(_after(one, made).state is not OrderState.JOINED for one in mine if one.state in UNJOINED_STATES)


def _after(one: MachineOrder, made: MachinePlan) -> MachineOrder:
    for action in made.actions:
        if isinstance(action, OrderTransition) and action.machine_order_id == one.machine_order_id:
            view = one.agent
            if view and action.to in (OrderState.JOINED, OrderState.DRAINING):
                view = replace(view, draining=action.to is OrderState.DRAINING)
            one = replace(one, state=action.to, changed=NOW, agent=view, surplus_since=None)
        if isinstance(action, Surplus) and action.machine_order_id == one.machine_order_id:
            one = replace(one, surplus_since=action.since)
    return one


def _carried_out(snapshot: ZoneSnapshot, made: MachinePlan, number: int) -> ZoneSnapshot:
    """The zone at the same moment, with the planned rows written, and without calls of a provider."""
    by_id = {one.machine_order_id: one for one in snapshot.orders}
    placed = [
        order(f"n{number}-{i}", machine_pool_id=one.machine_pool_id, ordered=NOW, changed=NOW)
        for i, one in enumerate(made.orders)
    ]
    after = [one for one in (_after(one, made) for one in snapshot.orders) if one.state is not OrderState.ENDED]
    remembered: list[MachinePool] = []
    for pool in snapshot.pools:
        mine = [
            move for move in made.transitions if by_id[move.machine_order_id].machine_pool_id == pool.machine_pool_id
        ]
        failed = [move.reason for move in mine if move.failed]
        remembered.append(
            replace(pool, failure_state=failures_after_orders(pool.failure_state, failed, joined=False, now=NOW))
        )
    return zone(*after, *placed, pools=tuple(remembered), demands=snapshot.demands, quiet=snapshot.quiet)


def orders_again(snapshot: ZoneSnapshot) -> MachinePlan:
    """A wrong plan that does not count machines on their way."""
    return plan(replace(snapshot, orders=tuple(one for one in snapshot.orders if one.state not in UNJOINED_STATES)))


@for_all(zones(), subject=plan, mutants=[orders_again])
def test_plans_that_are_carried_out_come_to_rest_and_none_orders_twice_for_the_same(
    subject: Any, snapshot: ZoneSnapshot
):
    for number in range(6):  # one registered, drains because its Agent is disabled, is released, and another is ordered
        made = subject(snapshot)
        snapshot = _carried_out(snapshot, made, number)
        if not made.transitions:
            break
    assert subject(snapshot).orders == ()
    assert subject(snapshot).transitions == ()
