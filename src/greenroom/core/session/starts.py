"""Which container is changed next, users' first; and which starts begin: as many side by side as the cores carry.

A host starts containers fastest a few at a time, so an Agent has a number of *slots*; a few extra ones are reserved for
users, who do not wait for the starts of a pool. The rules, each of them a property test:

- Among those that wait, a more urgent one begins first; of equal urgency, the one that waited longest.
- Nothing that has begun is aborted.
- Refills never take more than the ordinary slots; users may take the reserved ones as well.
- No slot stays free while something that may take it waits.

What a start costs is its first frame, not its container, so a start keeps its place until the frame is painted. Starts
of a pool also get less of the CPU until then. The rules, each of them a property test:

- A user's start begins before those of pools that wait, and of users' the one that waited longest. Of those of pools
  it is one of the workspace that holds fewest places: a workspace that does not start must not hold up the others.
- At most `width` starts of users hold a place. Those of pools take none of them away.
- While a user waits for a place, no start of a pool begins. While users wait for first frames only, those of pools hold
  half the places that are left at most, and one at least: a pool that got nothing would make the next user wait too.
- No place stays free while a start that may take it waits.

Those of pools also wait for a moment after a staged session went to its user: its first picture, or the first answers
to its program, need the CPU that the start of a container would take.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from greenroom.core.fleet.liveness import Lateness, crowd
from greenroom.core.session.reconcile import ActionKind


class Urgency(IntEnum):
    """Which change of a container goes first; the lower, the sooner."""

    PERSON = 0
    """A user waits for it."""
    ROOM = 1
    """It frees room, or finds out why something failed."""
    REFILL = 2
    """A pool wants it, and no user waits yet."""


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """A change that waits for a slot; `number` grows with each. They sort in the order in which they begin."""

    urgency: Urgency
    number: int


@dataclass(frozen=True, slots=True)
class SlotCount:
    """How many containers are changed at once: `ordinary` by all, `for_people` more for users only."""

    ordinary: int
    for_people: int = 0

    def open_to(self, urgency: Urgency) -> int:
        """The slots this urgency may take, those in use included."""
        return self.ordinary + (self.for_people if urgency is Urgency.PERSON else 0)


_GIVES_ROOM = frozenset({ActionKind.STOP, ActionKind.PAUSE, ActionKind.REMOVE, ActionKind.EXAMINE})


def urgency_of(kind: ActionKind, *, has_user: bool) -> Urgency:
    """How urgent a change is; `has_user` False = the session is staged."""
    if kind in _GIVES_ROOM:
        return Urgency.ROOM
    return Urgency.PERSON if has_user else Urgency.REFILL


def next_turns(waiting: Iterable[Turn], in_use: int, slots: SlotCount) -> list[Turn]:
    """Those that begin now, in their order, while `in_use` slots are taken."""
    begun: list[Turn] = []
    for turn in sorted(waiting):
        if in_use + len(begun) >= slots.open_to(turn.urgency):
            break  # nothing later in the order may take more than this one
        begun.append(turn)
    return begun


IDLE_QUEUE: Final = 0.75
"""With fewer tasks for each core than this, cores are idle: what holds the places needs none of them."""
CROWD: Final = 3.0
"""Tasks for each core beyond the first, from which on another start makes all of them later."""
MOST_FOR_A_CORE: Final = 4
"""Places, on a host whose starts use hardly any CPU."""
AFTER_HANDOVER_S: Final = 0.25
"""The moment after a hand-over in which no start of a pool begins."""
FOR_HANDOVERS_S: Final = 1.0
"""One start of a pool waits no longer for hand-overs, however many follow one another."""


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """A start that waits or has begun; they sort in the order in which they begin. `beside`: for one of a pool, the
    places that its workspace holds; `number` grows with each start."""

    urgency: Urgency
    beside: int
    number: int


def next_starts(waiting: Collection[Start], begun: Collection[Start], width: int) -> list[Start]:
    """Those that begin now, in their order, while the starts `begun` have no first frame yet."""
    users, refills = _of_users(waiting), sorted(set(waiting) - set(_of_users(waiting)))
    users_begun = len(_of_users(begun))
    starting = sorted(users)[: max(0, width - users_begun)]
    if len(starting) < len(users):
        return starting
    unpainted = users_begun + len(starting)
    room = max(1, (width - unpainted) // 2) if unpainted else width
    return starting + refills[: max(0, room - (len(begun) - users_begun))]


def _of_users(starts: Collection[Start]) -> list[Start]:
    return [start for start in starts if start.urgency is Urgency.PERSON]


def begins_after_s(waits_since_s: float, handover_s: float) -> float:
    """When a start of a pool may begin that waits since then, if the last hand-over was at `handover_s`."""
    return max(waits_since_s, min(handover_s + AFTER_HANDOVER_S, waits_since_s + FOR_HANDOVERS_S))


def usual_width(cores: float) -> int:
    """As many as the host has cores, and one whose container is being made meanwhile."""
    return math.ceil(cores) + 1


class Load(Enum):
    """How much of what runs sessions is used."""

    IDLE = "idle"
    USED = "used"
    CROWDED = "crowded"


def load_of(host: Lateness) -> Load:
    """Where sessions share the cores of the Agent's own host, which are measured."""
    if crowd(host) > CROWD:
        return Load.CROWDED
    return Load.IDLE if host.queue < IDLE_QUEUE else Load.USED


def load_elsewhere(late: int) -> Load:
    """Where sessions run on other machines, whose cores are not seen: by the starts that were `late` since the last
    look, those without a first frame when their place was given to the next."""
    return Load.CROWDED if late else Load.IDLE


def next_width(width: int, cores: float, load: Load, *, short: bool) -> int:
    """The number of places a second later; `short`: starts wait, and all places are taken.

    Measured, not reckoned: one place more while cores are idle although starts wait, one less while the tasks crowd.
    """
    usual = usual_width(cores)
    if load is Load.CROWDED:
        return max(math.ceil(usual / 2), width - 1)
    if short and load is Load.IDLE:
        return min(math.ceil(MOST_FOR_A_CORE * max(1.0, cores)), width + 1)
    if short:
        return width
    return width + (usual > width) - (usual < width)
