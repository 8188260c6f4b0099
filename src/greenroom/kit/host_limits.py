"""Reads the limits of this host from /proc and /sys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from greenroom.core.fleet.host_limits import LIMITS

PROC: Final = Path("/proc")
SYS: Final = Path("/sys")
BRIDGE_PORTS: Final = 1023
"""The maximum number of ports of a network bridge, fixed in the kernel (BR_MAX_PORTS)."""
_MASK_COLUMN: Final = 7
"""The column of the network mask in /proc/net/route."""
_SESSIONS_BRIDGE: Final = re.compile("gr-[0-9a-f]{8}")
_PIDS_FILES: Final = (
    "fs/cgroup/pids/docker/pids.max",
    "fs/cgroup/docker/pids.max",
    "fs/cgroup/system.slice/docker.service/pids.max",
    "fs/cgroup/system.slice/pids.max",
)
"""The process limit of Docker's control group, for versions 1 and 2 of control groups, with and without systemd."""
_PROCESSES: Final = {
    "nofile of dockerd": ("dockerd", "Max open files"),
    "nofile of containerd": ("containerd", "Max open files"),
    "nproc of dockerd": ("dockerd", "Max processes"),
}
"""Limit → the process that has it, and its line in /proc/<pid>/limits. Containers inherit the limits of the process."""


def read_limits(proc: Path = PROC, sys: Path = SYS) -> dict[str, int]:
    """Return the values of `core.fleet.host_limits.LIMITS` by name, without unreadable and unlimited values."""
    values = {limit.name: _number(setting_file(proc, limit.name)) for limit in LIMITS if limit.is_kernel_setting}
    values["ports in net.ipv4.ip_local_port_range"] = _port_count(proc / "sys/net/ipv4/ip_local_port_range")
    values["ports of a bridge"] = BRIDGE_PORTS
    values["addresses of the sessions' network"] = min(_address_counts(proc / "net/route"), default=None)
    pid_limits = [limit for file in _PIDS_FILES if (limit := _number(sys / file)) is not None]
    values["pids.max of Docker's control group"] = min(pid_limits, default=None)
    for name, (process, line) in _PROCESSES.items():
        values[name] = min(_process_limits(proc, process, line), default=None)
    return {name: value for name, value in values.items() if value is not None}


def read_free_memory_bytes() -> int:
    """Return the bytes of memory and swap that are available to programs."""
    lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
    return sum(int(fields[1]) * 1024 for fields in lines if fields[0] in {"MemAvailable:", "SwapFree:"})


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):  # not on this host, or `max`: no limit
        return None


def _port_count(file: Path) -> int | None:
    try:
        first, last = (int(text) for text in file.read_text().split())
    except (OSError, ValueError):
        return None
    return last - first + 1


def _address_counts(routes: Path) -> Iterator[int]:
    """Yield the number of addresses that sessions can have in each network of sessions on this host, without the
    network address, the broadcast address and the address of the bridge.
    """
    try:
        lines = routes.read_text().splitlines()[1:]
    except OSError:
        return
    for fields in map(str.split, lines):
        if len(fields) > _MASK_COLUMN and _SESSIONS_BRIDGE.fullmatch(fields[0]):
            yield 2 ** (32 - int(fields[_MASK_COLUMN], 16).bit_count()) - 3


def _process_limits(proc: Path, name: str, line: str) -> Iterator[int]:
    for name_file in proc.glob("[0-9]*/comm"):
        try:
            if name_file.read_text(errors="replace").strip() != name or not _is_on_host(name_file.parent):
                continue
            limits = (name_file.parent / "limits").read_text()
        except OSError:  # the process has ended, or is not readable
            continue
        for text in limits.splitlines():  # no lines for a zombie
            if text.startswith(line) and (soft_limit := text[len(line) :].split()[0]) != "unlimited":
                yield int(soft_limit)


def _is_on_host(process: Path) -> bool:
    """True if the process does not run in a container: it then has one pid only. A container may have a process with
    the name of a daemon.
    """
    status = (process / "status").read_text()
    return any(len(text.split()) == 2 for text in status.splitlines() if text.startswith("NSpid:"))


def setting_file(proc: Path, name: str) -> Path:
    """Return the file of a kernel setting."""
    return proc / "sys" / name.replace(".", "/")
