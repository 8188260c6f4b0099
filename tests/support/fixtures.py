"""Fixtures that several suites use: Managers of a zone, and the Manager of an Agent.

A module with different needs overrides them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.support.agents import ToldAgent, joined
from tests.support.managers import Fleet, manager_here
from tests.support.real_agents import manager_of
from tests.support.scripted_manager import ScriptedManager, World

from greenroom.db.database import Database


@pytest.fixture
async def fleet(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    """The Managers of zone `default`; none is started yet."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    fleet = Fleet(dsn, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
async def door(fleet: Fleet) -> AsyncIterator[httpx2.ASGITransport]:
    """The transport for Agents to a Manager in this process."""
    async with manager_here(fleet, verdict_grace_s=1) as transport:
        yield transport


@pytest.fixture
async def agent(db: Database, door: httpx2.ASGITransport) -> ToldAgent:
    """An Agent of zone `default` that has made its first complete check-in at `door`."""
    return await joined(db, door)


@pytest.fixture
def world() -> World:
    """The desired state that scripted Managers send, and the messages that they receive."""
    return World()


@pytest.fixture
async def manager(world: World) -> AsyncIterator[ScriptedManager]:
    """A scripted Manager of `world`."""
    async with manager_of(world) as manager:
        yield manager
