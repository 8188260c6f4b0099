"""Reads facts about a Docker daemon for commands of the administrator: its availability, images, containers and disk.

`core.fleet.disk` evaluates the facts about the disk.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiodocker
import aiohttp

from greenroom.core.errors import SetupError
from greenroom.core.fleet.disk import DockerHost, FreeDisk
from greenroom.runtimes.docker.errors import error_text, translated

ANSWERS_WITHIN_S: Final = 15.0
"""The time limit for an answer. A daemon that hangs accepts connections and never answers."""
LABEL: Final = "greenroom.installation"


@asynccontextmanager
async def open_client(docker_host: str | None) -> AsyncGenerator[aiodocker.Docker]:
    """Open a connection to the daemon at this address; None = the address in $DOCKER_HOST or the default socket.

    Raises:
        SetupError: no daemon answers.
    """
    address = docker_host or os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    remedy = "start one with `sudo greenroom host setup`, or set DOCKER_HOST"
    try:
        client = aiodocker.Docker(url=docker_host)
    except (AssertionError, ValueError, OSError, aiodocker.DockerError, aiodocker.DockerContextError) as error:
        raise SetupError(f"No Docker daemon at {address} ({error_text(error)}); {remedy}.") from error
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await client.version()
    except (aiohttp.ClientError, OSError, TimeoutError, aiodocker.DockerError) as error:
        await client.close()
        reason = error_text(error, f"it did not answer within {ANSWERS_WITHIN_S:g} s")
        raise SetupError(f"No Docker daemon answers at {address} ({reason}); {remedy}.") from error
    try:
        yield client
    finally:
        await client.close()


async def has_image(client: aiodocker.Docker, reference: str) -> bool:
    """Return True if the daemon has the image."""
    try:
        await client.images.inspect(reference)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return False
        raise SetupError(f"Docker could not inspect the image {reference}: {error.message}") from error
    return True


async def session_containers(client: aiodocker.Docker, installation_id: str) -> list[dict[str, str]]:
    """Return the labels of all containers of the installation in any state, with the additional keys `id` and
    `state`.
    """
    containers = await _containers(client, installation_id)
    return [{**c["Labels"], "id": c.id, "state": str(c["State"])} for c in containers]


async def _containers(client: aiodocker.Docker, installation_id: str) -> list[Any]:
    listing = cast("Any", client.containers).list  # aiodocker has no type for it
    return await listing(all=True, filters=_label_filter(installation_id))


def _label_filter(installation_id: str) -> dict[str, list[str]]:
    return {"label": [f"{LABEL}={installation_id}"]}


async def connection_problem(url: str | None, within_s: float) -> str:
    """Return the reason why no daemon answers at `url` (None = the default socket); empty if one answers."""
    client: aiodocker.Docker | None = None
    try:
        client = aiodocker.Docker(url=url)
        async with asyncio.timeout(within_s):
            await client.version()
    except (aiohttp.ClientError, aiodocker.DockerError, aiodocker.DockerContextError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    finally:
        if client is not None:
            await client.close()
    return ""


MOUNTS: Final = Path("/proc/self/mountinfo")
_NAMES: Final = {"Engine": "Docker Engine"}
_DEVICE: Final = 2
"""The column of MOUNTS with the device. The last column has the options of the file system."""


async def read_host(docker_host: str | None, database: Path | None, disk: FreeDisk) -> DockerHost:
    """Read the facts about Docker and the disk of this host. `database` is the database folder of the instance, which
    may be on the same disk. `disk` is the free disk space that the Agents of the instance report.

    Raises:
        GreenroomError: Docker does not answer.
    """
    async with open_client(docker_host) as client, translated(read_only=True), asyncio.timeout(ANSWERS_WITHIN_S):
        info: dict[str, Any] = await cast("Any", client.system).info()  # aiodocker has no type for it
        version = await client.version()
    storage: dict[str, str] = dict(info["DriverStatus"] or ())
    parts: list[dict[str, Any]] = version.get("Components") or []
    folder = Path(info["DockerRootDir"])
    device = _device(folder)
    is_shared = database is not None and device is not None and device == _device(database)
    return DockerHost(
        driver=info["Driver"],
        file_system=storage.get("Backing Filesystem", ""),
        folder=str(folder),
        mount_options=None if device is None else mount_options(device),
        versions={_NAMES.get(part["Name"], str(part["Name"])): part["Version"] for part in parts},
        database=str(database) if is_shared else "",
        disk=disk,
    )


def mount_options(device: int, mounts: Path = MOUNTS) -> frozenset[str]:
    """Return the mount options of the file system on a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for fields in map(str.split, mounts.read_text().splitlines()):
        if fields[_DEVICE] == number:
            return frozenset(fields[-1].split(","))
    return frozenset()


def _device(folder: Path) -> int | None:
    """Return the device of a folder, or None if this account cannot read it or it is on another host."""
    try:
        return folder.stat().st_dev
    except (FileNotFoundError, PermissionError):
        return None
