"""Machine pools and their orders, as the plan reads them, and the actions of a plan.

A machine pool defines the machines that may be ordered in a zone: their provider, their size and their maximum number.
The row of an order is inserted before the machine is requested. The order ends when the provider does not list the
machine. The Agent of the machine joins with the one-time token of its order.

The module also has two parts of the demand for machines: waiting users (`zones_of_users`) and the schedules of
administrators (`ScheduleEntry`). A launch tries one zone after another, and its user waits in each zone without room.
If each of these zones ordered a machine for the user, only one of the machines would be used. Therefore only one zone
counts the user as demand: the first zone of the launch that can still order a machine with room for this user and for
all users who have waited longer. Every zone computes the same result from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from greenroom.core.errors import Invalid
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, place


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingUser:
    """A user who waits for a session. `zone_ids` are the zones that refused the launch, in the order of attempts."""

    user_id: str
    image_id: str
    request: PlacementRequest
    since: datetime
    zone_ids: tuple[str, ...]


def reserve_room(hosts: list[PlacementAgent], request: PlacementRequest) -> bool:
    """Reserve room for a session in `hosts`, on the host with room that has the most load; return False if none has."""
    candidates = place(hosts, request, "Most Load").candidates
    if not candidates:
        return False
    index = next(i for i, host in enumerate(hosts) if host is candidates[0])
    hosts[index] = candidates[0].with_one_more(request)
    return True


def zones_of_users(
    waiting_users: Iterable[WaitingUser], supply: Mapping[str, Sequence[PlacementAgent]]
) -> dict[WaitingUser, str]:
    """Return, for each user, the id of the zone that counts the user as demand.

    `supply` maps each zone with an enabled pool to the empty machines that the zone can still order. If none of these
    zones has room for a user, the first of them that the launch tried counts the user and reports the shortage.
    """
    free_machines = {zone_id: list(machines) for zone_id, machines in supply.items()}
    zones: dict[WaitingUser, str] = {}
    for user in sorted(waiting_users, key=lambda user: (user.since, user.user_id, user.image_id)):
        possible = [zone_id for zone_id in user.zone_ids if zone_id in free_machines] or list(user.zone_ids)
        with_room = (zone_id for zone_id in possible if reserve_room(free_machines.get(zone_id, []), user.request))
        zones[user] = next(with_room, possible[0])
    return zones


DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SCHEDULE_LINE: Final = re.compile(
    r"(?P<days>[A-Za-z,-]+) +(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) +(?P<timezone>[A-Za-z0-9_+/-]+)"
    r"(?P<capacity>( +(machines|cores|memory)=[0-9]{1,18})+)",
    re.ASCII,
)
EXAMPLE_ENTRY: Final = "Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16 memory=32000000000"
"""An example of a line of a schedule, for error messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEntry:
    """An entry of a schedule: the minimum number of machines and the standby capacity for a time of the week.

    Days are 0 (Monday) to 6. `begin` and `end` are minutes of the day in `timezone`; an `end` at or before `begin` is
    on the next day.
    """

    days: tuple[int, ...]
    begin: int
    end: int
    timezone: str = "UTC"
    min_machines: int = 0
    standby_cores: float = 0.0
    standby_memory: int = 0

    def applies_at(self, at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(self.timezone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


def entries_in_force(entries: Iterable[ScheduleEntry], now: datetime, lead_s: float) -> list[ScheduleEntry]:
    """Return the entries that apply now or in `lead_s` seconds, the time after which an ordered machine is ready."""
    soon = now + timedelta(seconds=lead_s)
    return [entry for entry in entries if entry.applies_at(now) or entry.applies_at(soon)]


def parse_schedule_entry(line: str) -> ScheduleEntry:
    """Parse a line of a schedule, like `EXAMPLE_ENTRY`. Raises Invalid: the line is not valid."""
    match = _SCHEDULE_LINE.fullmatch(line.strip())
    if match is None:
        raise Invalid(f"{line!r} is not a valid line of a schedule; write one like: {EXAMPLE_ENTRY}.")
    capacity = dict(part.split("=") for part in match["capacity"].split())
    try:
        ZoneInfo(match["timezone"])
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(f"There is no time zone {match['timezone']!r}; write one like Europe/Berlin.") from error
    return ScheduleEntry(
        days=_days(match["days"]),
        begin=_minute(match["begin"]),
        end=_minute(match["end"]),
        timezone=match["timezone"],
        min_machines=int(capacity.get("machines", 0)),
        standby_cores=float(capacity.get("cores", 0)),
        standby_memory=int(capacity.get("memory", 0)),
    )


def _days(text: str) -> tuple[int, ...]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        days |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return tuple(sorted(days))


def _day(text: str) -> int:
    name = text[:3].title()
    if name not in DAYS:
        raise Invalid(f"{text!r} is not a day; write {', '.join(DAYS)}, or Mon-Fri.")
    return DAYS.index(name)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise Invalid(f"{text} is not a time of day; write 00:00 to 24:00.")
    return hours * 60 + minutes


def format_schedule_entry(entry: ScheduleEntry) -> str:
    """Return the line that `parse_schedule_entry` parses to this entry."""
    capacity = {"machines": entry.min_machines, "cores": round(entry.standby_cores), "memory": entry.standby_memory}
    numbers = " ".join(f"{name}={number}" for name, number in capacity.items() if number) or "machines=0"
    days = ",".join(DAYS[day] for day in entry.days)
    begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (entry.begin, entry.end))
    return f"{days} {begin}-{end} {entry.timezone} {numbers}"


class OrderState(StrEnum):
    """The state of an order; `TRANSITIONS` has the permitted changes."""

    ORDERED = "ordered"
    """The row exists. The machine may have been requested; the provider has not confirmed it."""
    CREATED = "created"
    """The provider has created the machine; its Agent does not accept sessions yet."""
    JOINED = "joined"
    """The Agent of the machine has joined and accepts sessions."""
    DRAINING = "draining"
    """The Agent gets no new sessions. The machine is released when the last session has ended."""
    RELEASING = "releasing"
    """Requests to end the machine are sent until the provider does not list the machine."""
    ENDED = "ended"
    """The provider does not list the machine, or the machine was never requested."""


TRANSITIONS: Final[dict[OrderState, frozenset[OrderState]]] = {
    OrderState.ORDERED: frozenset({OrderState.CREATED, OrderState.JOINED, OrderState.RELEASING, OrderState.ENDED}),
    OrderState.CREATED: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.JOINED: frozenset({OrderState.DRAINING, OrderState.RELEASING}),
    OrderState.DRAINING: frozenset({OrderState.JOINED, OrderState.RELEASING}),
    OrderState.RELEASING: frozenset({OrderState.ENDED}),
    OrderState.ENDED: frozenset({OrderState.RELEASING}),
}
"""State → the states that may follow it. An ended order is released again if the provider lists its machine later."""
UNJOINED_STATES: Final = frozenset({OrderState.ORDERED, OrderState.CREATED})
"""The states of an order whose machine does not accept sessions yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePoolLimits:
    """The fields of a machine pool that limit its plan. Each machine has `cores` and `memory` (bytes)."""

    cores: float
    memory: int
    min_machines: int = 0
    max_machines: int = 1
    standby_cores: float = 0.0
    standby_memory: int = 0
    """The capacity that must always be free in the zone: offered cores (`cores` times the overcommit), and bytes."""
    idle_s: float = 900.0
    """The time for which a machine must be surplus (not needed) before it drains."""
    order_deadline_s: float = 900.0
    """The time within which the Agent of an ordered machine must register."""
    schedule: tuple[ScheduleEntry, ...] = ()


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
    """A machine pool. The machines of a disabled pool drain. `disabled` is also True for a deleted pool."""

    machine_pool_id: str
    name: str
    limits: MachinePoolLimits
    disabled: bool = False
    failure_state: MachinePoolFailures = MachinePoolFailures()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOrder:
    """An order that has not ended. `agent` is the Agent that registered with the token of the order; its status is
    pending until it accepts sessions. `agent_sessions` is the number of its sessions that are not deleted, and
    `live_sessions` the number of these sessions that have a user.
    """

    machine_order_id: str
    machine_pool_id: str
    state: OrderState
    ordered: datetime
    deadline: datetime
    changed: datetime
    """The time of its last transition."""
    requested: datetime | None = None
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
    """The time before which no request to end its machine is sent, because an earlier request failed."""
    list_unreliable_since: datetime | None = None
    """The time at which the secrets of its pool changed, if the machine was requested before and was not listed since.
    With the new secrets, the provider may list the machines of another account. None = the list is reliable.
    """


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that a provider lists for an order of this installation and pool. `ref` is its name at the provider."""

    ref: str
    machine_order_id: str


@dataclass(frozen=True, slots=True)
class ListedMachines:
    """The machines that a provider listed. `at` is the time of the request."""

    at: datetime
    machines: tuple[Machine, ...]


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """A number of sessions with the same requirements for which the zone has no room. `why` is a clause with the cause,
    such as "2 users wait for Desktop".
    """

    request: PlacementRequest
    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSnapshot:
    """The input of a plan. `listings` maps the id of a pool to the machines that its provider lists. It contains only
    pools whose provider was called for this plan.
    """

    now: datetime
    zone_name: str
    overcommit: float
    agents: tuple[PlacementAgent, ...]
    """All Agents of the zone, including those on machines that belong to no pool."""
    demands: tuple[UnmetDemand, ...]
    """The sessions for which the zone has no room."""
    pools: tuple[MachinePool, ...]
    orders: tuple[MachineOrder, ...]
    listings: Mapping[str, ListedMachines] = field(default_factory=dict[str, ListedMachines])
    quiet: bool = False
    """True during the quiet period, in which the silence of an Agent has no effect."""
    other_zone_notes: tuple[str, ...] = ()
    """Sentences about users who also wait in this zone, but are demand of another zone."""


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

    `ref` is the machine that the provider lists for the order. `failed` is True if the transition counts as a failure
    of the pool. `agent_id` is the Agent in the snapshot: if another Agent has registered since, the order is unchanged.
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
    """A listed machine without an open order, or a second machine of an order. If the order has ended, the
    machine is released again; otherwise the machine stays.
    """

    machine_order_id: str
    machine_pool_id: str
    ref: str
    reason: str


@dataclass(frozen=True, slots=True)
class Surplus:
    """Store the time since which the machine of an order is surplus; None = it is needed."""

    machine_order_id: str
    since: datetime | None


Action = PlaceOrder | RequestMachine | OrderTransition | EndMachine | StrayMachine | Surplus


@dataclass(frozen=True, slots=True)
class PoolReport:
    """The result of a plan for one pool, in sentences. `is_lacking` is True if the pool cannot meet its demand now."""

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
    def transitions(self) -> tuple[OrderTransition, ...]:
        return tuple(action for action in self.actions if isinstance(action, OrderTransition))
