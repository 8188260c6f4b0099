"""The cost of `greenroom up` at rest: two Managers, an Agent on Docker, no session.

Memory is PSS: shared memory counts once. Statements are those that PostgreSQL logs.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Final

from bench.instance import Instance, instance
from bench.table import Figure
from greenroom.kit.processes import children

MEMORY_MIB: Final = 200.0
CPU_PERCENT: Final = 2.0
STATEMENTS: Final = 10.0
SETTLES_S: Final = 20.0
MEASURED_S: Final = float(os.environ.get("BENCH_SECONDS", "30"))
PARTS: Final = ("up", "fork-server", "api", "manager", "agent", "gateway", "nginx", "postgres")


def run() -> list[Figure]:
    """Measure the memory with one Manager, the default of `greenroom up`, and the rest with two."""
    with instance() as running:
        time.sleep(SETTLES_S)
        memory = {part: sum(map(_pss_mib, pids)) for part, pids in _pids(running).items()}
    with instance("--managers", "2") as running:
        time.sleep(SETTLES_S)
        pids = _pids(running)
        before = {part: _used_s(found) for part, found in pids.items()}
        statements = _statements(running)
        cpu = {part: (_used_s(found) - before[part]) * 100 / MEASURED_S for part, found in pids.items()}
    ours = [part for part in PARTS if part not in ("nginx", "postgres")]
    return [
        _figure("memory while idle, one Manager, without PostgreSQL and nginx", memory, ours, MEMORY_MIB, "MiB"),
        _figure("CPU while idle, two Managers, with nginx", cpu, [*ours, "nginx"], CPU_PERCENT, "% of a core"),
        _figure("CPU while idle, two Managers, with nginx and PostgreSQL", cpu, PARTS, CPU_PERCENT, "% of a core"),
        _figure("SQL statements while idle, two Managers", statements, list(statements), STATEMENTS, "1/s"),
    ]


def _figure(name: str, taken: dict[str, float], counted: list[str] | tuple[str, ...], most: float, unit: str) -> Figure:
    note = ", ".join(f"{part} {taken[part]:.2g}" for part in counted)
    return Figure(name, sum(taken[part] for part in counted), most, unit, "the goal", 1, note, goal=1)


def _pids(running: Instance) -> dict[str, list[int]]:
    """Part → its processes with their descendants; nginx is a separate part."""
    state = json.loads((running.data / "run/state.json").read_text())
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    found["up"].append(state["up"])
    for part in state["parts"]:
        for pid, name in _family(part["pid"]):
            found["nginx" if name == "nginx" else part["role"]].append(pid)
    return found


def _family(pid: int, name: str = "") -> list[tuple[int, str]]:
    return [(pid, name), *(one for child in children(pid) for one in _family(child.pid, child.name))]


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _used_s(pids: list[int]) -> float:
    """CPU seconds by the scheduler's count: that of /proc/PID/stat has a resolution of 10 ms."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _statements(running: Instance) -> dict[str, float]:
    """Statements per second, by the first two words of the sender's application name. PostgreSQL logs them during
    the measurement."""
    settings, log = running.data / "postgres/data/postgresql.conf", running.data / "logs/postgres.log"
    server = _pids(running)["postgres"][0]
    before = settings.read_text()
    settings.write_text(f"{before}\nlog_statement = 'all'\nlog_line_prefix = '[%a] '\n")
    os.kill(server, signal.SIGHUP)
    begin = log.stat().st_size
    time.sleep(MEASURED_S)
    settings.write_text(before)
    os.kill(server, signal.SIGHUP)
    lines = log.read_bytes()[begin:].decode(errors="replace").splitlines()
    sent = [line for line in lines if line.startswith("[greenroom") and (" execute " in line or " statement: " in line)]
    by_sender = Counter(" ".join(line.partition("]")[0][1:].split()[:2]) for line in sent)
    return {sender: number / MEASURED_S for sender, number in by_sender.items()}
