"""Click to first frame: a staged session and one created on demand, with the same image, through gateway and HTTP."""

from __future__ import annotations

import time

from bench.instance import Instance, instance
from bench.line import Line
from bench.opened import open_stream
from bench.table import Figure, median, spread

SAMPLES = 9
POOL = 3
REST_S = 0.5
"""The time between the refill of the pool and the next click."""


def _launch(running: Instance, user_id: str, image_id: str) -> float:
    """Milliseconds from the request to the first frame."""
    line, events = Line(running), Line(running).events()
    start = time.perf_counter()
    session = line.ask("POST", "/sessions", {"image_id": image_id, "user_id": user_id})["session_id"]
    open_stream(running, line, events, session)
    elapsed_ms = (time.perf_counter() - start) * 1000
    line.ask("DELETE", f"/sessions/{session}")
    return elapsed_ms


def run() -> list[Figure]:
    """Measure launches on demand first, then staged ones, in one instance."""
    with instance() as running:
        image_id = running.desktop()["image_id"]
        users = running.many_users(2 * SAMPLES)
        on_demand: list[float] = []
        for user in users[:SAMPLES]:
            on_demand.append(_launch(running, user, image_id))
            running.end_all()
        config = running.stage(POOL)
        staged: list[float] = []
        for user in users[SAMPLES:]:
            running.await_current(config, POOL)
            time.sleep(REST_S)
            staged.append(_launch(running, user, image_id))
    return [
        Figure(
            "click to first frame, staged", median(staged), median(on_demand), "ms", "on demand, same image", SAMPLES,
            f"{spread(staged)}; {spread(on_demand)}", staged, on_demand, goal=0.15,
        )
    ]  # fmt: skip
