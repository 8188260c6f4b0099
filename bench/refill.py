"""Refill of 8 sessions against 8 raw `docker run` of the same image at the best parallelism, until all are painted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
import uuid

from bench.instance import instance
from bench.table import Figure, median
from greenroom.core.sessions import SessionSpec
from greenroom.runtimes.probe import Prober

COUNT = 8
ROUNDS = 3


async def _raw(image: str, parallel: int) -> float:
    """Seconds until `COUNT` containers started by the docker command are painted."""
    gate = asyncio.Semaphore(parallel)
    names = [f"gr-bench-{uuid.uuid4().hex[:8]}" for _ in range(COUNT)]

    async def one(name: str) -> None:
        async with gate:
            process = await asyncio.create_subprocess_exec(
                "docker", "run", "-d", "--name", name, "--memory", "1g", "--cap-drop", "ALL", "--shm-size", "512m",
                "-e", "VNC_PW=bench", "-p", "127.0.0.1::6901", image, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            assert await process.wait() == 0
        lines = subprocess.run(["docker", "port", name, "6901/tcp"], capture_output=True, text=True, check=True)
        spec = SessionSpec(image=image, image_id="", credential="bench")
        while not (await prober.probe(lines.stdout.split()[0], spec)).usable:
            await asyncio.sleep(0.05)

    prober = Prober()
    start = time.perf_counter()
    await asyncio.gather(*(one(name) for name in names))
    elapsed = time.perf_counter() - start
    await prober.close()
    subprocess.run(["docker", "rm", "-f", "-v", *names], check=True, stdout=subprocess.DEVNULL)
    return elapsed


def run() -> list[Figure]:
    """Rounds are interleaved; the raw side is the better of twice the cores at once and all at once."""
    ours: list[float] = []
    raw: list[float] = []
    with instance() as running:
        image = running.desktop()["name"]
        config = running.stage(COUNT)
        for _ in range(ROUNDS):
            running.http.patch(f"/api/v1/staging-configs/{config}", json={"num_sessions": 0}).raise_for_status()
            running.end_all()
            raw.append(min(asyncio.run(_raw(image, parallel)) for parallel in (2 * (os.cpu_count() or 1), COUNT)))
            start = time.perf_counter()
            running.http.patch(f"/api/v1/staging-configs/{config}", json={"num_sessions": COUNT}).raise_for_status()
            running.await_current(config, COUNT)
            ours.append(time.perf_counter() - start)
    return [Figure(f"refill of {COUNT} sessions", median(ours), median(raw), "s", f"{COUNT} raw docker run", ROUNDS)]
