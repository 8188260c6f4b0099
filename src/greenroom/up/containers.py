"""What `up` and `down` ask of Docker: is it there, is the image there, and away with what the instance left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiodocker
import aiohttp

from greenroom.core.errors import SetupError
from greenroom.runtimes.docker_errors import plainly
from greenroom.runtimes.registry import open_runtime
from greenroom.up.layout import Layout, read_json

ANSWERS_WITHIN_S: Final = 15.0
"""A daemon may be slow and not gone; one that is frozen takes connections and never says a word."""
LABEL: Final = "greenroom.installation"


@asynccontextmanager
async def docker() -> AsyncGenerator[aiodocker.Docker]:
    """A connection to the daemon of $DOCKER_HOST or the default socket.

    Raises:
        SetupError: no daemon answers.
    """
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    what_to_do = "start one (script/up does), or point DOCKER_HOST at one"
    try:
        client = aiodocker.Docker(url=os.environ.get("GREENROOM_DOCKER_HOST"))
    except (AssertionError, ValueError, OSError, aiodocker.DockerError, aiodocker.DockerContextError) as error:
        raise SetupError(f"No Docker daemon at {where} ({plainly(error)}); {what_to_do}.") from error
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await client.version()
    except (aiohttp.ClientError, OSError, TimeoutError, aiodocker.DockerError) as error:
        await client.close()
        why = plainly(error, f"it said nothing for {ANSWERS_WITHIN_S:g} s")
        raise SetupError(f"No Docker daemon answers at {where} ({why}); {what_to_do}.") from error
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


async def sessions_of_containers(runtime: str, installation_id: str, folders: Sequence[Path]) -> list[str]:
    """The session id of each container of the installation.

    Args:
        runtime: what runs its sessions.
        installation_id: on the labels of all it made.
        folders: of its Agents, where the simulated runtime keeps its containers.

    Raises:
        SetupError: Docker does not answer.
    """
    if runtime == "docker":
        async with docker() as client:
            return [c.get("greenroom.session", "") for c in await session_containers(client, installation_id)]
    found: list[str] = []
    for folder in folders:
        simulated = open_runtime(runtime, installation_id=installation_id, agent_id="", folder=folder)
        await simulated.open()
        found += [container.session_id for container in await simulated.list()]
        await simulated.close()
    return found


async def remove_all(runtime: str, installation_id: str, folder: Path) -> int:
    """Remove every container and network of the installation; returns how many containers there were.

    Args:
        runtime: what runs its sessions.
        installation_id: on the labels of all it made.
        folder: of an Agent, where the simulated runtime keeps its containers.

    Raises:
        GreenroomError: the runtime does not answer or refuses.
    """
    opened = open_runtime(
        runtime,
        installation_id=installation_id,
        agent_id="",
        folder=folder,
        docker_host=os.environ.get("GREENROOM_DOCKER_HOST"),
    )
    await opened.open()
    try:
        return await opened.remove_all()
    finally:
        await opened.close()


def runtime_name() -> str:
    """What the Agents run sessions with: the setting that `up` passes on to them."""
    return os.environ.get("GREENROOM_RUNTIME", "docker")


def runtime_of(layout: Layout) -> str:
    """What the sessions of an instance run with: it is noted at its start, for those who look at it from outside."""
    return str(read_json(layout.instance).get("runtime") or runtime_name())


async def _containers(client: aiodocker.Docker, installation_id: str) -> list[Any]:
    listing = cast("Any", client.containers).list  # aiodocker leaves it untyped
    return await listing(all=True, filters=_of(installation_id))


def _of(installation_id: str) -> dict[str, list[str]]:
    return {"label": [f"{LABEL}={installation_id}"]}
