"""The slots of an Agent for changes of containers: the waiting changes, and the running ones."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from greenroom.agent.concurrency import Slots
from greenroom.core.session.starts import SlotCount, Urgency

USER, FREES_ROOM, REFILL = Urgency.USER, Urgency.FREES_ROOM, Urgency.REFILL


class Crowd:
    """Tasks that hold a slot until they may end; `begun` are their names in the order in which they began."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.begun: list[str] = []
        self.may_end: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, urgency: Urgency) -> None:
        """Another task arrives, and waits or begins."""
        self.may_end[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, urgency))
        await asyncio.sleep(0)

    async def _hold(self, name: str, urgency: Urgency) -> None:
        async with self.slots.acquire(urgency):
            self.begun.append(name)
            await self.may_end[name].wait()

    async def end(self, name: str) -> None:
        """A task releases its slot, and the next one begins."""
        self.may_end[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def cancel(self, name: str) -> None:
        """A task is cancelled, waiting or not."""
        self.tasks[name].cancel()
        with suppress(asyncio.CancelledError):
            await self.tasks[name]
        await asyncio.sleep(0)


async def test_a_user_overtakes_waiting_and_running_refills():
    crowd = Crowd(Slots(SlotCount(ordinary=2, for_users=1)))
    for name in ("refill-1", "refill-2", "refill-3"):
        await crowd.come(name, REFILL)
    await crowd.come("ann", USER)
    assert crowd.begun == ["refill-1", "refill-2", "ann"]
    await crowd.come("bob", USER)
    await crowd.come("removal", FREES_ROOM)
    await crowd.end("refill-1")
    assert crowd.begun[3:] == ["bob"]
    await crowd.end("refill-2")
    assert crowd.begun[4:] == [], "people take up the slots they share with refills"
    await crowd.end("ann")
    await crowd.end("bob")
    assert crowd.begun[4:] == ["removal", "refill-3"]


async def test_one_that_is_cancelled_takes_no_slot_along():
    crowd = Crowd(Slots(SlotCount(ordinary=1)))
    await crowd.come("first", REFILL)
    await crowd.come("waiting", REFILL)
    await crowd.come("last", REFILL)
    await crowd.cancel("waiting")
    assert crowd.slots.waiting == 1
    await crowd.cancel("first")
    assert crowd.begun == ["first", "last"]


async def test_one_that_is_cancelled_when_its_turn_comes_passes_it_on():
    crowd = Crowd(Slots(SlotCount(ordinary=1)))
    await crowd.come("first", REFILL)
    await crowd.come("unlucky", REFILL)
    await crowd.come("last", REFILL)
    crowd.may_end["first"].set()
    crowd.tasks["first"].add_done_callback(lambda _: crowd.tasks["unlucky"].cancel())
    await crowd.tasks["first"]
    await asyncio.wait([crowd.tasks["unlucky"]])
    await asyncio.sleep(0)
    assert crowd.begun[-1] == "last"
