"""The cost of held check-ins for a Manager: simulated Agents in separate processes, one Manager and PostgreSQL.

The yardsticks are the goals for each Agent, so that fleets of every size can be compared. `BENCH_AGENTS=300,10000` sets
the sizes. CPU is that of the Manager's process, or of PostgreSQL's, never that of the Agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import msgspec
import psutil
from tests.support import history
from tests.support.agents import ToldAgent, session
from tests.support.managers import LONG_LEADERSHIP, Fleet, eventually, primary_is
from tests.support.postgres import PostgresServer
from tests.support.processes import answers

from bench.agents import Second
from bench.table import Figure, Point, percentile, slowest, spread
from bench.zone import CHECK_IN_S, DEFAULTS
from greenroom.core.events import ChangeEvent
from greenroom.db.database import Database
from greenroom.db.fleet.agents import DB_EPOCH
from greenroom.db.migrate import migrate
from greenroom.kit.secrets import new_secret, secret_digest
from greenroom.wire.messages import Registered

SIZES = tuple(int(size) for size in os.environ.get("BENCH_AGENTS", "100,300,1000,3000,10000").split(","))
TIMINGS = {**DEFAULTS, **LONG_LEADERSHIP}
"""The timings of a deployment, except those of the leadership: that of a killed Manager ends at once."""
SETTLE_S = 2 * CHECK_IN_S
WINDOW_S = 20.0
INSTRUCTIONS = 100
LEAVING_AGENTS = 20
"""The number of Agents that end without notice."""
MISSING_S = 15.0


@dataclass
class Testbed:
    """The database and the processes of a measurement."""

    db: Database
    server: PostgresServer
    fleet: Fleet
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    async def start_agents(self, number: int, name: str) -> subprocess.Popen[bytes]:
        """Start a process with registered Agents; its seconds are written to `<name>.jsonl`."""
        identities = self.folder / f"{name}.identities"
        identities.write_bytes(msgspec.json.Encoder().encode_lines(await _insert_agents(self.db, number, name)))
        managers = [argument for url in self.fleet.urls.values() for argument in ("--manager", url)]
        options = ("--agents", str(number), "--name", name, "--identities", str(identities), *managers)
        with (self.folder / f"{name}.jsonl").open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
                [sys.executable, "-m", "bench.agents", *options], stdout=output
            )
        self.processes.append(process)
        return process

    def read_seconds(self, name: str) -> list[Second]:
        """The seconds that these Agents have counted so far."""
        lines = (self.folder / f"{name}.jsonl").read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line, type=Second) for line in lines]

    def manager(self, name: str) -> psutil.Process:
        process = self.fleet.managers[name].process
        assert process is not None
        return psutil.Process(process.pid)

    async def wait_until_recorded(self, number: int, manager: str, timeout_s: float) -> None:
        """Wait until `number` Agents are recorded with this Manager in the current term."""

        async def check() -> bool:
            row = await self.db.fetch_one(
                "SELECT count(*) AS n FROM agents a JOIN managers m USING (manager_id) JOIN zone_leases l"
                " ON l.manager_id = m.manager_id AND l.term = a.manager_term WHERE m.instance_id = %s",
                (manager,),
            )
            return row is not None and row["n"] >= number

        await eventually(check, timeout_s)

    async def wait_until_held(self, number: int, timeout_s: float) -> None:
        """Wait until almost `number` check-ins are held at the same time."""

        async def check() -> bool:
            async with httpx2.AsyncClient(timeout=20) as http:
                text = (await http.get(f"{self.fleet.urls['one']}/metrics")).text
            (line,) = [line for line in text.splitlines() if line.startswith("greenroom_manager_held_check_ins ")]
            return float(line.split()[1]) >= 0.95 * number

        await eventually(check, timeout_s)


@asynccontextmanager
async def run_testbed() -> AsyncIterator[Testbed]:
    """PostgreSQL with one zone and its Primary `one`. `two` is started only for the takeover, so that no Agent that
    lost an answer connects to it earlier.
    """
    folder = _create_folder()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        server = PostgresServer(folder / "postgres")
        stack.callback(server.stop)
        await server.start()
        await migrate(server.dsn)
        db = Database(server.dsn, application_name="greenroom bench")
        await db.open()
        stack.push_async_callback(db.close)
        await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
        await history.record(db)
        fleet = Fleet(server.dsn, folder)
        testbed = Testbed(db, server, fleet, folder)
        stack.callback(fleet.close)
        stack.callback(_kill, testbed.processes)
        await fleet.start("one", **TIMINGS)
        await primary_is(db, "one")
        fleet.make("two", **TIMINGS)
        yield testbed


async def _insert_agents(db: Database, number: int, name: str) -> list[Registered]:
    """Insert enabled Agents of zone `default` in one statement: individual registrations would wait for each other."""
    credential = new_secret()
    rows = await db.write(
        "INSERT INTO agents (zone_id, hostname, machine_id, place, credential_hash, incarnation)"
        " SELECT zone_id, host, host, host, %s, 1 FROM zones,"
        " (SELECT concat_ws('-', %s::text, n) AS host FROM generate_series(0, %s - 1) AS n) AS hosts"
        " WHERE zone_name = 'default' RETURNING agent_id::text, zone_id::text,"
        " (SELECT installation_id::text FROM installation) AS installation_id, " + DB_EPOCH + " AS db_epoch",
        (secret_digest(credential), name, number),
    )
    return [Registered(credential=credential, incarnation=1, **row) for row in rows]


def _create_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gr-bench-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "postgres").mkdir()
    return folder


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The results of a fleet; times of instructions in milliseconds."""

    agents: int
    manager_percent: float
    postgres_percent: float
    agents_percent: float
    memory_kib_per_agent: float
    transactions: float
    """Transactions per second."""
    check_ins: float
    not_fresh: int
    refused: int
    lost: int
    received_ms: list[float]
    missing_s: float
    takeover_s: float
    stale_writes: int


