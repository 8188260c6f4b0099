"""The order of container changes on an Agent, users first, and the number of session starts that run in parallel.

A host changes containers fastest if it changes only a few at the same time. An Agent therefore has a number of *slots*.
Some additional slots are reserved for users, so that users do not wait for starts of pools. The rules, each of them a
property test:

- The most urgent of the waiting changes begins first; with equal urgency, the change that has waited longest.
- A change that has begun is not aborted.
- Refills of pools take at most the ordinary slots; users may also take the reserved slots.
- No slot stays free while a change that may take it waits.

A second limit applies to starts, because most of the cost of a start is its first frame, not its container. A start has
a *start slot* from the creation of its container until its first frame is painted. Starts of pools also get a smaller
share of the CPU until then. The rules, each of them a property test:

- Starts of users begin before starts of pools, in the order in which they waited. Of the starts of pools, a start of
  the workspace with the fewest start slots begins first, so that a workspace whose starts fail does not delay the
  others.
- Starts of users can take as many start slots as there are. Starts of pools do not count toward this limit.
- While a user waits for a start slot, no start of a pool begins. While users wait only for first frames, starts of
  pools have at most half of the remaining start slots, and at least one, because an empty pool would make the next user
  wait.
- No start slot stays free while a start that may take it waits.

Starts of pools also wait for a short time after a hand-over of a staged session: the first frame for its user, or the
first answers to its program, need the CPU that the start of a container would use.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from greenroom.core.fleet.liveness import Lateness, waiting_tasks
from greenroom.core.session.reconcile import ActionKind


class Urgency(IntEnum):
    """The urgency of a change of a container. Changes with a lower value begin first."""

    USER = 0
    """A user waits for the change."""
    FREES_ROOM = 1
    """The change frees capacity of the host, or reads the cause of a failure."""
    REFILL = 2
    """The change belongs to a pool, and no user waits for it."""


@dataclass(frozen=True, slots=True, order=True)
class WaitingChange:
    """A waiting change. Changes sort in the order in which they begin. `number` grows with each change."""

    urgency: Urgency
    number: int


@dataclass(frozen=True, slots=True)
class SlotCount:
    """The number of containers that are changed in parallel: `ordinary` slots for all changes, and `for_users`
    additional slots for users only.
    """

    ordinary: int
    for_users: int = 0

    def usable_by(self, urgency: Urgency) -> int:
        """Return the number of slots that changes of this urgency may take, including the slots in use."""
        return self.ordinary + (self.for_users if urgency is Urgency.USER else 0)


_KINDS_THAT_FREE_ROOM = frozenset({ActionKind.STOP, ActionKind.PAUSE, ActionKind.REMOVE, ActionKind.EXAMINE})


def urgency_of(kind: ActionKind, *, has_user: bool) -> Urgency:
    """Return the urgency of a change. `has_user` is False for a staged session."""
    if kind in _KINDS_THAT_FREE_ROOM:
        return Urgency.FREES_ROOM
    return Urgency.USER if has_user else Urgency.REFILL


def changes_to_begin(waiting: Iterable[WaitingChange], in_use: int, slots: SlotCount) -> list[WaitingChange]:
    """Return the changes that begin now, in their order. `in_use` is the number of slots in use."""
    begun: list[WaitingChange] = []
    for change in sorted(waiting):
        if in_use + len(begun) >= slots.usable_by(change.urgency):
            break  # later changes may not take more slots than this one
        begun.append(change)
    return begun


IDLE_QUEUE: Final = 0.75
"""With fewer tasks per core than this number, some cores are idle."""
CROWDED_QUEUE: Final = 3.0
"""With more waiting tasks per core than this number, another start would delay all starts."""
MAX_START_SLOTS_PER_CORE: Final = 4
"""The maximum number of start slots per core, on a host whose starts use hardly any CPU."""
AFTER_HANDOVER_S: Final = 0.25
"""The time after a hand-over in which no start of a pool begins."""
FOR_HANDOVERS_S: Final = 1.0
"""The maximum time for which one start of a pool waits for hand-overs, even if there are many in a row."""


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """A start that waits or has begun. Starts sort in the order in which they begin. For a start of a pool,
    `workspace_slots` is the number of start slots that its workspace has. `number` grows with each start.
    """

    urgency: Urgency
    workspace_slots: int
    number: int


def next_starts(waiting: Collection[Start], begun: Collection[Start], start_slots: int) -> list[Start]:
    """Return the starts that begin now, in their order. `begun` are the starts that have a start slot already."""
    users, refills = _of_users(waiting), sorted(set(waiting) - set(_of_users(waiting)))
    users_begun = len(_of_users(begun))
    starting = sorted(users)[: max(0, start_slots - users_begun)]
    if len(starting) < len(users):
        return starting
    unpainted = users_begun + len(starting)
    refill_slots = max(1, (start_slots - unpainted) // 2) if unpainted else start_slots
    return starting + refills[: max(0, refill_slots - (len(begun) - users_begun))]


def _of_users(starts: Collection[Start]) -> list[Start]:
    return [start for start in starts if start.urgency is Urgency.USER]


def begins_after_s(waits_since_s: float, handover_s: float) -> float:
    """Return the time at which a start of a pool may begin, after the last hand-over at `handover_s`."""
    return max(waits_since_s, min(handover_s + AFTER_HANDOVER_S, waits_since_s + FOR_HANDOVERS_S))


def default_start_slots(cores: float) -> int:
    """Return the usual number of start slots: one per core, and one for a container that is being created."""
    return math.ceil(cores) + 1


class Load(Enum):
    """The use of the cores that run sessions."""

    IDLE = "idle"
    USED = "used"
    CROWDED = "crowded"


def load_of(host: Lateness) -> Load:
    """Return the load of the Agent's host from measurements of its cores. Only for Agents whose sessions run there."""
    if waiting_tasks(host) > CROWDED_QUEUE:
        return Load.CROWDED
    return Load.IDLE if host.queue < IDLE_QUEUE else Load.USED


def load_of_other_machines(late_starts: int) -> Load:
    """Return the load if sessions run on other machines, whose cores are not measured. `late_starts` is the number of
    starts that have lost their start slot without a first frame since the last call.
    """
    return Load.CROWDED if late_starts else Load.IDLE


def next_start_slots(start_slots: int, cores: float, load: Load, *, starts_wait: bool) -> int:
    """Return the number of start slots for the next second, from the present number. `starts_wait` is True if starts
    wait because all start slots are taken.

    The number follows the measured load: one slot less if the cores are crowded, one slot more if cores are idle
    although starts wait. If no start waits for a slot, the number moves one step toward the usual number.
    """
    default = default_start_slots(cores)
    if load is Load.CROWDED:
        return max(math.ceil(default / 2), start_slots - 1)
    if starts_wait and load is Load.IDLE:
        return min(math.ceil(MAX_START_SLOTS_PER_CORE * max(1.0, cores)), start_slots + 1)
    if starts_wait:
        return start_slots
    return start_slots + (default > start_slots) - (default < start_slots)
