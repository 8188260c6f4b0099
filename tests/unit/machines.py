"""A zone with machine pools in the form of its plan's input, for tests of the plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom.core.fleet.machines.model import (
    MachineOrder,
    MachinePool,
    MachinePoolLimits,
    OrderState,
    UnmetDemand,
    ZoneSnapshot,
)
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday."""
GB = 1_000_000_000
DESKTOP = PlacementRequest(image="desktop", cores=1.0, memory=2 * GB)
LIMITS = MachinePoolLimits(cores=8.0, memory=16 * GB, max_machines=10, idle_s=600.0, order_deadline_s=900.0)
POOL = MachinePool(machine_pool_id="p", name="cloud", limits=LIMITS)


def pool(**limits: Any) -> MachinePool:
    return replace(POOL, limits=replace(LIMITS, **limits))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def agent(name: str, *, cores_used: float = 0.0, **changes: Any) -> PlacementAgent:
    """An Agent with 8 cores and 16 GB, of which 2 GB are reserved with each core."""
    made = PlacementAgent(
        agent_id=name,
        hostname=name,
        cores=8.0,
        memory=16 * GB,
        cores_allocated=cores_used,
        memory_allocated=int(cores_used * 2 * GB),
    )
    return replace(made, **changes)


def order(name: str, state: str = "ordered", **changes: Any) -> MachineOrder:
    made = MachineOrder(
        machine_order_id=name,
        machine_pool_id="p",
        state=OrderState(state),
        ordered=ago(60),
        deadline=NOW + timedelta(seconds=840),
        changed=ago(60),
    )
    return replace(made, **changes)


def joined(view: PlacementAgent, *, live: int = 0, state: str = "joined", **changes: Any) -> MachineOrder:
    """The order of an Agent that has joined, with this number of users' sessions."""
    return order(
        f"o-{view.agent_id}",
        state,
        agent=view,
        agent_sessions=live,
        live_sessions=live,
        requested=ago(900),
        ref=f"r-{view.agent_id}",
        **changes,
    )


def want(number: int, why: str = "people wait", request: PlacementRequest = DESKTOP) -> UnmetDemand:
    return UnmetDemand(request, number, why)


def zone(*orders: MachineOrder, **changes: Any) -> ZoneSnapshot:
    """A zone with the Agents of the orders, one machine pool and an overcommit of 1."""
    made = ZoneSnapshot(
        now=NOW,
        zone_name="eu",
        overcommit=1.0,
        agents=tuple(order.agent for order in orders if order.agent),
        demands=(),
        pools=(POOL,),
        orders=orders,
    )
    return replace(made, **changes)