async def measure(number: int) -> Measurement:
    """Let `number` Agents join, be held, receive instructions, leave, and lose their Primary."""
    async with run_testbed() as testbed:
        manager, before_bytes = testbed.manager("one"), testbed.manager("one").memory_info().rss
        await testbed.start_agents(number - LEAVING_AGENTS, "staying")
        leaving = await testbed.start_agents(LEAVING_AGENTS, "leaving")
        await testbed.wait_until_recorded(number, "one", 60 + number / 20)
        await testbed.wait_until_held(number, 120)
        await asyncio.sleep(SETTLE_S)
        sessions = await _create_sessions(testbed)
        start_s = time.monotonic()
        before = (_cpu_s(manager), _tree_cpu_s(testbed.server), await _count_transactions(testbed))
        first_second = len(testbed.read_seconds("staying"))
        commit_times = await _change_sessions(testbed, sessions)
        await asyncio.sleep(max(0.0, WINDOW_S - (time.monotonic() - start_s)))
        elapsed_s = time.monotonic() - start_s
        manager_s, postgres_s = _cpu_s(manager) - before[0], _tree_cpu_s(testbed.server) - before[1]
        transactions = (await _count_transactions(testbed) - before[2]) / elapsed_s
        seconds = testbed.read_seconds("staying")[first_second:]
        receive_times = {
            (t.session_id, t.generation): t.at for second in testbed.read_seconds("staying") for t in second.received
        }
        growth_bytes = manager.memory_info().rss - before_bytes
        missing_s = await _measure_missing_s(testbed, leaving)
        takeover_s = await _measure_takeover_s(testbed, number - LEAVING_AGENTS)
        return Measurement(
            agents=number,
            manager_percent=100 * manager_s / elapsed_s,
            postgres_percent=100 * postgres_s / elapsed_s,
            agents_percent=100 * (seconds[-1].cpu_s - seconds[0].cpu_s) / len(seconds),
            memory_kib_per_agent=growth_bytes / number / 1024,
            transactions=transactions,
            check_ins=sum(s.fresh for s in seconds) / len(seconds),
            not_fresh=sum(s.not_fresh for s in seconds),
            refused=sum(s.refused for s in seconds),
            lost=sum(s.lost for s in seconds),
            received_ms=[(receive_times[key] - at) * 1000 for key, at in commit_times.items() if key in receive_times],
            missing_s=missing_s,
            takeover_s=takeover_s,
            stale_writes=len(history.problems(await history.read(testbed.db))),
        )


async def _create_sessions(testbed: Testbed) -> dict[str, str]:
    """Create a session on some of the Agents that stay: session → Agent, all known to their Agents."""
    rows = await testbed.db.fetch(
        "SELECT agent_id::text FROM agents WHERE hostname LIKE 'staying-%%' ORDER BY random() LIMIT %s", (INSTRUCTIONS,)
    )
    transport = httpx2.AsyncHTTPTransport()
    agent_ids: dict[str, str] = {}
    for row in rows:
        agent_ids[await session(testbed.db, ToldAgent(transport, agent_id=row["agent_id"]))] = row["agent_id"]
        await testbed.db.notify(ChangeEvent.agent(row["agent_id"]))

    async def all_running() -> bool:
        remaining = await testbed.db.fetch("SELECT 1 FROM sessions WHERE status <> 'running'")
        return not remaining

    await eventually(all_running, 60)
    return agent_ids


