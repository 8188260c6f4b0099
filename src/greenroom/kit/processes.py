"""Reads the processes of this machine and sends signals. Each function permits that a process ends at any time."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from greenroom.core.errors import SetupError

_PR_SET_CHILD_SUBREAPER: Final = 36


def become_subreaper() -> None:
    """Make this process the new parent of its descendants whose parent ends. Raises SetupError: the kernel does not
    support it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SetupError(f"This process cannot adopt orphans: {os.strerror(ctypes.get_errno())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """The attributes of a process at the time of a read. `name` is its program without the path. `parent` is the pid of
    its present parent. `is_zombie` is True if it has ended, but no process has waited for it.
    """

    pid: int
    name: str
    parent: int
    is_zombie: bool


def processes() -> list[ProcessInfo]:
    """Return all visible processes of this machine."""
    return [process for pid in psutil.pids() if (process := _read_process(pid)) is not None]


def children(pid: int | None = None, without: Collection[int] = ()) -> list[ProcessInfo]:
    """Return the children of a process (None = this process), with adopted children and zombies, except `without`."""
    pids = [int(child) for thread in _threads(pid or os.getpid()) for child in _read_words(thread / "children")]
    return [process for child in pids if child not in without and (process := _read_process(child)) is not None]


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _read_words(file: Path) -> list[str]:
    """Return the words of a file in /proc; none for a process or thread that has ended."""
    try:
        return file.read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _read_process(pid: int) -> ProcessInfo | None:
    try:
        with (process := psutil.Process(pid)).oneshot():
            is_zombie = process.status() == psutil.STATUS_ZOMBIE
            return ProcessInfo(pid=process.pid, name=process.name(), parent=process.ppid(), is_zombie=is_zombie)
    except psutil.NoSuchProcess:
        return None


def is_running(pid: int) -> bool:
    """True if the process exists and has not ended."""
    return read_start_ticks(pid) is not None


def read_start_ticks(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot; None if there is none or it has ended. The value
    distinguishes a reused pid even after a restart of this process; psutil's `create_time` moves with the wall clock.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def read_working_folder(pid: int) -> Path | None:
    """Return the working folder of a process; None if there is no such process, it has ended, or its folder is not
    readable.
    """
    try:
        return Path(folder) if (folder := psutil.Process(pid).cwd()) else None
    except psutil.Error:
        return None


def is_listening(pid: int, address: str, port: int) -> bool:
    """True if the process itself, not one of its children, listens on a TCP port of an IPv4 address."""
    try:
        sockets = psutil.Process(pid).net_connections("tcp4")
    except psutil.Error:
        return False
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr == (address, port) for connection in sockets
    )


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def collect_ended_children() -> dict[int, int]:
    """Wait for every child that has ended; return pid → wait status."""
    statuses: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return statuses
        if pid == 0:
            return statuses
        statuses[pid] = status
