"""A morning's launches with an open loop: what each costs all roles together, and how many are served of those offered.

Requests come when they come, whether earlier ones were answered or not. The Agent's host is simulated: real containers
would be the limit. The client is a process of its own whose CPU is not counted. BENCH_RATES (launches a second, comma)
chooses the rates; the last one is more than two cores serve.
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

from bench.instance import Instance, instance
from bench.table import Figure, Point, percentile, spread

RATES = [float(rate) for rate in os.environ.get("BENCH_RATES", "20,60,90,120,150,200").split(",")]
SECONDS = 8.0
"""For which each rate is offered."""
POOL = 300
SETTLES_S = 2.0
"""After the last launch, in which the pool is refilled: that is part of its cost."""
COST_MS = 8.0
"""CPU of a launch with hand-over and refill, all roles together, that is the goal."""
RATE_GOAL = 120.0


@dataclass(slots=True)
class Offered:
    """What became of the launches of one rate."""

    rate: float
    elapsed_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list[float])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    cpu_ms: dict[str, float] = field(default_factory=dict[str, float])
    """Role → CPU of a launch."""

    @property
    def achieved(self) -> float:
        """Launches a second that gave a session."""
        return (self.outcomes["staged"] + self.outcomes["on demand"]) / self.elapsed_s


class _Client:
    """Connections to the gateway, as many as are needed at once."""

    def __init__(self, running: Instance) -> None:
        url = urlsplit(running.facts["url"])
        self._host, self._port = url.hostname or "", url.port or 443
        self._context = ssl.create_default_context(cafile=running.facts["ca_file"])
        secret = f"{running.facts['api_key']}:{running.facts['api_key_secret']}"
        self._basic = b64encode(secret.encode()).decode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def launch(self, image_id: str, user_id: str) -> str:
        """ "staged", "on demand", or the status of a refusal."""
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

    def close(self) -> None:
        """End the connections."""
        for _, writer in self._idle:
            writer.close()


async def _offer(running: Instance, rate: float, image_id: str, users: list[str]) -> Offered:
    client, result = _Client(running), Offered(rate)

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


def _cpu_s(running: Instance) -> dict[str, float]:
    """Role → CPU seconds of its processes so far, with those below them."""
    pids = running.status()["pids"]
    return {role: sum(_of_tree(pid, alone=role == "up") for pid in ids) for role, ids in pids.items()}


def _of_tree(pid: int, *, alone: bool) -> float:
    """`alone`: without the processes below it, which are the other roles."""
    try:
        process = psutil.Process(pid)
        tree = [process] if alone else [process, *process.children(recursive=True)]
        times = [one.cpu_times() for one in tree]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(one.user + one.system for one in times)


def _measured(running: Instance, rate: float, image_id: str, config: str) -> Offered:
    users = running.many_users(int(rate * SECONDS))
    before = _cpu_s(running)
    result = asyncio.run(_offer(running, rate, image_id, users))
    time.sleep(SETTLES_S)
    after = _cpu_s(running)
    result.cpu_ms = {role: (after[role] - before[role]) * 1000 / len(users) for role in after}
    running.end_assigned()
    running.await_current(config, POOL)
    return result


def _figures(one: Offered) -> list[Figure]:
    parts = " + ".join(f"{role} {cost:.1f}" for role, cost in one.cpu_ms.items())
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in one.outcomes.most_common())
    name = f"{one.rate:g} launches a second offered"
    count = len(one.latencies_ms)
    return [
        Figure(
            f"{name}: served a second", one.achieved, min(one.rate, RATE_GOAL), "1/s", "offered, at most the goal",
            count, outcomes, goal=0.98, more_is_better=True, point=Point("served", one.rate),
        ),
        Figure(
            f"{name}: until the reply, p99", percentile(one.latencies_ms, 99), percentile(one.latencies_ms, 50), "ms",
            "p50", count, spread(one.latencies_ms), samples_of_product=one.latencies_ms,
        ),
        Figure(
            f"{name}: CPU of one, all roles", sum(one.cpu_ms.values()), COST_MS, "ms", "the goal", count, parts, goal=1
        ),
    ]  # fmt: skip


def run() -> list[Figure]:
    """Each rate in turn, on one instance."""
    with instance(runtime="simulated") as running:
        image_id, config = running.desktop()["image_id"], running.stage(POOL)
        return [figure for rate in RATES for figure in _figures(_measured(running, rate, image_id, config))]
