"""A few things at once, people first: who waits for a slot gets it in the order of `core.yielding`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

from greenroom.core.yielding import SlotCount, Turn, Urgency, next_turns


class Slots:
    """See the module. All users are on one event loop."""

    def __init__(self, slots: SlotCount) -> None:
        self._slots = slots
        self._numbers = count()
        self._waiting: dict[Turn, asyncio.Future[None]] = {}
        self._in_use = 0

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def held(self, urgency: Urgency) -> AsyncGenerator[None]:
        """Hold a slot inside; waits until it is this one's turn."""
        turn = Turn(urgency, next(self._numbers))
        begun = self._waiting[turn] = asyncio.get_running_loop().create_future()
        self._begin()
        try:
            await begun
            yield
        finally:
            if self._waiting.pop(turn, None) is None:  # it had its turn
                self._in_use -= 1
                self._begin()

    def _begin(self) -> None:
        for turn in next_turns(self._waiting, self._in_use, self._slots):
            self._in_use += 1
            begun = self._waiting.pop(turn)
            if not begun.done():  # cancelled in this very moment: it gives the slot back when it runs
                begun.set_result(None)
