"""Launches at a fixed rate (an open loop): the CPU cost of a launch in all roles, and the share of launches that are
served; and as many launches at once as a pool has sessions.

Requests are sent on schedule, whether earlier ones were answered or not. The Agent's host is simulated, since real
containers would be the limit, and has capacity for all sessions. The client's CPU is not counted.
BENCH_RATES (launches per second, comma-separated) sets the rates; the last one is more than two cores can serve.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil
import psycopg

from bench.instance import Instance, run_instance, wait
from bench.table import Figure, Point, median, percentile, spread
from greenroom.runtimes.simulated import SimulatedRuntime, SimulationSettings
from greenroom.up.layout import Layout

RATES = [float(rate) for rate in os.environ.get("BENCH_RATES", "20,60,90,120,150,200").split(",")]
DURATION_S = 8.0
"""The duration of each rate."""
POOL = 300
ROUNDS = 3
SETTLE_S = 2.0
"""The time after the last launch, in which the pool is refilled: that is part of its cost."""
COST_MS = 8.0
"""The goal for the CPU time of a launch with hand-over and refill, in all roles together."""
RATE_GOAL = 120.0
AT_ONCE_GOAL_S = 2.5
"""The goal for the time from `POOL` simultaneous launches until all of them are usable."""
HOST = SimulationSettings(cores=100_000, memory_bytes=1 << 48)


@dataclass(slots=True)
class RateResult:
    """The results of the launches at one rate."""

    rate: float
    elapsed_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list[float])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    cpu_ms: dict[str, float] = field(default_factory=dict[str, float])
    """Role → CPU time per launch."""

    @property
    def served_per_s(self) -> float:
        """Launches per second that returned a session."""
        return (self.outcomes["staged"] + self.outcomes["on demand"]) / self.elapsed_s


class _Client:
    """Connections to the gateway, as many as are needed at once."""

    def __init__(self, instance: Instance) -> None:
        url = urlsplit(instance.facts["url"])
        self._host, self._port = url.hostname or "", url.port or 443
        self._context = ssl.create_default_context(cafile=instance.facts["ca_file"])
        secret = f"{instance.facts['api_key']}:{instance.facts['api_key_secret']}"
        self._basic = b64encode(secret.encode()).decode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def launch(self, image_id: str, user_id: str) -> str:
        """Launch a session; returns "staged", "on demand", or the status of a refusal."""
        connection = self._idle.pop() if self._idle else await self._connect()
        reader, writer = connection
        body = json.dumps({"image_id": image_id, "user_id": user_id}).encode()
        head = (
            f"POST /api/v1/sessions HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Authorization: Basic {self._basic}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        content = await reader.readexactly(length)
        self._idle.append(connection)
        status = lines[0].split()[1]
        if status != "202":
            return status
        return "staged" if json.loads(content)["staged"] else "on demand"

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._context)

    async def prepare(self, count: int) -> None:
        """Open `count` connections."""
        self._idle += [await self._connect() for _ in range(count)]

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()


async def _launch_at_rate(instance: Instance, rate: float, image_id: str, users: list[str]) -> RateResult:
    client, result = _Client(instance), RateResult(rate)

    async def launch(user_id: str) -> None:
        start = time.perf_counter()
        try:
            outcome = await client.launch(image_id, user_id)
        except (OSError, asyncio.IncompleteReadError) as error:
            outcome = type(error).__name__
        result.outcomes[outcome] += 1
        result.latencies_ms.append((time.perf_counter() - start) * 1000)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, user_id in enumerate(users):
            await asyncio.sleep(begin + number / rate - time.perf_counter())
            group.create_task(launch(user_id))
    result.elapsed_s = time.perf_counter() - begin
    client.close()
    return result


def cpu_s(instance: Instance) -> dict[str, float]:
    """Role → CPU seconds of its processes so far, with descendants that belong to no other role: each is counted
    once."""
    pids: dict[str, list[int]] = instance.read_status()["pids"]
    role_pids = {pid for ids in pids.values() for pid in ids}
    return {
        role: sum(_process_cpu_s(pid, role_pids, only_itself=role == "up") for pid in ids) for role, ids in pids.items()
    }


def _process_cpu_s(pid: int, role_pids: set[int], *, only_itself: bool) -> float:
    """CPU seconds of a process; `only_itself`: without its descendants, which belong to other roles."""
    try:
        process = psutil.Process(pid)
        children = [] if only_itself else process.children(recursive=True)
        times = [part.cpu_times() for part in (process, *children) if part is process or part.pid not in role_pids]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(part_times.user + part_times.system for part_times in times)


def _measure_rate(instance: Instance, rate: float, image_id: str, config_id: str) -> RateResult:
    users = instance.create_users(int(rate * DURATION_S))
    before = cpu_s(instance)
    result = asyncio.run(_launch_at_rate(instance, rate, image_id, users))
    time.sleep(SETTLE_S)
    after = cpu_s(instance)
    result.cpu_ms = {role: (after[role] - before[role]) * 1000 / len(users) for role in after}
    instance.end_assigned()
    instance.wait_for_claimable(config_id, POOL)
    return result


def _figures(result: RateResult) -> list[Figure]:
    parts = " + ".join(f"{role} {cost:.1f}" for role, cost in result.cpu_ms.items())
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in result.outcomes.most_common())
    name = f"{result.rate:g} launches requested per second"
    count = len(result.latencies_ms)
    return [
        Figure(
            f"{name}: served per second", result.served_per_s, min(result.rate, RATE_GOAL), "1/s",
            "requested, at most the goal", count, outcomes, goal=0.98, more_is_better=True,
            point=Point("served", result.rate),
        ),
        Figure(
            f"{name}: until the reply, p99", percentile(result.latencies_ms, 99), percentile(result.latencies_ms, 50),
            "ms", "p50", count, spread(result.latencies_ms), samples_of_product=result.latencies_ms,
        ),
        Figure(
            f"{name}: CPU time of all roles per launch", sum(result.cpu_ms.values()), COST_MS, "ms", "the goal", count,
            parts, goal=1,
        ),
    ]  # fmt: skip


async def _launch_at_once(instance: Instance, image_id: str, users: list[str]) -> tuple[float, Counter[str]]:
    """Seconds from the simultaneous launches until all are usable, and the number of each kind of answer."""
    client = _Client(instance)
    await client.prepare(len(users))
    begin = time.perf_counter()
    outcomes = Counter(await asyncio.gather(*(client.launch(image_id, user_id) for user_id in users)))
    async with await psycopg.AsyncConnection.connect(instance.facts["database_url"], autocommit=True) as connection:
        while (await (await connection.execute(_USABLE, [users])).fetchone()) != (len(users),):
            await asyncio.sleep(0.02)
    elapsed_s = time.perf_counter() - begin
    client.close()
    return elapsed_s, outcomes


_USABLE = "SELECT count(*) FROM sessions WHERE user_id = ANY(%s::uuid[]) AND status = 'running'"


def _measure_at_once(instance: Instance, image_id: str, config_id: str) -> Figure:
    samples_s: list[float] = []
    answers: Counter[str] = Counter()
    for number in range(ROUNDS + 1):
        elapsed_s, outcomes = asyncio.run(_launch_at_once(instance, image_id, instance.create_users(POOL)))
        if number:  # the first round opens connections and prepares statements
            samples_s.append(elapsed_s)
            answers += outcomes
        instance.end_assigned()
        instance.wait_for_claimable(config_id, POOL)
    outcome = ", ".join(f"{number} {name}" for name, number in answers.most_common())
    return Figure(
        f"{POOL} simultaneous launches until all sessions are usable", median(samples_s), AT_ONCE_GOAL_S, "s",
        "the goal", ROUNDS, f"{spread(samples_s)}; {outcome}", samples_s, goal=1,
    )  # fmt: skip


def run() -> list[Figure]:
    """Measure each rate in turn, on one instance; a full host would refuse launches."""
    with run_instance(runtime="simulated") as instance:
        host = SimulatedRuntime("", "", folder=Layout(instance.data).agent("agent-default"))
        host.configure(HOST)
        wait(lambda: all(agent["cores"] > DURATION_S * max(RATES) for agent in instance.get("/agents")), 60)
        image_id, config_id = instance.find_desktop()["image_id"], instance.stage(POOL)
        rates = [figure for rate in RATES for figure in _figures(_measure_rate(instance, rate, image_id, config_id))]
        return [*rates, _measure_at_once(instance, image_id, config_id)]
