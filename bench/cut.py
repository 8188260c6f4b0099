"""From the request that takes access away until the viewer's stream is closed: a share is ended, the right to share is
taken away, the session is ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from websockets import ConnectionClosed

from bench.instance import Instance, instance
from bench.line import Line
from bench.opened import await_open, entered, first_frame
from bench.table import Figure, median, percentile, spread

SAMPLES: Final = 6
GOAL_MS: Final = 1000.0
SETTLES_S: Final = 3.0
"""After a cut: what comes from the address of a viewer who was just cut is refused for a moment."""
ALLOWED: Final = {"allow_kasm_sharing": True, "allow_guest_links": True}


def run() -> list[Figure]:
    """One guest at a time watches a session, and keeps asking for pictures."""
    taken: dict[str, list[float]] = {}
    with instance() as running:
        running.stage(1)
        group = next(one for one in running.get("/groups") if one["name"] == "All Users")
        rights = f"/api/v1/groups/{group['group_id']}"
        image_id, line, events = running.desktop()["image_id"], Line(running), Line(running).events()
        for user_id in running.many_users(SAMPLES):
            session_id = line.ask("POST", "/sessions", {"image_id": image_id, "user_id": user_id})["session_id"]
            await_open(line, events, session_id)
            path = f"/api/v1/sessions/{session_id}"
            ways: dict[str, Callable[[], Any]] = {
                "a share is ended": lambda path=path: running.http.delete(f"{path}/shares"),
                "the right to share is taken away": lambda: running.http.patch(
                    rights, json={"settings": {"allow_kasm_sharing": False}}
                ),
                "the session is ended": lambda path=path: running.http.delete(path),
            }
            for name, act in ways.items():
                running.http.patch(rights, json={"settings": ALLOWED}).raise_for_status()
                taken.setdefault(name, []).append(asyncio.run(_cut_ms(running, _joined(running, session_id), act)))
                time.sleep(SETTLES_S)
    return [
        Figure(
            f"{name}: until its viewer is cut off, {which}", value, GOAL_MS, "ms", "the goal",
            len(values), spread(values), values, goal=1,
        )
        for name, values in taken.items()
        for which, value in (("p50", median(values)), ("the longest", percentile(values, 100)))
    ]  # fmt: skip


def _joined(running: Instance, session_id: str) -> str:
    """The address by which a guest opens the session."""
    share = running.post(f"/sessions/{session_id}/shares", {"access": "view", "guest": True})
    secret = share["connect_url"].partition("#")[2]
    joined = running.post(f"/shares/{share['share_id']}/viewers", {"token": secret, "name": "Gus"})
    return joined["frame_url"]


async def _cut_ms(running: Instance, address: str, act: Callable[[], Any]) -> float:
    async with entered(running, address) as socket:
        await first_frame(socket)
        begun = time.perf_counter()
        doing = asyncio.create_task(asyncio.to_thread(act))
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            took_ms = (time.perf_counter() - begun) * 1000
    (await doing).raise_for_status()
    return took_ms
