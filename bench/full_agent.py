"""What a launch costs all roles while its Agent has 700 sessions, against 7: hand-over, refill and end.

The Agent's host is simulated. What the instance costs at rest is measured beside it and is no part of a launch.
"""

from __future__ import annotations

import time

from bench.instance import Instance, instance, wait
from bench.offered import HOST, cpu_s
from bench.table import Figure
from greenroom.runtimes.simulated import SimulatedRuntime
from greenroom.up.layout import Layout

FEW = 7
MANY = 700
LAUNCHES = 40
PAUSE_S = 0.3
"""After a launch, and after its session's end: the pool is full again."""
REST_S = 15.0
GOAL = 1.15
"""A copy of the list of an Agent with each launch would be 3 and more."""


def run() -> list[Figure]:
    """One pool of 7; the others have users."""
    with instance(runtime="simulated") as running:
        SimulatedRuntime("", "", folder=Layout(running.data).agent("agent-default")).configure(HOST)
        wait(lambda: all(agent["cores"] > MANY for agent in running.get("/agents")), 60)
        image_id, config = running.desktop()["image_id"], running.stage(FEW)
        _cost_ms(running, image_id)  # the first ones open connections and prepare statements
        few = _cost_ms(running, image_id)
        for user_id in running.many_users(MANY - FEW):
            running.post("/sessions", {"image_id": image_id, "user_id": user_id})
        wait(lambda: all(one["status"] == "running" for one in running.get("/sessions?limit=1000")), 120, pause_s=1)
        running.await_current(config, FEW)
        many = _cost_ms(running, image_id)
    parts = "; ".join(
        f"{count} sessions: " + " + ".join(f"{role} {cost:.1f}" for role, cost in costs.items())
        for count, costs in ((FEW, few), (MANY, many))
    )
    return [
        Figure(
            f"CPU of a launch on an Agent with {MANY} sessions, all roles", sum(many.values()), sum(few.values()), "ms",
            f"with {FEW}", LAUNCHES, parts, goal=GOAL,
        )
    ]  # fmt: skip


def _cost_ms(running: Instance, image_id: str) -> dict[str, float]:
    """Role → CPU of a launch with the end of its session."""
    users = running.many_users(LAUNCHES)
    before = cpu_s(running)
    time.sleep(REST_S)
    begun, at_rest = time.monotonic(), cpu_s(running)
    for user_id in users:
        launched = running.post("/sessions", {"image_id": image_id, "user_id": user_id})
        time.sleep(PAUSE_S)
        running.http.delete(f"/api/v1/sessions/{launched['session_id']}").raise_for_status()
        time.sleep(PAUSE_S)
    part, after = (time.monotonic() - begun) / REST_S, cpu_s(running)
    return {
        role: (after[role] - at_rest[role] - part * (at_rest[role] - before[role])) * 1000 / LAUNCHES for role in after
    }
