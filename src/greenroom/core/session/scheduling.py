"""Users first: which container is changed next when more are to be changed than an Agent changes at once.

A host starts containers fastest a few at a time, so an Agent has a number of *slots*. While a pool is refilled, all of
them are taken and more starts are queued. A user who waits for a desktop does not wait for those: a start for a user
goes first, and a few extra slots are reserved for users, so that they do not wait even for starts under way. The rules,
each of them a property test:

- Among those that wait, a more urgent one begins first, and of one urgency the one that waited longest.
- Nothing that has begun is broken off.
- Refills never take more than the ordinary slots; people may take those kept for them as well.
- No slot that may be taken stays free while somebody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from greenroom.core.session.reconcile import ActionKind


class Urgency(IntEnum):
    """Whose change of a container goes first; the lower, the sooner."""

    PERSON = 0
    """Somebody waits for it."""
    ROOM = 1
    """It gives room back, or tells why something failed."""
    REFILL = 2
    """A pool wants it, and nobody waits yet."""


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """One that waits for a slot; `number` grows with every one that comes. They sort as they are to begin."""

    urgency: Urgency
    number: int


@dataclass(frozen=True, slots=True)
class SlotCount:
    """How many containers are changed at once: `ordinary` by anybody, `for_people` more for people alone."""

    ordinary: int
    for_people: int = 0

    def open_to(self, urgency: Urgency) -> int:
        """The slots this urgency may take, those in use included."""
        return self.ordinary + (self.for_people if urgency is Urgency.PERSON else 0)


_GIVES_ROOM = frozenset({ActionKind.STOP, ActionKind.PAUSE, ActionKind.REMOVE, ActionKind.EXAMINE})


def urgency_of(kind: ActionKind, *, has_user: bool) -> Urgency:
    """How urgent a change is; `has_user`: the session is somebody's, it is not a staged one."""
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