async def _change_sessions(testbed: Testbed, sessions: dict[str, str]) -> dict[tuple[str, int], float]:
    """Change each session once during the window: (session, generation) → time of the commit."""
    commit_times: dict[tuple[str, int], float] = {}
    for session_id, agent_id in sessions.items():
        await asyncio.sleep(random.uniform(0, 2 * WINDOW_S / 1.3 / len(sessions)))  # noqa: S311 -- no secret
        (row,) = await testbed.db.write(
            "UPDATE sessions SET generation = generation + 1 WHERE session_id = %s RETURNING generation", (session_id,)
        )
        commit_times[session_id, row["generation"]] = time.time()
        await testbed.db.notify(ChangeEvent.agent(agent_id))
    return commit_times


async def _measure_missing_s(testbed: Testbed, leaving: subprocess.Popen[bytes]) -> float:
    """The maximum time from an Agent's last report until it is recorded as missing, in seconds."""
    leaving.kill()
    silent_s: dict[str, float] = {}

    async def check() -> bool:
        rows = await testbed.db.fetch(
            "SELECT agent_id::text, extract(epoch FROM clock_timestamp() - last_reported)::double precision AS silent_s"
            " FROM agents WHERE hostname LIKE 'leaving-%%' AND status = 'missing'"
        )
        silent_s.update({row["agent_id"]: row["silent_s"] for row in rows if row["agent_id"] not in silent_s})
        return len(silent_s) == LEAVING_AGENTS

    await eventually(check, 120)
    return max(silent_s.values())


async def _measure_takeover_s(testbed: Testbed, number: int) -> float:
    """The time from the death of the Primary until all Agents are recorded with the next one, in seconds."""
    testbed.fleet.managers["two"].start()
    await answers(f"{testbed.fleet.urls['two']}/health", 200)
    start_s = time.monotonic()
    testbed.fleet.managers["one"].kill()
    await testbed.wait_until_recorded(number, "two", 240)
    return time.monotonic() - start_s


async def _count_transactions(testbed: Testbed) -> int:
    (row,) = await testbed.db.fetch("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return row["xact_commit"]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _tree_cpu_s(server: PostgresServer) -> float:
    assert server.process is not None
    top = psutil.Process(server.process.pid)
    return sum(_cpu_s(process) for process in (top, *top.children(recursive=True)))


def run() -> list[Figure]:
    """Measure fleets of `SIZES`, one after the other."""
    figures: list[Figure] = []
    for number in SIZES:
        measurement = asyncio.run(measure(number))
        print(
            json.dumps({**msgspec.to_builtins(measurement), "received_ms": spread(measurement.received_ms)}),
            file=sys.stderr,
        )
        figures += _figures(measurement)
    return figures


def _figures(measurement: Measurement) -> list[Figure]:
    note = (
        f"{measurement.check_ins:.0f} check-ins/s, {measurement.transactions:.0f} transactions/s,"
        f" PostgreSQL {measurement.postgres_percent:.0f} %, the Agents themselves {measurement.agents_percent:.0f} %,"
        f" {measurement.not_fresh} not fresh, {measurement.refused} refused, {measurement.lost} lost"
    )

    def figure(name: str, product: float, goal: float, unit: str, *, n: int, note: str = "", curve: str = "") -> Figure:
        point = Point(curve, measurement.agents) if curve else None
        return Figure(
            f"{measurement.agents} Agents: {name}", product, goal, unit, "the goal", n, note, goal=1.0, point=point
        )

    def share(role: str, percent: float) -> Figure:
        name = f"{measurement.agents} Agents: CPU, {role}"
        return Figure(name, percent, 100, "% of a core", "a core", 1, note, point=Point(role, measurement.agents))

    slowest_name, slowest_ms = slowest(measurement.received_ms)
    return [
        share("Manager", measurement.manager_percent),
        share("PostgreSQL beside it", measurement.postgres_percent),
        *(
            [
                figure(
                    "CPU of the Manager per 1,000 Agents",
                    1000 * measurement.manager_percent / measurement.agents,
                    9,
                    "% of a core",
                    n=1,
                )
            ]
            if measurement.agents >= 1000  # in smaller fleets most is the cost of a Manager without Agents
            else []
        ),
        figure("memory of the Manager per Agent", measurement.memory_kib_per_agent, 30, "KiB", n=1),
        figure(
            "an Agent receives an instruction, p50",
            percentile(measurement.received_ms, 50),
            20,
            "ms",
            n=len(measurement.received_ms),
            note=spread(measurement.received_ms),
            curve="instruction p50",
        ),
        figure(
            f"an Agent receives an instruction, {slowest_name}",
            slowest_ms,
            500,
            "ms",
            n=len(measurement.received_ms),
            curve="instruction p99",
        ),
        figure("lost Agents are marked as missing", measurement.missing_s, MISSING_S + 2, "s", n=LEAVING_AGENTS),
        figure(
            "all Agents check in at the next Primary",
            measurement.takeover_s,
            10,
            "s",
            n=1,
            note=f"{measurement.stale_writes} stale writes",
        ),
    ]
