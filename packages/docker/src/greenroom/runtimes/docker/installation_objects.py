"""The objects of an installation in a host's Docker: containers of sessions and the networks of web filters.

The network that all sessions share is not included. Volumes and files are not included, because they have no labels.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiodocker

from greenroom.core.session.leftovers import RuntimeObject
from greenroom.runtimes.contract import AGENT, INSTALLATION, SESSION
from greenroom.runtimes.docker import daemon
from greenroom.runtimes.docker.daemon import DockerJson
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.filter_networks import remove_network
from greenroom.runtimes.docker.spec import POLICY, ContainerOwner

CONTAINER: Final = "container"
NETWORK: Final = "network"


class DockerObjects:
    """Implements `contract.InstallationObjects`."""

    def __init__(self, client: aiodocker.Docker, installation_id: str) -> None:
        self._docker: Any = client  # aiodocker has only partial types
        self._owner = ContainerOwner(installation_id=installation_id, agent_id="")

    async def list(self) -> list[RuntimeObject]:
        installation_label = f"{INSTALLATION}={self._owner.installation_id}"
        async with translated(read_only=True):
            containers = await self._docker.containers.list(all=True, filters={"label": [installation_label]})
            networks: list[DockerJson] = await self._docker.networks.list(
                filters={"label": [installation_label, POLICY]}
            )
        now_s = time.time()
        return [
            *(_container({name: entry[name] for name in _CONTAINER_KEYS}, now_s) for entry in containers),
            *(_network(entry, now_s) for entry in networks),
        ]

    async def remove(self, item: RuntimeObject) -> None:
        async with translated():
            if item.kind == NETWORK:
                await remove_network(self._docker, self._owner, item.ref)
            else:
                await daemon.delete(self._docker, item.ref)


_CONTAINER_KEYS: Final = ("Id", "Names", "Labels", "Created")


def _container(entry: DockerJson, now_s: float) -> RuntimeObject:
    labels: dict[str, str] = entry["Labels"]
    name = str((entry["Names"] or [entry["Id"][:12]])[0]).removeprefix("/")
    return RuntimeObject(
        kind=CONTAINER,
        name=name,
        ref=entry["Id"],
        age_s=now_s - float(entry["Created"]),
        agent_id=labels.get(AGENT, ""),
        session_id=labels.get(SESSION, ""),
    )


def _network(entry: DockerJson, now_s: float) -> RuntimeObject:
    created_s = _epoch_s(entry["Created"])
    agent_id = str(entry["Labels"].get(AGENT, ""))
    return RuntimeObject(kind=NETWORK, name=entry["Name"], ref=entry["Id"], age_s=now_s - created_s, agent_id=agent_id)


def _epoch_s(text: str) -> float:
    """Parse a time of Docker, with up to nine digits after the second, to seconds since the epoch."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return time.time()  # an object with an unknown age counts as new, so it is not removed
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(match[1] + zone).astimezone(UTC).timestamp()


@asynccontextmanager
async def docker_objects(docker_host: str | None, installation_id: str) -> AsyncGenerator[DockerObjects]:
    """Open the objects of an installation. Raises RuntimeUnavailable: there is no daemon at this address."""
    client = daemon.connect(docker_host)
    try:
        yield DockerObjects(client, installation_id)
    finally:
        await client.close()
