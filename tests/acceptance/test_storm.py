"""Many launches in the morning, on real desktops: a busy host keeps its pool, and every user gets a desktop."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.open_desktop import open_desktop

pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.timeout(900)]

POOL = 8
ON_DEMAND = 12
DONE_S = 240.0
"""The time limit of a round, on a busy machine; half a minute on an idle one."""


@pytest.fixture(scope="module")
def busy(desktop_image: str) -> Iterator[Instance]:
    """An instance with the product's deadlines for a hand-over, not with those of other tests."""
    own = {"GREENROOM_HANDOVER_RECEIVED_S": "2", "GREENROOM_HANDOVER_ASSIGNED_S": "3"}
    with running_instance(GREENROOM_DESKTOP_IMAGE=desktop_image, **own) as instance:
        yield instance


@dataclass
class Figures:
    """The results of the rounds; seconds from the click to `running`."""

    staged_s: list[float] = field(default_factory=list[float])
    on_demand_s: list[float] = field(default_factory=list[float])
    run_queue: list[int] = field(default_factory=list[int])

    def __str__(self) -> str:
        def shown(name: str, seconds: list[float]) -> str:
            return f"{name}: p50 {median(seconds):.2f} s, max {max(seconds):.2f} s of {len(seconds)}"

        queue = f"run queue: p50 {median(self.run_queue):.0f}, max {max(self.run_queue)}"
        return f"{shown('staged', self.staged_s)}; {shown('on demand', self.on_demand_s)}; {queue}"


def workspace(instance: Instance) -> str:
    """The desktop as a workspace for all users with a small reservation: the host must be busy, not full."""
    desktop = instance.call("GET", f"/images/{instance.desktop()}")["name"]
    body = {"name": desktop, "friendly_name": f"W {uuid.uuid4().hex[:8]}", "cores": 0.1, "memory": 200_000_000}
    return instance.call("POST", "/images", json=body)["image_id"]


def run_queue() -> int:
    """The number of runnable tasks at this moment."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])


class Storm:
    """A pool, and users."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.staged_image, self.other_image = workspace(instance), workspace(instance)
        body = {"zone_id": instance.found["zones"][0]["zone_id"], "image_id": self.staged_image}
        body |= {"num_sessions": POOL, "expiration": 8}
        self.config_id = instance.call("POST", "/staging-configs", json=body)["staging_config_id"]
        self.people = [instance.new_user() for _ in range(POOL + ON_DEMAND)]
        self.figures = Figures()

    def full(self) -> None:
        wait_for(lambda: self.instance.staged(self.config_id) == POOL, "the pool is full", DONE_S)

    def launch(self, image_id: str, user_id: str) -> str:
        body = {"image_id": image_id, "user_id": user_id}
        return self.instance.call("POST", "/sessions", json=body)["session_id"]

    def run(self, come: str) -> tuple[list[str], list[str]]:
        """Run a round; returns the ids in the replies, of the users with a pool and of the others. Users with a pool
        launch a second after the others, or when the others' starts have reached the step `come`."""
        self.full()
        done = threading.Event()
        watching = threading.Thread(target=self._watch, args=(done,))
        watching.start()
        with ThreadPoolExecutor(POOL + ON_DEMAND) as threads:
            others = [threads.submit(self.launch, self.other_image, user) for user in self.people[POOL:]]
            if come:
                begun = [future.result() for future in others]
                wait_for(lambda: self._made(come, begun), f"the others' starts have {come}", DONE_S)
            else:
                time.sleep(1)
            staged = [threads.submit(self.launch, self.staged_image, user) for user in self.people[:POOL]]
            ids = [future.result() for future in staged], [future.result() for future in others]
        try:
            wait_for(lambda: self._settled([*ids[0], *ids[1]]), "every launch has come to an end", DONE_S)
        finally:
            done.set()
            watching.join()
        self.figures.staged_s += self._seconds(self.staged_image)
        self.figures.on_demand_s += self._seconds(self.other_image)
        return ids

    def _made(self, step: str, session_ids: list[str]) -> bool:
        """True if half of the sessions have reached this step."""
        query = "SELECT count(*) FROM session_steps WHERE name = %s AND session_id = ANY(%s::uuid[])"
        return 2 * self.instance.sql(query, step, session_ids)[0]["count"] >= len(session_ids)

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(0.5):
            self.figures.run_queue.append(run_queue())

    def _settled(self, session_ids: list[str]) -> bool:
        """True if the last session of each launch runs, or has failed permanently."""
        last = self.instance.sql(
            "SELECT l.session_id FROM launches l JOIN sessions s ON s.session_id = l.session_id"
            " WHERE l.launch_id IN (SELECT launch_id FROM sessions WHERE session_id = ANY(%s::uuid[]))"
            " AND (s.status = 'running' OR s.status = 'failed' AND s.gave_up)",
            session_ids,
        )
        return len(last) == len(session_ids)

    def _seconds(self, image_id: str) -> list[float]:
        rows = self.instance.sql(
            "SELECT extract(epoch FROM p.at - l.at)::float AS seconds FROM launches l"
            " JOIN sessions s ON s.session_id = l.session_id"
            " JOIN session_steps p ON p.session_id = s.session_id AND p.name = 'ready'"
            " WHERE l.image_id = %s AND s.status = 'running'",
            image_id,
        )
        return [row["seconds"] for row in rows]

    def has_desktop(self, session_id: str) -> bool:
        with open_desktop(self.instance, session_id) as desktop:
            return desktop.goes_on()

    def leave(self) -> None:
        """All users log out."""
        query = "SELECT session_id::text FROM sessions WHERE user_id = ANY(%s::uuid[]) AND status <> 'deleted'"
        for row in self.instance.sql(query, self.people):
            self.instance.call("DELETE", f"/sessions/{row['session_id']}")
        wait_for(lambda: not self.instance.sql(query, self.people), "their sessions have ended", 120)

    def quarantined(self) -> list[dict[str, Any]]:
        """The sessions that were taken from a user, or from the pool, because they failed."""
        return self.instance.sql(
            "SELECT session_id::text, set_aside_reason, error, broke IS NOT NULL AS broke FROM sessions"
            " WHERE image_id = ANY(%s::uuid[]) AND (error IS NOT NULL OR set_aside_for IS NOT NULL)",
            [self.staged_image, self.other_image],
        )


def test_nothing_healthy_is_thrown_away_in_a_storm(busy: Instance, record_property: Callable[[str, object], None]):
    storm = Storm(busy)
    for come in ("", "started", "answering"):
        staged, others = storm.run(come)
        assert storm.quarantined() == [], f"nothing healthy is thrown away; {storm.figures}"
        for session_id in staged:
            steps = busy.call("GET", f"/sessions/{session_id}/placement")["steps"]
            assert [step["step"] for step in steps if step["used"]] == ["staged_here"], f"no cold start: {steps}"
        assert all(map(storm.has_desktop, [*staged, *others]))
        storm.leave()
    record_property("storm", str(storm.figures))
    assert busy.broken() == []
