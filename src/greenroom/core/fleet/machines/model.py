"""Machine pools and their orders, as the plan reads them, and the actions of a plan.

A machine pool defines the machines that may be ordered in a zone: their provider, their size and their maximum number.
The row of an order is inserted before the machine is requested, and ends when the provider no longer lists the machine.
The Agent of the machine joins with the one-time token of its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from greenroom.core.fleet.machines.demand import Hint
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest


class OrderState(StrEnum):
    """The state of an order; `TRANSITIONS` has the permitted changes."""

    ORDERED = "ordered"
    """The row exists. The machine may have been requested; the provider has not confirmed it."""
    CREATED = "created"
    """The provider has created the machine; its Agent does not serve yet."""
    JOINED = "joined"
    """Its Agent has joined and serves."""
    DRAINING = "draining"
    """It gets no new sessions and is released when the last session has ended."""
    RELEASING = "releasing"
    """The provider is requested to end the machine, again until it no longer lists the machine."""
    ENDED = "ended"


TRANSITIONS: Final[dict[OrderState, frozenset[OrderState]]] = {
    OrderState.ORDERED: frozenset({OrderState.CREATED, OrderState.JOINED, OrderState.RELEASING, OrderState.ENDED}),
    OrderState.CREATED: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.JOINED: frozenset({OrderState.DRAINING, OrderState.RELEASING}),
    OrderState.DRAINING: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.RELEASING: frozenset({OrderState.ENDED}),
    OrderState.ENDED: frozenset({OrderState.RELEASING}),
}
"""State → the states that may follow it. An ended order is released again if the provider lists its machine later."""
COMING: Final = frozenset({OrderState.ORDERED, OrderState.CREATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolLimits:
    """The fields of a machine pool that limit its plan. Cores are cores of the host; memory is in bytes."""

    cores: float
    memory: int
    min_machines: int = 0
    max_machines: int = 1
    standby_cores: float = 0.0
    standby_memory: int = 0
    """The capacity of the zone that must always be free; cores are counted as sessions reserve them."""
    idle_s: float = 900.0
    """The time for which a machine must be surplus before it drains."""
    order_deadline_s: float = 900.0
    """The time within which the Agent of an ordered machine must register."""
    schedule: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolFailures:
    """The failures of a pool: consecutive failures of orders, and consecutive failed calls of its provider."""

    failures: int = 0
    next_try: datetime | None = None
    """No machine is ordered before this time."""
    call_failures: int = 0
    next_call: datetime | None = None
    """The provider is not called before this time."""
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePool:
    """A machine pool with its failures. `closed`: disabled or deleted, so that its machines are drained."""

    machine_pool_id: str
    name: str
    limits: MachinePoolLimits
    closed: bool = False
    memory: MachinePoolFailures = MachinePoolFailures()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOrder:
    """An order that has not ended. `agent` is the Agent that registered with the token of the order; its status is
    pending until it serves. `agent_sessions` is the number of its sessions that are not deleted; `live_sessions` is the
    number of those that belong to users.
    """

    machine_order_id: str
    machine_pool_id: str
    state: OrderState
    ordered: datetime
    deadline: datetime
    changed: datetime
    """The time at which it entered its state."""
    asked: datetime | None = None
    """The time at which the provider was requested to create the machine; None = not yet."""
    ref: str | None = None
    """The name of the machine at the provider; None = not known."""
    agent: PlacementAgent | None = None
    agent_sessions: int = 0
    live_sessions: int = 0
    other_agent: str = ""
    """The host name of another Agent that joined on the same machine; empty = none is known."""
    surplus_since: datetime | None = None
    next_end: datetime | None = None
    """The provider failed to end its machine, and is not requested again before this time."""
    doubted: datetime | None = None
    """The time since which the secrets of its pool differ from those with which the machine was requested; None = they
    are the same, or the provider has listed the machine since that time.
    """


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of this installation and pool that a provider lists."""

    ref: str
    machine_order_id: str


@dataclass(frozen=True, slots=True)
class ListedMachines:
    """The machines that a provider listed. `at` is the time of the request."""

    at: datetime
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """A number of sessions with the same requirements for which the zone has no room. `why` is the cause, such as "2
    people wait for Desktop".
    """

    request: PlacementRequest
    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSnapshot:
    """The input of a plan. `listings` has the machines by the id of their pool, if its provider was called for this
    plan.
    """

    now: datetime
    zone_name: str
    overcommit: float
    agents: tuple[PlacementAgent, ...]
    """All Agents of the zone, including those on machines that belong to no pool."""
    wants: tuple[UnmetDemand, ...]
    pools: tuple[MachinePool, ...]
    orders: tuple[MachineOrder, ...]
    listings: Mapping[str, ListedMachines] = field(default_factory=dict[str, ListedMachines])
    quiet: bool = False
    """True during the quiet period, in which the silence of an Agent has no effect."""
    elsewhere: tuple[str, ...] = ()
    """Sentences about users who also wait in this zone and count in another zone."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Insert the row of an order. The provider is called after the commit."""

    machine_pool_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RequestMachine:
    """Request the creation of the machine of an order from the provider."""

    machine_order_id: str
    machine_pool_id: str


@dataclass(frozen=True, slots=True)
class OrderTransition:
    """Change the state of an order.

    `ref` is the machine that the provider lists for it. `failed` is True if the transition counts as a failure of the
    pool. `agent_id` is the Agent that the plan has read; if another Agent has registered since, the order does not
    change.
    """

    machine_order_id: str
    to: OrderState
    reason: str
    ref: str | None = None
    failed: bool = False
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class EndMachine:
    """Request the end of a machine from the provider."""

    machine_order_id: str
    machine_pool_id: str
    ref: str


@dataclass(frozen=True, slots=True)
class StrayMachine:
    """The provider lists a machine without an open order, or a second machine of an order. If its order has ended, the
    order is released again; otherwise the machine does not change.
    """

    machine_order_id: str
    machine_pool_id: str
    ref: str
    reason: str


@dataclass(frozen=True, slots=True)
class Surplus:
    """Store the time since which a machine is not needed; None = it is needed."""

    machine_order_id: str
    since: datetime | None


Action = PlaceOrder | RequestMachine | OrderTransition | EndMachine | StrayMachine | Surplus


@dataclass(frozen=True, slots=True)
class PoolReport:
    """The result of a plan for one pool, as sentences. `is_lacking` is True if the pool cannot meet its demand now."""

    machine_pool_id: str
    sentence: str
    is_lacking: bool = False


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """The actions in the order in which they are applied, and a report for each pool."""

    actions: tuple[Action, ...]
    reports: tuple[PoolReport, ...]

    @property
    def orders(self) -> tuple[PlaceOrder, ...]:
        return tuple(action for action in self.actions if isinstance(action, PlaceOrder))

    @property
    def moves(self) -> tuple[OrderTransition, ...]:
        return tuple(action for action in self.actions if isinstance(action, OrderTransition))
