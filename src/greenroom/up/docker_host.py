"""What `greenroom doctor` looks at in Docker and on the disk of this host; what to think of it is in the core."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final, cast

from greenroom.core.docker_host import DockerHost
from greenroom.db.diagnostics import Disk
from greenroom.runtimes.docker_errors import translated
from greenroom.up.containers import ANSWERS_WITHIN_S, docker
from greenroom.up.layout import Layout, read_json

MOUNTS: Final = Path("/proc/self/mountinfo")
_NAMES: Final = {"Engine": "Docker Engine"}
_DEVICE: Final = 2
"""Column of MOUNTS; the last one has the options of the file system."""


async def read(layout: Layout, disk: Disk) -> DockerHost:
    """Docker and the disk of this host.

    Args:
        layout: of the instance, whose database may be beside Docker.
        disk: what the Agents of this host see of it.

    Raises:
        GreenroomError: Docker does not answer.
    """
    async with docker() as client, translated(asks=True), asyncio.timeout(ANSWERS_WITHIN_S):
        info: dict[str, Any] = await cast("Any", client.system).info()  # aiodocker leaves it untyped
        version = await client.version()
    storage: dict[str, str] = dict(info["DriverStatus"] or ())
    parts: list[dict[str, Any]] = version.get("Components") or []
    folder = Path(info["DockerRootDir"])
    is_embedded = read_json(layout.instance).get("database_url") is None
    device = _device(folder)
    is_shared = is_embedded and device is not None and device == _device(layout.postgres)
    return DockerHost(
        driver=info["Driver"],
        file_system=storage.get("Backing Filesystem", ""),
        folder=str(folder),
        mount_options=None if device is None else mount_options(device),
        versions={_NAMES.get(part["Name"], str(part["Name"])): part["Version"] for part in parts},
        database=str(layout.postgres) if is_shared else "",
        free_bytes=disk.free_bytes,
        kept_bytes=disk.kept_bytes,
    )


def mount_options(device: int, mounts: Path = MOUNTS) -> frozenset[str]:
    """The options of the file system on a device, wherever it is mounted."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for fields in map(str.split, mounts.read_text().splitlines()):
        if fields[_DEVICE] == number:
            return frozenset(fields[-1].split(","))
    return frozenset()


def _device(folder: Path) -> int | None:
    """What a folder lies on; None = it is out of sight: another host's, or not for this account to look at."""
    try:
        return folder.stat().st_dev
    except (FileNotFoundError, PermissionError):
        return None
