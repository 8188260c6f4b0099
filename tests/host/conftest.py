"""Fixtures that several modules use: Managers of a zone, the Manager of an Agent, and a Docker host.

A module with different needs overrides them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest
from tests.support.fixtures import door, fleet, manager, world
from tests.support.runtime_hosts import Host

from greenroom.runtimes.contract import HostRuntime

__all__ = ["door", "fleet", "manager", "world"]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host with Docker; its containers are removed at the end."""
    host = Host("docker", tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> HostRuntime:
    """The runtime of an Agent on `host`."""
    return await host.open()


@pytest.fixture
async def docker(docker_url: str) -> AsyncIterator[aiodocker.Docker]:
    """The interface of the daemon itself, to bypass the runtime."""
    async with aiodocker.Docker(docker_url) as client:
        yield client
