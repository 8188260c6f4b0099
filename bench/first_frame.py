"""Click to first frame: a staged session against one made on demand, same image, through gateway and HTTP."""

from __future__ import annotations

import time

from bench.instance import Instance, instance
from bench.stream import open_stream
from bench.table import Figure, median

SAMPLES = 7


def _launch(running: Instance, user_id: str, image_id: str) -> float:
    """Milliseconds from the request to the first frame."""
    start = time.perf_counter()
    session = running.post("/sessions", {"image_id": image_id, "user_id": user_id})["session_id"]
    open_stream(running, session)
    elapsed_ms = (time.perf_counter() - start) * 1000
    running.http.delete(f"/api/v1/sessions/{session}")
    return elapsed_ms


def run() -> list[Figure]:
    """On demand first, then staged, in one instance."""
    with instance() as running:
        image_id = running.desktop()["image_id"]
        users = running.users(2 * SAMPLES)
        on_demand: list[float] = []
        for user in users[:SAMPLES]:
            on_demand.append(_launch(running, user, image_id))
            running.end_all()
        config = running.stage(3)
        staged: list[float] = []
        for user in users[SAMPLES:]:
            running.await_current(config, 3)
            staged.append(_launch(running, user, image_id))
    return [
        Figure(
            "click to first frame, staged", median(staged), median(on_demand), "ms", "on demand, same image", SAMPLES
        )
    ]
