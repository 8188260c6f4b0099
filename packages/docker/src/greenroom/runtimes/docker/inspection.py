"""Reads facts about a Docker daemon for commands of the administrator: its availability, images, containers and disk.

`core.fleet.disk` evaluates the facts about the disk.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import aiodocker
import aiohttp

from greenroom.core.errors import SetupError
from greenroom.core.fleet.disk import DockerHost, FreeDisk
from greenroom.runtimes.contract import INSTALLATION
from greenroom.runtimes.docker.errors import error_text, translated

ANSWER_TIMEOUT_S: Final = 15.0
"""The time limit for an answer. A hanging daemon accepts connections, but does not answer."""


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
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await client.version()
    except (aiohttp.ClientError, OSError, TimeoutError, aiodocker.DockerError) as error:
        await client.close()
        reason = error_text(error, f"it did not answer within {ANSWER_TIMEOUT_S:g} s")
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
    list_containers = cast("Any", client.containers).list  # aiodocker has no type for it
    containers = await list_containers(all=True, filters={"label": [f"{INSTALLATION}={installation_id}"]})
    return [{**c["Labels"], "id": c.id, "state": str(c["State"])} for c in containers]


async def connection_problem(docker_host: str | None, timeout_s: float) -> str:
    """Return the reason why no daemon answers at this address (None = the default socket); empty if one answers."""
    client: aiodocker.Docker | None = None
    try:
        client = aiodocker.Docker(url=docker_host)
        async with asyncio.timeout(timeout_s):
            await client.version()
    except (aiohttp.ClientError, aiodocker.DockerError, aiodocker.DockerContextError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    finally:
        if client is not None:
            await client.close()
    return ""


MOUNTINFO: Final = Path("/proc/self/mountinfo")
CHANGE_LOGS: Final = tuple(Path(f"/usr/share/doc/{name}/changelog.Debian.gz") for name in ("runc", "docker.io"))
_CVE: Final = re.compile(rb"CVE-\d+-\d+")
_COMPONENT_NAMES: Final = {"Engine": "Docker Engine"}
_DEVICE_COLUMN: Final = 2
"""The column of MOUNTINFO with the device. The last column has the mount options."""


async def read_host(docker_host: str | None, database_folder: Path | None, disk: FreeDisk) -> DockerHost:
    """Read the facts about Docker and the disk of this host. `database_folder` is the folder of the instance's own
    database, which may be on the same disk. `disk` is the free disk space that the Agents of the instance report.

    Raises:
        GreenroomError: Docker does not answer.
    """
    async with open_client(docker_host) as client, translated(read_only=True), asyncio.timeout(ANSWER_TIMEOUT_S):
        info: dict[str, Any] = await cast("Any", client.system).info()  # aiodocker has no type for it
        version = await client.version()
    storage: dict[str, str] = dict(info["DriverStatus"] or ())
    components: list[dict[str, Any]] = version.get("Components") or []
    folder = Path(info["DockerRootDir"])
    device = _device(folder)
    is_shared = database_folder is not None and device is not None and device == _device(database_folder)
    return DockerHost(
        driver=info["Driver"],
        file_system=storage.get("Backing Filesystem", ""),
        folder=str(folder),
        mount_options=None if device is None else mount_options(device),
        versions={_COMPONENT_NAMES.get(part["Name"], str(part["Name"])): part["Version"] for part in components},
        backported=None if device is None else read_backported(CHANGE_LOGS),
        database=str(database_folder) if is_shared else "",
        disk=disk,
    )


def read_backported(change_logs: Iterable[Path]) -> frozenset[str] | None:
    """Return the CVE numbers in the change logs of packages: the fixes that the distribution has added to the version
    of upstream. None = no change log is installed."""
    texts = [gzip.decompress(file.read_bytes()) for file in change_logs if file.is_file()]
    return frozenset(name.decode() for text in texts for name in _CVE.findall(text)) if texts else None


def mount_options(device: int, mountinfo: Path = MOUNTINFO) -> frozenset[str]:
    """Return the mount options of the file system on a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for fields in map(str.split, mountinfo.read_text().splitlines()):
        if fields[_DEVICE_COLUMN] == number:
            return frozenset(fields[-1].split(","))
    return frozenset()


def _device(folder: Path) -> int | None:
    """Return the device of a folder, or None if this account cannot read it or it is on another host."""
    try:
        return folder.stat().st_dev
    except (FileNotFoundError, PermissionError):
        return None
