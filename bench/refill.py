"""Refill of 12 sessions against 12 raw `docker run` of the same image at the best parallelism, until painted."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial

from bench import raw
from bench.instance import instance
from bench.line import Line
from bench.table import Figure, median, spread
from greenroom.runtimes.probe import Prober

COUNT = 12
ROUNDS = 3


async def _raw(image: str, parallel: int) -> float:
    """Seconds until `COUNT` containers started by the docker command are painted."""
    gate = asyncio.Semaphore(parallel)
    names = raw.names(COUNT)
    prober = Prober()

    async def one(name: str) -> None:
        async with gate:
            address = await raw.start(name, image)
        await raw.painted(prober, address, is_alone=False)

    start = time.perf_counter()
    await asyncio.gather(*(one(name) for name in names))
    elapsed = time.perf_counter() - start
    await prober.close()
    raw.remove(names)
    return elapsed


def _is_full(line: Line, config: str) -> bool:
    return line.ask("GET", f"/staging-configs/{config}")["num_current_sessions"] >= COUNT


def run() -> list[Figure]:
    """Rounds are interleaved; the raw side is the best of one per core, twice that, and all at once."""
    cores = os.cpu_count() or 1
    ours: list[float] = []
    theirs: list[float] = []
    with instance() as running:
        image = running.desktop()["name"]
        config = running.stage(COUNT)
        for _ in range(ROUNDS):
            running.http.patch(f"/api/v1/staging-configs/{config}", json={"num_sessions": 0}).raise_for_status()
            running.end_all()
            theirs.append(min(asyncio.run(_raw(image, parallel)) for parallel in (cores, 2 * cores, COUNT)))
            line, events = Line(running), Line(running).events()
            start = time.perf_counter()
            line.ask("PATCH", f"/staging-configs/{config}", {"num_sessions": COUNT})
            events.first(config, partial(_is_full, line, config))
            ours.append(time.perf_counter() - start)
    return [
        Figure(
            f"refill of {COUNT} sessions", median(ours), median(theirs), "s", f"{COUNT} raw docker run", ROUNDS,
            f"{spread(ours)}; {spread(theirs)}", ours, theirs, goal=1.15,
        )
    ]  # fmt: skip
