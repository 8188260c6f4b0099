"""Shared reads, and turns by source."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine

import pytest

from greenroom.core.errors import TooManyRequests, Unavailable
from greenroom.kit.concurrency import CachedReads, CoalescedRead, CoalescedReads, FairLimit
from greenroom.kit.passwords import MAX_WAITING, MAX_WAITING_OF_SOURCE, RETRY_S, admit


async def test_those_who_ask_during_a_reading_share_the_next_one():
    number, begun, go = 0, asyncio.Event(), asyncio.Event()

    async def read() -> int:
        nonlocal number
        number += 1
        mine = number
        begun.set()
        await go.wait()
        return mine

    offers = CoalescedRead(read)
    first = asyncio.create_task(offers.get())
    await begun.wait()
    others = [asyncio.create_task(offers.get()) for _ in range(50)]
    await asyncio.sleep(0)
    go.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}, "begun after all of them had asked"
    assert await offers.get() == 3


@pytest.mark.parametrize("shared", [lambda read: CoalescedRead(read).get(), lambda read: CachedReads(0).get("a", read)])
async def test_asyncio_does_not_report_the_error_of_a_read_for_which_no_caller_waits(
    shared: Callable[[Callable[[], Coroutine[None, None, int]]], Awaitable[int]],
):
    reported, begun, go = list[dict[str, object]](), asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def fail() -> int:
        begun.set()
        await go.wait()
        raise Unavailable

    caller = asyncio.ensure_future(shared(fail))
    await begun.wait()
    caller.cancel()
    await asyncio.wait([caller])
    go.set()
    await asyncio.wait([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
    del caller
    gc.collect()
    assert reported == []


async def test_readings_are_shared_by_name():
    read, begun, go = list[str](), asyncio.Event(), asyncio.Event()

    async def one(name: str) -> int:
        read.append(name)
        begun.set()
        await go.wait()
        return len(read)

    keys = CoalescedReads(one)
    first = asyncio.create_task(keys.get("a"))
    await begun.wait()
    others = [asyncio.create_task(keys.get(name)) for name in "aaab"]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *others)
    assert sorted(read) == ["a", "a", "b"], "those of one name share a reading that began after they asked"
    await keys.get("a")
    assert sorted(read) == ["a", "a", "a", "b"], "nothing is kept"


async def test_turns_go_round_by_source():
    turns, served = FairLimit(1, lambda *_: None), list[str]()

    async def one(source: str) -> None:
        async with turns.turn(source):
            served.append(source)
            await asyncio.sleep(0)

    flood = [asyncio.create_task(one("flood")) for _ in range(30)]
    await asyncio.sleep(0)
    await asyncio.gather(*flood, one("person"), one("another"))
    assert max(served.index("person"), served.index("another")) <= 5
    assert len(served) == 32


async def test_leaving_the_queue_costs_no_turn_and_the_queue_is_bounded():
    def admit(waiting: int, of_source: int) -> None:
        if waiting >= 3 or of_source >= 2:
            raise TooManyRequests

    turns = FairLimit(1, admit)
    async with turns.turn("a"):
        waiting = [asyncio.create_task(turns.turn(source).__aenter__()) for source in ("b", "b", "c")]
        await asyncio.sleep(0)
        for source in ("b", "d"):
            with pytest.raises(TooManyRequests):
                await turns.turn(source).__aenter__()
        waiting[0].cancel()
        await asyncio.sleep(0)
    await waiting[2]


async def test_a_turn_that_came_to_a_request_that_left_goes_on():
    turns = FairLimit(1, lambda *_: None)
    async with turns.turn("a"):
        left = asyncio.create_task(turns.turn("b").__aenter__())
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    async with asyncio.timeout(10), turns.turn("c"):
        pass


@pytest.mark.parametrize(("waiting", "of_source"), [(MAX_WAITING, 0), (MAX_WAITING_OF_SOURCE, MAX_WAITING_OF_SOURCE)])
def test_a_refused_log_in_says_when_to_come_again(waiting: int, of_source: int):
    admit(waiting - 1, of_source - 1)
    with pytest.raises(TooManyRequests) as refused:
        admit(waiting, of_source)
    assert refused.value.details == {"retry_after_s": RETRY_S}
