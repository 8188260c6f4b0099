"""The usage of the host, and the disk space that sessions use on it.

A quota limits the disk space if Docker's storage supports quotas. Otherwise the disk space is measured. The measurement
includes deleted files that a process of the container has open, which `du` does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import aiodocker
import structlog

from greenroom.core.fleet.disk import DiskAmount
from greenroom.core.session.reconcile import ContainerState
from greenroom.runtimes.contract import Container, DiskCountError, HostUsage, SessionUsage
from greenroom.runtimes.docker import daemon
from greenroom.runtimes.docker.daemon import DockerJson


def containers_on_this_host(sys: Path = Path("/sys")) -> int:
    """Return the number of containers on bridges of this host, of any installation, because they share its limits."""
    return sum(1 for _ in sys.glob("class/net/*/brport"))


def host_usage(proc: Path = Path("/proc")) -> HostUsage:
    """Return the load and the used memory of the whole host."""
    load = float((proc / "loadavg").read_text().split()[0])
    cores = sum(line.startswith("processor") for line in (proc / "cpuinfo").read_text().splitlines())
    memory = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in (proc / "meminfo").read_text().splitlines()
        if line.startswith(("MemTotal", "MemAvailable"))
    }
    return HostUsage(cpu=load / max(1, cores), memory_bytes=memory["MemTotal"] - memory["MemAvailable"])


PARALLEL_READINGS: Final = 4


async def session_usage(docker: Any, containers: Iterable[Container]) -> dict[str, SessionUsage]:
    """Return the usage of the running containers, by session id, at most `PARALLEL_READINGS` at a time. A container
    that ends meanwhile is omitted."""
    limit = asyncio.Semaphore(PARALLEL_READINGS)

    async def read(container: Container) -> tuple[str, SessionUsage | None]:
        async with limit:
            try:
                return container.session_id, usage_of(await daemon.stats(docker, container.container_id))
            except aiodocker.DockerError as error:
                log.debug("the usage of a container cannot be read", session_id=container.session_id, reason=str(error))
                return container.session_id, None

    running = [container for container in containers if container.state is ContainerState.RUNNING]
    read_all = await asyncio.gather(*map(read, running))
    return {session_id: usage for session_id, usage in read_all if usage is not None}


def usage_of(stats: DockerJson) -> SessionUsage | None:
    """Return the usage in an answer to `GET /containers/{id}/stats`; None if the container does not run any more.

    The memory is that of processes: cached files that the kernel can drop are subtracted. Their name depends on the
    version of cgroups.
    """
    memory: DockerJson = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details: dict[str, int] = memory.get("stats") or {}
    cached = details.get("inactive_file", details.get("total_inactive_file", 0))
    return SessionUsage(
        cpu_s=stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, memory_bytes=max(0, memory["usage"] - cached)
    )


log = structlog.get_logger(__name__)

MEASURE_TIMEOUT_S: Final = 60.0
DELETED_FILES_TIMEOUT_S: Final = 10.0


class DockerDisk:
    """The disks of Docker and of this Agent, the disk use of containers, and their quotas. The answer to the first
    request with a quota shows if the storage of Docker supports quotas.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = set(folders)
        self._has_quotas = True
        """False after Docker refused a quota."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="unlinked")

    def add_folder(self, folder: str) -> None:
        self._folders.add(Path(folder))

    def free(self) -> tuple[int | None, float | None]:
        """Return the free bytes and the fraction of free inodes: of each, the lowest value of all disks. Both are None
        if no disk can be read. The fraction is also None if no disk limits the number of inodes (btrfs).
        """
        disks: list[os.statvfs_result] = []
        for folder in self._folders:
            with contextlib.suppress(FileNotFoundError, PermissionError):  # the daemon's folder may not be visible here
                disks.append(os.statvfs(folder))
        free_bytes = min((disk.f_bavail * disk.f_frsize for disk in disks), default=None)
        return free_bytes, min((disk.f_favail / disk.f_files for disk in disks if disk.f_files), default=None)

    async def create_container(self, docker: Any, config: DockerJson, name: str, limit_bytes: int) -> Any:
        """Create a container with a quota of `limit_bytes`, if the storage supports quotas; 0 = no quota.

        Raises:
            aiodocker.DockerError: Docker refuses.
        """
        if limit_bytes and self._has_quotas:
            host_config = {**config["HostConfig"], "StorageOpt": {"size": str(limit_bytes)}}
            try:
                return await docker.containers.create({**config, "HostConfig": host_config}, name=name)
            except aiodocker.DockerError as error:
                if "storage-opt" not in error.message and "storage opt" not in error.message:
                    raise
                self._has_quotas = False
                log.info("this storage has no quotas; the disk use of sessions is measured", reason=error.message)
        return await docker.containers.create(config, name=name)

    async def measure(self, container: Any) -> DiskAmount | None:
        """Return the disk space that the container uses, or None if its folder does not exist any more.

        If the Agent can read the folder, disk space and files are counted, including deleted files that are still open.
        Otherwise Docker returns the sum of the lengths of existing files.

        Raises:
            aiodocker.DockerError: the container does not exist.
            DiskCountError: the measurement did not end within its time limit.
        """
        inspection: DockerJson = await container.show()
        storage: DockerJson = inspection.get("GraphDriver") or {}
        folders: dict[str, str] = storage.get("Data") or {}
        upper = folders.get("UpperDir", "")
        if upper and await asyncio.to_thread(os.access, upper, os.R_OK):
            existing_files = await _measure_folder(upper)
            deleted_files = await self._measure_deleted_files(inspection["State"]["Pid"])
            return None if existing_files is None else existing_files + deleted_files
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT_S):
                return DiskAmount(int((await container.show(size="1")).get("SizeRw") or 0))
        except TimeoutError as error:
            await container.show()  # raises an error if Docker itself does not answer
            raise _timeout_error(inspection["Name"]) from error

    async def _measure_deleted_files(self, pid: int) -> DiskAmount:
        """Count deleted files in a separate thread, because a network file system may never answer."""
        try:
            async with asyncio.timeout(DELETED_FILES_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._executor, deleted_open_files, pid)
        except TimeoutError:
            log.warning("deleted files that a session holds open could not be counted in time", pid=pid)
            return DiskAmount()


async def _measure_folder(folder: str) -> DiskAmount | None:
    """Return the disk space of a folder, or None if it does not exist any more."""
    try:
        async with asyncio.timeout(MEASURE_TIMEOUT_S):
            size_bytes, inodes = await asyncio.gather(_du(folder, "--block-size=1"), _du(folder, "--inodes"))
    except TimeoutError as error:
        raise _timeout_error(folder) from error
    return None if size_bytes is None or inodes is None else DiskAmount(size_bytes, inodes)


async def _du(folder: str, option: str) -> int | None:
    """Measure a folder with `du` in a separate process, because it may have a million files."""
    argv = ("du", "--summarize", "--one-file-system", option, folder)
    devnull = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=devnull, stdin=devnull)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    total = output.split(b"\t", 1)[0]  # if files vanish while du counts, it exits with 1, but still prints the sum
    return int(total) if total.isdigit() else None


def _timeout_error(subject: str) -> DiskCountError:
    return DiskCountError(f"The disk use of {subject} could not be measured within {MEASURE_TIMEOUT_S:g} s.")


PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
_DELETED: Final = " (deleted)"
_BLOCK_BYTES: Final = 512


def deleted_open_files(pid: int) -> DiskAmount:
    """Return the space and the number of deleted open files in the container whose first process is `pid`; zero after
    the end of the process.
    """
    bytes_by_inode: dict[int, int] = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        disk = (PROC / str(pid) / "root").stat().st_dev
        for process in _processes(pid):
            for file in _deleted_files(process):
                if file.st_dev == disk and file.st_nlink == 0:
                    bytes_by_inode[file.st_ino] = file.st_blocks * _BLOCK_BYTES
    return DiskAmount(sum(bytes_by_inode.values()), len(bytes_by_inode))


def _processes(pid: int) -> list[int]:
    """Return the ids of all processes of the container, from cgroup v1 (one tree per controller) or v2 (one tree)."""
    for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
        _, controller, path = line.split(":", 2)
        members = CGROUPS / controller / path.lstrip("/") / "cgroup.procs"
        if controller in {"pids", ""} and members.exists():
            return [int(number) for number in members.read_text().split()]
    return [pid]


def _deleted_files(pid: int) -> Iterator[os.stat_result]:
    """Yield the deleted open files of a process. They are found by their links in /proc, because a network file system
    may never answer.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(link.readlink()).endswith(_DELETED):
                    yield link.stat()
