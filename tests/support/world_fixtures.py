"""A gateway with its world for the tests of a module (`world`), or for a single test (`own_world`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.support.gateways import World, served_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world() -> AsyncIterator[World]:
    async with served_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> World:
    await shared_world.cuts_are_over()
    shared_world.reset()
    return shared_world


@pytest_asyncio.fixture(loop_scope="module")
async def own_world() -> AsyncIterator[World]:
    async with served_world() as world:
        yield world
