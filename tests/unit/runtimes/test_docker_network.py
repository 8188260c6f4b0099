"""The sessions' network exists when a container is created for it, no matter who removed it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiodocker
import pytest

from greenroom.runtimes.docker.networks import SessionsNetwork
from greenroom.runtimes.docker.spec import ContainerOwner

IDENTITY = ContainerOwner(installation_id="11111111-0000-4000-8000-000000000000", agent_id="a")


class Networks:
    """The networks of a Docker daemon, of which two cannot have the same bridge; `refuses` makes creations fail."""

    def __init__(self, *names: str, refuses: bool = False) -> None:
        self.networks = self
        self.names = list(names)
        self._refuses = refuses

    async def list(self, **_filters: object) -> list[dict[str, Any]]:
        """All networks; others may send requests at the same time."""
        found = [{"Name": name} for name in self.names]
        await asyncio.sleep(0)
        return found

    async def create(self, config: dict[str, Any]) -> None:
        """Create a network."""
        if self._refuses or config["Name"] in self.names:
            raise aiodocker.DockerError(403, "networks have same bridge name")
        self.names.append(config["Name"])


async def test_a_network_that_was_removed_is_made_again_once():
    docker: Any = Networks("foreign")
    network = SessionsNetwork(IDENTITY)
    await asyncio.gather(*(network.recreate_if_pruned(docker, IDENTITY.network) for _ in range(3)))
    await network.recreate_if_pruned(docker, IDENTITY.network)
    assert docker.names == ["foreign", IDENTITY.network]


async def test_a_network_that_cannot_be_made_is_refused_and_no_other_is_made():
    docker: Any = Networks(refuses=True)
    with pytest.raises(aiodocker.DockerError):
        await SessionsNetwork(IDENTITY).recreate_if_pruned(docker, IDENTITY.network)
    await SessionsNetwork(IDENTITY).recreate_if_pruned(docker, f"{IDENTITY.network}-web-a-b")
    assert docker.names == []
