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

from bench.instance import Instance, run_instance
from bench.table import Figure
from greenroom.kit.processes import children

MEMORY_MIB: Final = 200.0
CPU_PERCENT: Final = 2.0
STATEMENTS_PER_S: Final = 10.0
SETTLE_S: Final = 20.0
MEASUREMENT_S: Final = float(os.environ.get("BENCH_SECONDS", "30"))
PARTS: Final = ("up", "fork-server", "api", "manager", "agent", "gateway", "nginx", "postgres")


def run() -> list[Figure]:
    """Measure the memory with one Manager, the default of `greenroom up`, and the rest with two."""
    with run_instance() as instance:
        time.sleep(SETTLE_S)
        memory_mib = {part: sum(map(_pss_mib, pids)) for part, pids in _pids(instance).items()}
    with run_instance("--managers", "2") as instance:
        time.sleep(SETTLE_S)
        pids = _pids(instance)
        before = {part: _cpu_s(part_pids) for part, part_pids in pids.items()}
        statements = _measure_statements(instance)
        cpu_percent = {
            part: (_cpu_s(part_pids) - before[part]) * 100 / MEASUREMENT_S for part, part_pids in pids.items()
        }
    own_parts = [part for part in PARTS if part not in ("nginx", "postgres")]
    return [
        _figure(
            "memory while idle, one Manager, without PostgreSQL and nginx", memory_mib, own_parts, MEMORY_MIB, "MiB"
        ),
        _figure(
            "CPU while idle, two Managers, with nginx", cpu_percent, [*own_parts, "nginx"], CPU_PERCENT, "% of a core"
        ),
        _figure(
            "CPU while idle, two Managers, with nginx and PostgreSQL", cpu_percent, PARTS, CPU_PERCENT, "% of a core"
        ),
        _figure("SQL statements while idle, two Managers", statements, list(statements), STATEMENTS_PER_S, "1/s"),
    ]


def _figure(name: str, values: dict[str, float], parts: list[str] | tuple[str, ...], goal: float, unit: str) -> Figure:
    note = ", ".join(f"{part} {values[part]:.2g}" for part in parts)
    return Figure(name, sum(values[part] for part in parts), goal, unit, "the goal", 1, note, goal=1)


def _pids(instance: Instance) -> dict[str, list[int]]:
    """Part → its processes with their descendants; nginx is a separate part."""
    state = json.loads((instance.data / "run/state.json").read_text())
    pids: dict[str, list[int]] = {part: [] for part in PARTS}
    pids["up"].append(state["up"])
    for part in state["parts"]:
        for pid, name in _process_tree(part["pid"]):
            pids["nginx" if name == "nginx" else part["role"]].append(pid)
    return pids


def _process_tree(pid: int, name: str = "") -> list[tuple[int, str]]:
    return [(pid, name), *(process for child in children(pid) for process in _process_tree(child.pid, child.name))]


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _cpu_s(pids: list[int]) -> float:
    """CPU seconds by the scheduler's count: that of /proc/PID/stat has a resolution of 10 ms."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _measure_statements(instance: Instance) -> dict[str, float]:
    """Statements per second, by the first two words of the sender's application name. PostgreSQL logs them during
    the measurement."""
    settings, log = instance.data / "postgres/data/postgresql.conf", instance.data / "logs/postgres.log"
    server = _pids(instance)["postgres"][0]
    before = settings.read_text()
    settings.write_text(f"{before}\nlog_statement = 'all'\nlog_line_prefix = '[%a] '\n")
    os.kill(server, signal.SIGHUP)
    start_byte = log.stat().st_size
    time.sleep(MEASUREMENT_S)
    settings.write_text(before)
    os.kill(server, signal.SIGHUP)
    lines = log.read_bytes()[start_byte:].decode(errors="replace").splitlines()
    statements = [
        line for line in lines if line.startswith("[greenroom") and (" execute " in line or " statement: " in line)
    ]
    by_sender = Counter(" ".join(line.partition("]")[0][1:].split()[:2]) for line in statements)
    return {sender: count / MEASUREMENT_S for sender, count in by_sender.items()}
