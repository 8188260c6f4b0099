"""One look whether a staged session still is usable: CPU of who looks and of the container, without what it idles."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import raw
from bench.table import Figure, median, spread
from greenroom.runtimes.probe import Prober
from greenroom.up.checks import desktop_image

ROUNDS = 7
PROBES = 60
"""Of a round."""
PAUSE_S = 0.05
SETTLES_S = 5.0
"""What a desktop does at its start is over by then."""
CPU_MS = 5.0


async def _cpu_ms(pid: int, act: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of CPU of this process and of the container with process `pid`, per `act`."""
    begun_s = _used_s(pid)
    for _ in range(PROBES):
        await act()
        await asyncio.sleep(PAUSE_S)
    return (_used_s(pid) - begun_s) * 1000 / PROBES


def _used_s(pid: int) -> float:
    return time.process_time() + _used_by_group_s(pid)


def _used_by_group_s(pid: int) -> float:
    """CPU seconds of the control group of process `pid`, in version 1 or 2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            return int(Path(f"/sys/fs/cgroup/cpuacct{path}/cpuacct.usage").read_text()) / 1e9
        if not controllers and (stat := Path(f"/sys/fs/cgroup{path}/cpu.stat")).exists():
            return int(stat.read_text().split()[1]) / 1e6
    raise FileNotFoundError(f"process {pid} has no control group that counts its CPU")


async def _rounds(image: str) -> list[float]:
    """Each with as long a time without probes beside it."""
    (name,) = raw.names(1)
    prober = Prober()
    try:
        address = await raw.start(name, image)
        await raw.painted(prober, address, is_alone=True)
        await asyncio.sleep(SETTLES_S)
        pid = int(subprocess.check_output(["docker", "inspect", "-f", "{{.State.Pid}}", name]))
        return [
            await _cpu_ms(pid, lambda: prober.probe(address, raw.SPEC)) - await _cpu_ms(pid, _nothing)
            for _ in range(ROUNDS)
        ]
    finally:
        await prober.close()
        raw.remove([name])


async def _nothing() -> None:
    return None


def run() -> list[Figure]:
    """No instance is needed: the Agent's own prober and a container of the desktop."""
    taken = asyncio.run(_rounds(desktop_image()))
    return [
        Figure("probe of a usable session, CPU", median(taken), CPU_MS, "ms", "the goal", ROUNDS * PROBES,
               spread(taken), taken, goal=1)
    ]  # fmt: skip
