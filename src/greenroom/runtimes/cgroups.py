"""What a container uses, from the files of its control group, version 1 and 2: 80 µs where Docker's own takes 1-2 s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from greenroom.runtimes.base import HostUsage, Usage

ROOT: Final = Path("/sys/fs/cgroup")
NANOSECONDS: Final = 1_000_000_000
MICROSECONDS: Final = 1_000_000


def membership(text: str) -> dict[str, str]:
    """Controller → path, from the text of /proc/<pid>/cgroup; the key of version 2 is the empty string."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        found |= dict.fromkeys(names.split(","), path)
    return found


def usage_of(pid: int, root: Path = ROOT, proc: Path = Path("/proc")) -> Usage | None:
    """Usage of the control group that process `pid` is in; None if it has ended or its files are not to be found."""
    try:
        groups = membership((proc / str(pid) / "cgroup").read_text())
        if "memory" in groups:
            return _version_1(root, groups)
        return _version_2(root / groups[""].lstrip("/"))
    except (OSError, KeyError, ValueError):
        return None


def _version_1(root: Path, groups: Mapping[str, str]) -> Usage:
    memory = root / "memory" / groups["memory"].lstrip("/")
    cpu = root / "cpuacct" / groups["cpuacct"].lstrip("/")
    used = int((memory / "memory.usage_in_bytes").read_text())
    reclaimable = _table(memory / "memory.stat")["total_inactive_file"]
    nanoseconds = int((cpu / "cpuacct.usage").read_text())
    return Usage(cpu_s=nanoseconds / NANOSECONDS, memory_bytes=max(0, used - reclaimable))


def _version_2(group: Path) -> Usage:
    used = int((group / "memory.current").read_text())
    reclaimable = _table(group / "memory.stat")["inactive_file"]
    microseconds = _table(group / "cpu.stat")["usage_usec"]
    return Usage(cpu_s=microseconds / MICROSECONDS, memory_bytes=max(0, used - reclaimable))


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


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
