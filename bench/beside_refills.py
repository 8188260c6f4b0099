"""On demand while a pool is filled: request to first frame, against the same number of launches on a quiet host.

The refills are known to the Agent a moment before the users come, as after a wave of claims.
"""

from __future__ import annotations

from bench.instance import Instance, instance, wait
from bench.on_demand import launched_at_once
from bench.table import Figure, median, spread

USERS = 6
ROUNDS = 3
GOAL = 1.15


def _workspace(running: Instance, name: str) -> str:
    """The desktop as a workspace that reserves little: all of them are to have room."""
    body = {"name": running.desktop()["name"], "friendly_name": name, "cores": 0.1, "memory": 200_000_000}
    return running.post("/images", body)["image_id"]


def _beside(running: Instance, staged_image: str, image_id: str) -> list[float]:
    config = running.begin_staging(staged_image, USERS)
    wait(lambda: len(running.get("/sessions?staged=true")) == USERS, 30)
    taken = launched_at_once(running, image_id, running.many_users(USERS))
    running.http.delete(f"/api/v1/staging-configs/{config}").raise_for_status()
    running.end_all()
    return taken


def run() -> list[Figure]:
    """Rounds are interleaved; the first of each is not counted."""
    alone: list[float] = []
    beside: list[float] = []
    with instance() as running:
        staged_image, image_id = _workspace(running, "Staged"), _workspace(running, "On demand")
        for number in range(ROUNDS + 1):
            of_alone = launched_at_once(running, image_id, running.many_users(USERS))
            running.end_all()
            of_beside = _beside(running, staged_image, image_id)
            if number:
                alone += of_alone
                beside += of_beside
    return [
        Figure(
            f"{USERS} on demand to first frame beside {USERS} refills", median(beside), median(alone), "ms",
            "without refills", len(beside), f"{spread(beside)}; {spread(alone)}", beside, alone, goal=GOAL,
        )
    ]  # fmt: skip
