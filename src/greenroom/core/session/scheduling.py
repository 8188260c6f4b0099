"""Users first: which container is changed next when an Agent has more changes than it makes at once.

A host starts containers fastest a few at a time, so an Agent has a number of *slots*; a few extra ones are reserved for
users, who do not wait for the starts of a pool. The rules, each of them a property test:

- Among those that wait, a more urgent one begins first; of equal urgency, the one that waited longest.
- Nothing that has begun is aborted.
- Refills never take more than the ordinary slots; users may take the reserved ones as well.
- No slot stays free while something that may take it waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

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
