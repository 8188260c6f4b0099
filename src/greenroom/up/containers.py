"""What `up` and `down` ask of Docker: is it there, is the image there, and away with what the instance left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import aiodocker
import aiohttp

from greenroom.core.errors import SetupError

LABEL: Final = "greenroom.installation"
AT_ONCE: Final = 4
"""Containers removed in parallel: the daemon gets no faster beyond twice its cores."""


@asynccontextmanager
async def docker() -> AsyncGenerator[aiodocker.Docker]:
    """A connection to the daemon of $DOCKER_HOST or the default socket.

    Raises:
        SetupError: no daemon answers.
    """
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    what_to_do = "start one (script/up does), or point DOCKER_HOST at one"
    try:
        client = aiodocker.Docker()
    except (ValueError, OSError, aiodocker.DockerError) as error:
        raise SetupError(f"No Docker daemon at {where} ({error}); {what_to_do}.") from error
    try:
        await client.version()
    except (aiohttp.ClientError, OSError, TimeoutError, aiodocker.DockerError) as error:
        await client.close()
        raise SetupError(f"No Docker daemon answers at {where} ({error}); {what_to_do}.") from error
    try:
        yield client
    finally:
        await client.close()


async def has_image(client: aiodocker.Docker, reference: str) -> bool:
    """Whether the daemon has the image."""
    try:
        await client.images.inspect(reference)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return False
        raise SetupError(f"Docker could not look for the image {reference}: {error.message}") from error
    return True


async def session_containers(client: aiodocker.Docker, installation_id: str) -> list[dict[str, str]]:
    """The labels of all containers of the installation, running or not, with `id` and `state` beside them."""
    found = await _containers(client, installation_id)
    return [{**c["Labels"], "id": c.id, "state": str(c["State"])} for c in found]


async def remove_all(client: aiodocker.Docker, installation_id: str) -> int:
    """Remove every container and network of the installation; returns how many containers there were.

    Raises:
        SetupError: something could not be removed.
    """
    containers = await _containers(client, installation_id)
    slots = asyncio.Semaphore(AT_ONCE)

    async def remove(container: Any) -> None:
        async with slots:
            await _unless_gone(container.delete(force=True, v=True))

    try:
        await asyncio.gather(*(remove(container) for container in containers))
        for found in await client.networks.list(filters=_of(installation_id)):
            network = await client.networks.get(found["Id"])
            await _unless_gone(network.delete())
    except aiodocker.DockerError as error:
        raise SetupError(f"Docker could not remove what belongs to this instance: {error.message}") from error
    return len(containers)


async def _containers(client: aiodocker.Docker, installation_id: str) -> list[Any]:
    listing = cast("Any", client.containers).list  # aiodocker leaves it untyped
    return await listing(all=True, filters=_of(installation_id))


async def _unless_gone(removal: Any) -> None:
    try:
        await removal
    except aiodocker.DockerError as error:
        if error.status != 404:
            raise


def _of(installation_id: str) -> dict[str, list[str]]:
    return {"label": [f"{LABEL}={installation_id}"]}
