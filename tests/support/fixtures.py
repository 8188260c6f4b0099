"""Fixtures of more than one suite: Managers of one zone, and the Manager of an Agent.

A module with other needs overrides them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.agents import ToldAgent, joined
from tests.support.managers import Fleet, manager_here
from tests.support.real_agents import manager_of
from tests.support.scripted_manager import ScriptedManager, World

from greenroom.db.database import Database


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """The Managers of zone `default`, none started yet."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[httpx.ASGITransport]:
    """A Manager's side for Agents, in this process."""
    async with manager_here(fleet, verdict_grace_s=1) as transport:
        yield transport


@pytest.fixture
async def agent(db: Database, door: httpx.ASGITransport) -> ToldAgent:
    """An Agent of zone `default` that has made its first complete check-in at `door`."""
    return await joined(db, door)


@pytest.fixture
def world() -> World:
    """What a Manager wants and receives, as the test says."""
    return World()


@pytest.fixture
async def manager(world: World) -> AsyncIterator[ScriptedManager]:
    """The Manager of `world`, which an Agent reaches."""
    async with manager_of(world) as manager:
        yield manager
