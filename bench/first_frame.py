"""Click to first frame: a staged session and one created on demand, with the same image, through gateway and HTTP."""

from __future__ import annotations

import time

from bench.api_connection import ApiConnection
from bench.instance import Instance, run_instance
from bench.session_stream import open_stream
from bench.table import Figure, median, spread

SAMPLES = 9
POOL = 3
PAUSE_S = 0.5
"""The time between the refill of the pool and the next click."""


def _launch_ms(instance: Instance, user_id: str, image_id: str) -> float:
    """Milliseconds from the request to the first frame."""
    connection, events = ApiConnection(instance), ApiConnection(instance).events()
    start = time.perf_counter()
    session = connection.request("POST", "/sessions", {"image_id": image_id, "user_id": user_id})["session_id"]
    open_stream(instance, connection, events, session)
    elapsed_ms = (time.perf_counter() - start) * 1000
    connection.request("DELETE", f"/sessions/{session}")
    return elapsed_ms


def run() -> list[Figure]:
    """Measure launches on demand first, then staged ones, in one instance."""
    with run_instance() as instance:
        image_id = instance.find_desktop()["image_id"]
        users = instance.create_users(2 * SAMPLES)
        on_demand: list[float] = []
        for user in users[:SAMPLES]:
            on_demand.append(_launch_ms(instance, user, image_id))
            instance.end_all()
        config_id = instance.stage(POOL)
        staged: list[float] = []
        for user in users[SAMPLES:]:
            instance.wait_for_claimable(config_id, POOL)
            time.sleep(PAUSE_S)
            staged.append(_launch_ms(instance, user, image_id))
    return [
        Figure(
            "click to first frame, staged", median(staged), median(on_demand), "ms", "on demand, same image", SAMPLES,
            f"{spread(staged)}; {spread(on_demand)}", staged, on_demand, goal=0.15,
        )
    ]  # fmt: skip
