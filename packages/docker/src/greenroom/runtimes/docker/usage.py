"""The usage of the host, and the data that sessions write to its disk.

A quota limits the data if Docker's storage has quotas; otherwise it is measured, with deleted files that processes of
the container hold open: they take disk space that `du` does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.core.fleet.disk import Use
from greenroom.runtimes.contract import DiskCountError, HostUsage
from greenroom.runtimes.docker.daemon import DockerJson


def containers_here(sys: Path = Path("/sys")) -> int:
    """Number of containers on bridges of this host, of any installation: they share its limits."""
    return sum(1 for _ in sys.glob("class/net/*/brport"))


def host_usage(proc: Path = Path("/proc")) -> HostUsage:
    """Load and memory of the whole host."""
    load = float((proc / "loadavg").read_text().split()[0])
    cores = sum(line.startswith("processor") for line in (proc / "cpuinfo").read_text().splitlines())
    facts = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in (proc / "meminfo").read_text().splitlines()
        if line.startswith(("MemTotal", "MemAvailable"))
    }
    return HostUsage(cpu=load / max(1, cores), memory_bytes=facts["MemTotal"] - facts["MemAvailable"])


log = structlog.get_logger(__name__)

MEASURED_WITHIN_S: Final = 60.0
HELD_WITHIN_S: Final = 10.0


class DockerDisk:
    """Docker's storage: its folders, and its support of quotas (known after the first request for one)."""

    def __init__(self, *folders: Path) -> None:
        self._folders = set(folders)
        self._has_quotas = True
        """False after Docker refused a quota."""
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="unlinked")

    def lies_in(self, folder: str) -> None:
        self._folders.add(Path(folder))

    def free(self) -> tuple[int | None, float | None]:
        """Free bytes and the fraction of free inodes, on the fullest of the disks of containers and of this Agent. None
        = none of the disks can be read; for inodes also: they have no fixed number of them (btrfs)."""
        disks: list[os.statvfs_result] = []
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError, PermissionError):  # the daemon's folder may not be visible here
                disks.append(os.statvfs(folder))
        free_bytes = min((disk.f_bavail * disk.f_frsize for disk in disks), default=None)
        return free_bytes, min((disk.f_favail / disk.f_files for disk in disks if disk.f_files), default=None)

    async def create(self, docker: Any, config: DockerJson, name: str, limit_bytes: int) -> Any:
        """Create a container, with a quota of `limit_bytes` if possible; 0 = none.

        Raises:
            aiodocker.DockerError: Docker refuses.
        """
        if limit_bytes and self._has_quotas:
            host = {**config["HostConfig"], "StorageOpt": {"size": str(limit_bytes)}}
            try:
                return await docker.containers.create({**config, "HostConfig": host}, name=name)
            except aiodocker.DockerError as error:
                if "storage-opt" not in error.message and "storage opt" not in error.message:
                    raise
                self._has_quotas = False
                log.info("this storage has no quotas; the disk use of sessions is measured", reason=error.message)
        return await docker.containers.create(config, name=name)

    async def used(self, container: Any) -> Use | None:
        """The data that the container has written to its own disk; None = not known.

        If the Agent can read the folder, disk space and files are counted, also deleted files that are still open;
        Docker only sums up the lengths of existing files.

        Raises:
            aiodocker.DockerError: the container does not exist.
            DiskCountError: it is too much to be counted in time.
        """
        facts: DockerJson = await container.show()
        storage: DockerJson = facts.get("GraphDriver") or {}
        folders: dict[str, str] = storage.get("Data") or {}
        upper = folders.get("UpperDir", "")
        if upper and await asyncio.to_thread(os.access, upper, os.R_OK):
            counted, held = await _counted(upper), await self._count_unlinked(facts["State"]["Pid"])
            return None if counted is None else counted + held
        try:
            async with asyncio.timeout(MEASURED_WITHIN_S):
                return Use(int((await container.show(size="1")).get("SizeRw") or 0))
        except TimeoutError as error:
            await container.show()  # or Docker is slow, not this container large
            raise _not_counted(facts["Name"]) from error

    async def _count_unlinked(self, pid: int) -> Use:
        """Count deleted files in a separate thread: it may touch a file of a network file system that never answers."""
        try:
            async with asyncio.timeout(HELD_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._looking, unlinked, pid)
        except TimeoutError:
            log.warning("deleted files that a session holds open could not be counted in time", pid=pid)
            return Use()


async def _counted(folder: str) -> Use | None:
    """Count a folder; None = it does not exist any more."""
    try:
        async with asyncio.timeout(MEASURED_WITHIN_S):
            size_bytes, inodes = await asyncio.gather(_du(folder, "--block-size=1"), _du(folder, "--inodes"))
    except TimeoutError as error:
        raise _not_counted(folder) from error
    return None if size_bytes is None or inodes is None else Use(size_bytes, inodes)


async def _du(folder: str, what: str) -> int | None:
    """Measure a folder with `du`, in a separate process: a folder may have a million files."""
    argv = ("du", "--summarize", "--one-file-system", what, folder)
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=silent, stdin=silent)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    total = output.split(b"\t", 1)[0]  # files may vanish while du counts: it then exits with 1, and still prints a sum
    return int(total) if total.isdigit() else None


def _not_counted(what: str) -> DiskCountError:
    return DiskCountError(f"The disk use of {what} could not be measured within {MEASURED_WITHIN_S:g} s.")


PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
_DELETED: Final = " (deleted)"
_BLOCK_BYTES: Final = 512


def unlinked(pid: int) -> Use:
    """The space of deleted open files in the container whose first process is `pid`; empty after its end."""
    held: dict[int, int] = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        disk = (PROC / str(pid) / "root").stat().st_dev
        for process in _processes(pid):
            for file in _deleted(process):
                if file.st_dev == disk and file.st_nlink == 0:
                    held[file.st_ino] = file.st_blocks * _BLOCK_BYTES
    return Use(sum(held.values()), len(held))


def _processes(pid: int) -> list[int]:
    """All processes of the container: cgroup v1 has a tree for each controller, v2 has one."""
    for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
        _, controller, path = line.split(":", 2)
        members = CGROUPS / controller / path.lstrip("/") / "cgroup.procs"
        if controller in {"pids", ""} and members.exists():
            return [int(number) for number in members.read_text().split()]
    return [pid]


def _deleted(pid: int) -> Iterator[os.stat_result]:
    """Yield the deleted open files of a process. They are found by their links, without a request to a file system: a
    network file system may never answer."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(link.readlink()).endswith(_DELETED):
                    yield link.stat()
