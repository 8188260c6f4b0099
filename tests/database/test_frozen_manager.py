"""A Manager whose process is frozen still reports this on its port, also to an Agent that is sent there by mistake."""

from __future__ import annotations

import os
import signal

import httpx2
from tests.support.managers import STARTED_S, Fleet
from tests.support.processes import answers
from tests.support.waiting import eventually

from greenroom.kit.processes import children, is_running

FROZEN = {"ok": False, "status": "unhealthy", "enabled": True, "frozen": True}


async def test_a_frozen_manager_answers_500_to_all_and_200_once_it_goes_on(fleet: Fleet):
    manager = await fleet.start("one")
    url = fleet.urls["one"]
    manager.freeze()
    async with httpx2.AsyncClient(timeout=STARTED_S) as client:
        asked = [await client.get(f"{url}{path}") for path in ("/__healthcheck", "/health")]
        asked.append(await client.post(f"{url}/v1/check-in", content=b"{}" * 50_000))
    assert [(answer.status_code, answer.json()) for answer in asked] == 3 * [(500, FROZEN)]
    manager.thaw()
    await answers(f"{url}/__healthcheck", 200)


async def test_a_frozen_manager_killed_and_restarted_serves_on_its_port(fleet: Fleet):
    manager = await fleet.start("one")
    manager.freeze()
    for _ in range(3):
        manager.kill()
        await manager.ended()
        manager.start()
        await answers(f"{fleet.urls['one']}/__healthcheck", 200)


async def test_a_killed_stand_in_is_replaced_and_leaves_with_its_manager(fleet: Fleet):
    manager = await fleet.start("one")
    assert manager.process is not None
    pid = manager.process.pid
    (first,) = children(pid)
    os.kill(first.pid, signal.SIGKILL)

    async def replaced() -> list[int]:
        return [child.pid for child in children(pid) if child.pid != first.pid]

    (second,) = await eventually(replaced)
    assert "the stand-in ended; another one is started" in manager.log
    manager.kill(signal.SIGTERM)
    assert await manager.ended() == 0

    async def gone() -> bool:
        return not is_running(second)

    await eventually(gone)
