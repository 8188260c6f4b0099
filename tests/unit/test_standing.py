"""What waits for a Manager that is just taking over."""

from __future__ import annotations

import asyncio

from greenroom.manager.standing import PRECEDENCE_S, Standing


async def test_agents_wait_for_the_first_round_of_a_new_primary():
    standing = Standing(10)
    await asyncio.wait_for(standing.leisure(), 1)
    standing.taking_over()
    waiting = asyncio.create_task(standing.leisure())
    await asyncio.sleep(0)
    assert not waiting.done()
    standing.took_over()
    await asyncio.wait_for(waiting, PRECEDENCE_S / 2)


async def test_they_do_not_wait_for_long():
    standing = Standing(10)
    standing.taking_over()
    await asyncio.wait_for(standing.leisure(), 10 * PRECEDENCE_S)
