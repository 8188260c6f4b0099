"""On demand: request to first frame, against raw `docker run` of the same image until its first frame was sent.

One at a time, and five at once. The way through Greenroom has log-in, gateway, TLS and token in it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from bench import raw
from bench.instance import Instance, instance
from bench.line import Line
from bench.opened import open_stream
from bench.table import Figure, median, spread
from greenroom.runtimes.probe import Prober

AT_ONCE = 5
SAMPLES = 7
ROUNDS = 3
GOALS = {1: 1.2, AT_ONCE: 1.1}


def launched_at_once(running: Instance, image_id: str, users: list[str]) -> list[float]:
    """Milliseconds of a session for each of the users, all at the same time; they run on."""

    def one(user_id: str) -> float:
        line, events = Line(running), Line(running).events()
        start = time.perf_counter()
        session = line.ask("POST", "/sessions", {"image_id": image_id, "user_id": user_id})
        open_stream(running, line, events, session["session_id"])
        return (time.perf_counter() - start) * 1000

    with ThreadPoolExecutor(len(users)) as pool:
        return list(pool.map(one, users))


async def _raw(image: str, count: int) -> list[float]:
    """Milliseconds of so many containers, all at the same time."""
    prober, names = Prober(), raw.names(count)

    async def one(name: str) -> float:
        start = time.perf_counter()
        address = await raw.start(name, image)
        await raw.painted(prober, address, is_alone=count == 1)
        await raw.seen(address)
        return (time.perf_counter() - start) * 1000

    taken = await asyncio.gather(*(one(name) for name in names))
    await prober.close()
    raw.remove(names)
    return taken


def run() -> list[Figure]:
    """Rounds are interleaved; the first of each is not counted."""
    with instance() as running:
        desktop = running.desktop()
        return [
            _figure(running, desktop["image_id"], desktop["name"], at_once, rounds)
            for at_once, rounds in ((1, SAMPLES), (AT_ONCE, ROUNDS))
        ]


def _figure(running: Instance, image_id: str, image: str, at_once: int, rounds: int) -> Figure:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds + 1):
        of_raw = asyncio.run(_raw(image, at_once))
        of_ours = launched_at_once(running, image_id, running.many_users(at_once))
        running.end_all()
        if number:
            theirs += of_raw
            ours += of_ours
    return Figure(
        f"on demand to first frame, {at_once} at a time", median(ours), median(theirs), "ms", "raw docker run",
        len(ours), f"{spread(ours)}; {spread(theirs)}", ours, theirs, goal=GOALS[at_once],
    )  # fmt: skip
