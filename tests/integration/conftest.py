"""Fixtures several modules share: Managers of one zone, the Manager of an Agent, and a Docker host.

A module with other needs overrides them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import httpx
import pytest
from tests.integration.managers import Fleet, manager_here
from tests.integration.real_agents import manager_of
from tests.integration.runtime_hosts import Host

from greenroom.db.database import Database
from greenroom.runtimes.contract import Runtime
from greenroom.testing.manager import ScriptedManager, World


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
def world() -> World:
    """What a Manager wants and hears, as the test says."""
    return World()


@pytest.fixture
async def manager(world: World) -> AsyncIterator[ScriptedManager]:
    """The Manager of `world`, which an Agent reaches."""
    async with manager_of(world) as manager:
        yield manager


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host with Docker; its containers are gone afterwards."""
    host = Host("docker", tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> Runtime:
    """The runtime of one Agent on `host`."""
    return await host.open()


@pytest.fixture
async def docker(docker_url: str) -> AsyncIterator[aiodocker.Docker]:
    """The daemon's own interface, to look past the runtime."""
    async with aiodocker.Docker(docker_url) as client:
        yield client
