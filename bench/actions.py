"""What a program on a leased desktop waits for: an action until its picture, kind by kind, a look, a command, files and
the elements of the screen; and until a person who takes over has control.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from bench.instance import Instance, instance
from bench.line import Line
from bench.table import Figure, median, percentile, spread

SAMPLES = 60
P50_MS = 50.0
CONTROL_MS = 200.0
LIGHT = "greenroom/desktop:openbox"
PLACE: Final = [400, 300]
"""In the terminal of the light desktop."""
MEGABYTE: Final = bytes(1 << 20)
ACTIONS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "click": lambda turn: {"action": "left_click", "coordinate": [PLACE[0] + turn, PLACE[1]]},
    "move": lambda turn: {"action": "mouse_move", "coordinate": [PLACE[0] + 5 * turn, PLACE[1]]},
    "type": lambda turn: {"action": "type", "text": f"word {turn}"},
    "key": lambda _: {"action": "key", "text": "ctrl+u"},
    "scroll": lambda turn: {
        "action": "scroll",
        "coordinate": PLACE,
        "scroll_direction": ("up", "down")[turn % 2],
        "scroll_amount": 3,
    },
}


def run() -> list[Figure]:
    """`script/lib need_images openbox` makes the image before."""
    with instance(environment={"GREENROOM_DESKTOP_IMAGE": LIGHT}) as running:
        image_id = running.desktop()["image_id"]
        running.await_current(running.begin_staging(image_id, 1), 1, 120)
        wish = {"workspace": image_id, "seconds": 1800, "user_id": running.many_users(1)[0], "wait_s": 60}
        lease = running.http.post("/api/v1/leases", json=wish, timeout=90).raise_for_status().json()
        program = Program(running, lease)
        program.act({"action": "left_click", "coordinate": PLACE}, {"action": "type", "text": "seq 300\n"})
        acted = {kind: program.timed(lambda turn, one=one: program.act(one(turn))) for kind, one in ACTIONS.items()}
        plain_ms = program.timed(lambda _: program.ask("GET", ""))
        others = {name: program.timed(one) for name, one in program.others().items()}
        taken_ms = _taken(Line(running), lease)
    figures = [
        Figure(
            f"an action until its picture, {kind}, p50", median(ms), P50_MS, "ms",
            "the goal", len(ms), spread(ms), ms, goal=1,
        )
        for kind, ms in acted.items()
    ]  # fmt: skip
    figures += [
        Figure(
            f"{name}, p50", median(ms), median(plain_ms), "ms",
            "what the api says of the lease", len(ms), spread(ms), ms, plain_ms,
        )
        for name, ms in others.items()
    ]  # fmt: skip
    return figures + [
        Figure(
            f"a person takes over until they have control, {name}", figure, CONTROL_MS, "ms",
            "the goal", len(taken_ms), spread(taken_ms), taken_ms, goal=1,
        )
        for name, figure in (("p50", median(taken_ms)), ("p95", percentile(taken_ms, 95)))
    ]  # fmt: skip


class Program:
    """The program that has the lease, with its token alone."""

    def __init__(self, running: Instance, lease: dict[str, Any]) -> None:
        self._base = f"/api/v1/leases/{lease['lease_id']}"
        bearer = {"Authorization": f"Bearer {lease['token']}"}
        self._http = httpx.Client(base_url=running.facts["url"], verify=running.context(), headers=bearer, timeout=60)

    def ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """One request below the lease."""
        return self._http.request(method, f"{self._base}{path}", **rest).raise_for_status()

    def act(self, *actions: dict[str, Any]) -> None:
        """Do these actions; the answer has the picture."""
        done = self.ask("POST", "/actions", json={"actions": actions, "screenshot": True}).json()
        assert done["screenshot"]
        assert all(result["done"] for result in done["results"]), done["results"]

    def timed(self, work: Callable[[int], object], samples: int = SAMPLES) -> list[float]:
        """Milliseconds of each, after one that warms up."""
        made: list[float] = []
        for turn in range(samples + 1):
            begun = time.perf_counter()
            work(turn)
            made.append((time.perf_counter() - begun) * 1000)
        return made[1:]

    def others(self) -> dict[str, Callable[[int], object]]:
        """What is no action, by its name."""
        return {
            "a screenshot": lambda _: self.ask("GET", "/screenshot"),
            "a screenshot of a region": lambda _: self.ask("GET", "/screenshot", params={"region": "100,100,500,400"}),
            "a screenshot at half the size": lambda _: self.ask("GET", "/screenshot", params={"width": 640}),
            "exec of true until its end": lambda _: self.ask("POST", "/exec", json={"command": ["true"]}),
            "a file of 1 MB up": lambda _: self.ask("PUT", "/files/large", content=MEGABYTE),
            "a file of 1 MB down": lambda _: self.ask("GET", "/files/large"),
            "the elements of the screen": lambda _: self.ask("GET", "/tree"),
        }


def _taken(line: Line, lease: dict[str, Any]) -> list[float]:
    """Milliseconds until the session's page has let the person in, which is when the answer comes."""
    made: list[float] = []
    for _ in range(SAMPLES):
        begun = time.perf_counter()
        taken = line.ask("POST", f"/leases/{lease['lease_id']}/control", {"holder": "person"})
        made.append((time.perf_counter() - begun) * 1000)
        assert taken["holder"] == "person"
        line.ask("POST", f"/leases/{lease['lease_id']}/control", {"holder": "program"})
    return made
