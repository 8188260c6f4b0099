"""Shared readings, and turns by source."""

from __future__ import annotations

import asyncio

import pytest

from greenroom.core.errors import TooManyRequests
from greenroom.kit.concurrency import Coalesced, Turns


async def test_those_who_ask_during_a_reading_share_the_next_one():
    number, begun, go = 0, asyncio.Event(), asyncio.Event()

    async def read() -> int:
        nonlocal number
        number += 1
        mine = number
        begun.set()
        await go.wait()
        return mine

    offers = Coalesced(read)
    first = asyncio.create_task(offers.get())
    await begun.wait()
    others = [asyncio.create_task(offers.get()) for _ in range(50)]
    await asyncio.sleep(0)
    go.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}, "begun after all of them had asked"
    assert await offers.get() == 3


async def test_turns_go_round_by_source():
    turns, served = Turns(1, most_waiting=100, most_of_one=50), list[str]()

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
    turns = Turns(1, most_waiting=3, most_of_one=2)
    async with turns.turn("a"):
        waiting = [asyncio.create_task(turns.turn(source).__aenter__()) for source in ("b", "b", "c")]
        await asyncio.sleep(0)
        for source in ("b", "d"):
            with pytest.raises(TooManyRequests) as refused:
                await turns.turn(source).__aenter__()
            retry_after_s = refused.value.details["retry_after_s"]
            assert isinstance(retry_after_s, int)
            assert retry_after_s > 0
        waiting[0].cancel()
        await asyncio.sleep(0)
    await waiting[2]


async def test_a_turn_that_came_to_a_request_that_left_goes_on():
    turns = Turns(1, most_waiting=3, most_of_one=2)
    async with turns.turn("a"):
        left = asyncio.create_task(turns.turn("b").__aenter__())
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    async with asyncio.timeout(10), turns.turn("c"):
        pass
