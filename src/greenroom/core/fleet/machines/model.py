"""Pools of machines and their orders as the plan sees them, and the actions of a plan.

A machine pool says which machines may be ordered in a zone, from which provider, and how many. An order is a row from
before the machine is asked for until the provider no longer shows it; the machine's Agent joins with the one-time token
of its order.
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
    """Where an order is; `EDGES` says what may follow."""

    ORDERED = "ordered"
    """The row is there; the provider may have been asked, and has not confirmed."""
    CREATED = "created"
    """The provider has made the machine; its Agent does not serve yet."""
    JOINED = "joined"
    """Its Agent has joined, and has reported that it serves."""
    DRAINING = "draining"
    """It gets no new sessions and is given back when the last one has ended."""
    RELEASING = "releasing"
    """The provider is asked to end the machine until it shows it no more."""
    ENDED = "ended"


EDGES: Final[dict[OrderState, frozenset[OrderState]]] = {
    OrderState.ORDERED: frozenset({OrderState.CREATED, OrderState.JOINED, OrderState.RELEASING, OrderState.ENDED}),
    OrderState.CREATED: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.JOINED: frozenset({OrderState.DRAINING, OrderState.RELEASING}),
    OrderState.DRAINING: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.RELEASING: frozenset({OrderState.ENDED}),
    OrderState.ENDED: frozenset({OrderState.RELEASING}),
}
"""State → those that may follow. An ended order is released again where the provider shows its machine after all."""
COMING: Final = frozenset({OrderState.ORDERED, OrderState.CREATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolLimits:
    """The fields of a machine pool that its plan obeys. Cores are those of the host; memory is bytes."""

    cores: float
    memory: int
    min_machines: int = 0
    max_machines: int = 1
    standby_cores: float = 0.0
    standby_memory: int = 0
    """Room of the zone that is to be free at any time; cores as sessions reserve them."""
    idle_s: float = 900.0
    """A machine has to be surplus for this long before it drains."""
    order_deadline_s: float = 900.0
    """The Agent of an ordered machine has to register within this time."""
    schedule: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolFailures:
    """What a pool remembers of failures: of orders in a row, and of calls of its provider in a row."""

    failures: int = 0
    next_try: datetime | None = None
    """Nothing is ordered before."""
    call_failures: int = 0
    next_call: datetime | None = None
    """The provider is not called before."""
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePool:
    """A machine pool with what it remembers of failures. `closed`: disabled or deleted, all its machines go."""

    machine_pool_id: str
    name: str
    limits: MachinePoolLimits
    closed: bool = False
    memory: MachinePoolFailures = MachinePoolFailures()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOrder:
    """An order that has not ended. `agent` is the Agent that registered with its token, pending until it serves;
    `agent_sessions` are all sessions on it that are not deleted, `live_sessions` those of users among them.
    """

    machine_order_id: str
    machine_pool_id: str
    state: OrderState
    ordered: datetime
    deadline: datetime
    changed: datetime
    """When it came into its state."""
    asked: datetime | None = None
    """When the provider was asked to create the machine."""
    ref: str | None = None
    """The provider's name of the machine."""
    agent: PlacementAgent | None = None
    agent_sessions: int = 0
    live_sessions: int = 0
    other_agent: str = ""
    """The host name of another Agent that was joined on its machine, besides or after its own; empty = none is known.
    """
    surplus_since: datetime | None = None
    next_end: datetime | None = None
    """The provider failed to end its machine, and is not asked to before."""
    doubted: datetime | None = None
    """Since when the secrets of its pool are others than those with which it was asked for; None = they are the same,
    or the provider has shown its machine since.
    """


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of this installation and pool that a provider shows."""

    ref: str
    machine_order_id: str


@dataclass(frozen=True, slots=True)
class ListedMachines:
    """What a provider showed, asked at `at`."""

    at: datetime
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """So many sessions of one kind that find no room in the zone, and why: "2 people wait for Desktop"."""

    request: PlacementRequest
    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSnapshot:
    """Everything a plan depends on; `listings` are by pool, of those whose provider was asked just now."""

    now: datetime
    zone_name: str
    overcommit: float
    agents: tuple[PlacementAgent, ...]
    """All of the zone, also on hand-made hosts."""
    wants: tuple[UnmetDemand, ...]
    pools: tuple[MachinePool, ...]
    orders: tuple[MachineOrder, ...]
    listings: Mapping[str, ListedMachines] = field(default_factory=dict[str, ListedMachines])
    quiet: bool = False
    """Nothing is concluded from the silence of an Agent."""
    elsewhere: tuple[str, ...] = ()
    """Sentences about users who wait here as well and count in another zone."""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Write an order; the provider is asked after the commit."""

    machine_pool_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the provider to create the machine of an order."""

    machine_order_id: str
    machine_pool_id: str


@dataclass(frozen=True, slots=True)
class OrderTransition:
    """An order changes its state; `ref`: the machine it was found to have; `failed`: it counts as a failure.
    `agent_id`: the Agent that was known; another that has registered since keeps the order as it is.
    """

    machine_order_id: str
    to: OrderState
    reason: str
    ref: str | None = None
    failed: bool = False
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class EndMachine:
    """Ask the provider to end a machine."""

    machine_order_id: str
    machine_pool_id: str
    ref: str


@dataclass(frozen=True, slots=True)
class Found:
    """The provider shows a machine without an open order, or a second one of an order: released again if its order has
    ended, left as it is otherwise.
    """

    machine_order_id: str
    machine_pool_id: str
    ref: str
    reason: str


@dataclass(frozen=True, slots=True)
class Surplus:
    """Remember since when a machine is not needed; None = it is needed."""

    machine_order_id: str
    since: datetime | None


Action = PlaceOrder | Ask | OrderTransition | EndMachine | Found | Surplus


@dataclass(frozen=True, slots=True)
class PoolReport:
    """What a plan says of one pool, as a sentence; `is_lacking`: something is lacking that it cannot give now."""

    machine_pool_id: str
    sentence: str
    is_lacking: bool = False


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """The actions in the order in which they are applied, and a sentence for each pool."""

    actions: tuple[Action, ...]
    reports: tuple[PoolReport, ...]

    @property
    def orders(self) -> tuple[PlaceOrder, ...]:
        return tuple(action for action in self.actions if isinstance(action, PlaceOrder))

    @property
    def moves(self) -> tuple[OrderTransition, ...]:
        return tuple(action for action in self.actions if isinstance(action, OrderTransition))
