"""Deleted files that processes of a container hold open: they take disk space that `du` does not see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from greenroom.core.fleet.disk import Use

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
_DELETED: Final = " (deleted)"
_BLOCK_BYTES: Final = 512


def unlinked(pid: int) -> Use:
    """The space of such files in the container whose first process is `pid`; nothing once that has ended."""
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
    """Found by its links, without asking a file system: a network file system may never answer."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(link.readlink()).endswith(_DELETED):
                    yield link.stat()
