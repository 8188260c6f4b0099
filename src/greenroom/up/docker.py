"""What `up`, `down` and `greenroom doctor` read of Docker and this host's disk, and what `down` removes there.

`core.fleet.docker_host` judges what was read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.docker_host import DockerHost
from greenroom.runtimes.docker.errors import translated
from greenroom.runtimes.docker.inspection import ANSWERS_WITHIN_S, docker, session_containers
from greenroom.runtimes.registry import open_runtime
from greenroom.up.cluster import kubernetes_settings
from greenroom.up.site import Site


async def sessions_of_containers(runtime: str, installation_id: str, folders: Sequence[Path]) -> list[str]:
    """The session id of each container of the installation; `folders` of its Agents have the simulated ones.

    Raises:
        SetupError: Docker does not answer.
    """
    if runtime == "docker":
        async with docker() as client:
            return [c.get("greenroom.session", "") for c in await session_containers(client, installation_id)]
    found: list[str] = []
    for folder in folders:
        opened = open_runtime(
            runtime,
            installation_id=installation_id,
            agent_id="",
            folder=folder,
            kubernetes=kubernetes_settings(runtime, folder),
        )
        await opened.open()
        found += [container.session_id for container in await opened.list()]
        await opened.close()
    return found


async def remove_all(runtime: str, installation_id: str, folder: Path) -> int:
    """Remove every container and network of the installation; returns the number of containers. The Agent's `folder`
    has the simulated ones.

    Raises:
        GreenroomError: the runtime does not answer or refuses.
    """
    opened = open_runtime(
        runtime,
        installation_id=installation_id,
        agent_id="",
        folder=folder,
        docker_host=os.environ.get("GREENROOM_DOCKER_HOST"),
        kubernetes=kubernetes_settings(runtime, folder),
    )
    await opened.open()
    try:
        return await opened.remove_all()
    finally:
        await opened.close()


MOUNTS: Final = Path("/proc/self/mountinfo")
_NAMES: Final = {"Engine": "Docker Engine"}
_DEVICE: Final = 2
"""Column of MOUNTS; the last column has the options of the file system."""


async def read(site: Site, disk: FreeDisk) -> DockerHost:
    """Docker and the disk of this host, for an instance with its database perhaps on the same disk; `disk` is what its
    Agents report.

    Raises:
        GreenroomError: Docker does not answer.
    """
    async with docker() as client, translated(asks=True), asyncio.timeout(ANSWERS_WITHIN_S):
        info: dict[str, Any] = await cast("Any", client.system).info()  # aiodocker leaves it untyped
        version = await client.version()
    storage: dict[str, str] = dict(info["DriverStatus"] or ())
    parts: list[dict[str, Any]] = version.get("Components") or []
    folder = Path(info["DockerRootDir"])
    device, database = _device(folder), site.layout.postgres
    is_shared = site.settings.database_url is None and device is not None and device == _device(database)
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
    """The mount options of the file system on a device."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for fields in map(str.split, mounts.read_text().splitlines()):
        if fields[_DEVICE] == number:
            return frozenset(fields[-1].split(","))
    return frozenset()


def _device(folder: Path) -> int | None:
    """The device a folder is on; None = not readable for this account, or on another host."""
    try:
        return folder.stat().st_dev
    except (FileNotFoundError, PermissionError):
        return None
