"""Sentences about the health of the parts of an instance."""

from __future__ import annotations

import httpx2
import pytest

from greenroom.core.fleet.disk import FreeDisk
from greenroom.up import health
from greenroom.up.installation import ListedAgent


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, '{"ok": false, "status": "unhealthy", "enabled": true}', "answers 500: unhealthy"),
        (502, '{"status": 502, "detail": "The Manager does not answer."}', "answers 502: The Manager does not answer."),
        (404, "<html>", "answers 404: <html>"),
        (503, '{"ok": false, "status": "disabled", "enabled": false}', "disabled by an administrator"),
        (200, '{"ok": true, "status": "running", "enabled": true}', "answers"),
        (
            200,
            '{"ok": true, "status": "running", "failing_tasks": ["pools", "expiry"]}',
            "answers, failing tasks: pools, expiry",
        ),
        (200, "", "answers"),
    ],
)
async def test_the_health_of_a_part_is_a_sentence(status: int, body: str, said: str):
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, text=body))
    async with httpx2.AsyncClient(transport=transport) as http:
        found = await health.probe_health(http, "m", "manager", "http://m/")
    assert (found.detail, found.ok) == (said, status in (200, 503))


@pytest.mark.parametrize(
    ("free_bytes", "said"),
    [
        (None, "running"),
        (5_000_000_000, "running"),
        (900_000_000, "running, no new session: vm has 900 MB of disk free; 5 GB must stay free"),
    ],
)
def test_an_agent_that_is_short_of_disk_is_said_to_take_no_session(free_bytes: int | None, said: str):
    disk = FreeDisk(free_bytes=free_bytes, kept_bytes=5_000_000_000)
    agent = ListedAgent(hostname="vm", state="running", disk=disk)
    found = health.health_at_manager("agent-default", agent)
    assert (found.detail, found.ok) == (said, True)
