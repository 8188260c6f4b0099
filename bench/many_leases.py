"""A hundred programs at once, each on a desktop of its own: whether each one sees and moves its own alone, and how long
an action takes until its picture, beside one program alone.
"""

from __future__ import annotations

import base64
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from bench.instance import Instance, instance
from bench.table import Figure, median, percentile, spread

LEASES = 100
STAGED = 20
ROUNDS = 10
ALONE = 50
AT_ONCE = 20
"""Leases that are asked for at the same time: what comes after is an on-demand start each."""
P50_MS = 50.0
LIGHT = "greenroom/desktop:openbox"
PNG = b"\x89PNG\r\n"


@dataclass(frozen=True, slots=True)
class Program:
    """One lease, with its token alone."""

    number: int
    lease_id: str
    http: httpx.Client

    def rounds(self, count: int = ROUNDS) -> list[float]:
        """The milliseconds of each, one after the other."""
        return [self._round() for _ in range(count)]

    def _round(self) -> float:
        """Move the pointer, and see it there; the milliseconds. Nothing of another lease may be in the answers."""
        mark, place = uuid.uuid4().hex, [100 + self.number, 100 + 2 * self.number]
        self._act({"action": "set_clipboard", "text": mark})
        begun = time.perf_counter()
        done = self._act({"action": "mouse_move", "coordinate": place}, screenshot=True)
        took_ms = (time.perf_counter() - begun) * 1000
        assert base64.b64decode(done["screenshot"]).startswith(PNG)
        where, copied = self._act({"action": "cursor_position"}, {"action": "get_clipboard"})["results"]
        assert where["coordinate"] == place, f"lease {self.number}: the pointer is at {where}"
        assert copied["text"] == mark, f"lease {self.number}: the clipboard is another's"
        return took_ms

    def _act(self, *actions: dict[str, Any], screenshot: bool = False) -> dict[str, Any]:
        answer = self.http.post(
            f"/api/v1/leases/{self.lease_id}/actions", json={"actions": actions, "screenshot": screenshot}
        )
        done = answer.raise_for_status().json()
        assert all(result["done"] for result in done["results"]), done["results"]
        return done


def run() -> list[Figure]:
    """`script/lib need_images openbox` makes the image before."""
    with instance(environment={"GREENROOM_DESKTOP_IMAGE": LIGHT}) as running:
        image_id = _workspace(running)
        running.await_current(running.begin_staging(image_id, STAGED), STAGED, 300)
        users = running.many_users(LEASES)
        alone = _program(running, image_id, users[0], 0)
        alone_ms = alone.rounds(ALONE)
        begun = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            wanted = [threads.submit(_program, running, image_id, users[n], n) for n in range(1, LEASES)]
            programs = [alone, *(one.result() for one in wanted)]
        granted_s = time.perf_counter() - begun
        _refuses_foreign_tokens(programs)
        begun = time.perf_counter()
        with ThreadPoolExecutor(LEASES) as threads:
            rounds = threads.map(Program.rounds, programs)
            together_ms = [took_ms for of_one in rounds for took_ms in of_one]
        took_s = time.perf_counter() - begun
    rate = f"{len(together_ms) * 3 / took_s:.0f} requests/s; {LEASES} leases granted in {granted_s:.0f} s"
    return [
        Figure(
            "an action until its picture, one program, p50", median(alone_ms), P50_MS, "ms",
            "the goal", len(alone_ms), spread(alone_ms), alone_ms, goal=1,
        ),
        Figure(
            f"the same with {LEASES} programs at once, p50", median(together_ms), median(alone_ms), "ms",
            "one program alone", len(together_ms), rate, together_ms, alone_ms,
        ),
        Figure(
            f"the same with {LEASES} programs at once, p99", percentile(together_ms, 99), median(together_ms), "ms",
            "their p50", len(together_ms), "no answer of another's lease", together_ms,
        ),
    ]  # fmt: skip


def _workspace(running: Instance) -> str:
    """The light desktop, of which a hundred fit on a small machine; its id."""
    body = {"name": running.desktop()["name"], "friendly_name": "Many", "cores": 0.05, "memory": 150_000_000}
    body["port_map"] = running.get(f"/images/{running.desktop()['image_id']}")["port_map"]
    return running.post("/images", body)["image_id"]


def _program(running: Instance, image_id: str, user_id: str, number: int) -> Program:
    wish = {"workspace": image_id, "seconds": 1800, "user_id": user_id, "wait_s": 60}
    lease = running.http.post("/api/v1/leases", json=wish, timeout=90).raise_for_status().json()
    bearer = {"Authorization": f"Bearer {lease['token']}"}
    trusted = running.context()
    return Program(
        number,
        lease["lease_id"],
        httpx.Client(base_url=running.facts["url"], verify=trusted, headers=bearer, timeout=60),
    )


def _refuses_foreign_tokens(programs: list[Program]) -> None:
    for program, other in zip(programs, [*programs[1:], programs[0]], strict=True):
        answer = program.http.get(f"/api/v1/leases/{other.lease_id}/screenshot")
        assert answer.status_code == 401, f"the token of lease {program.number} opens another: {answer.status_code}"
