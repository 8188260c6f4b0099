"""The request of a command in both clients, and the time for which they wait for the answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from packages.client.tests.leases import LEASE

from greenroom.client import AsyncDesk, AsyncGreenroom, Desk, Greenroom
from greenroom.client.desk import command_request

ADDRESS = ("http://desk.example", "key", "secret")
DONE = {"exit_code": 0, "stdout": "", "stderr": ""}


class Sent:
    """Answers each command at once and stores the body of the last one."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.body = json.loads(request.content)
        if self.body["stream"]:
            return httpx.Response(200, text='{"exit_code": 0}\n')
        return httpx.Response(200, json=DONE)


async def asynchronously(sent: Sent, streamed: bool, **options: Any) -> None:
    async with AsyncGreenroom(*ADDRESS, transport=sent.transport) as greenroom:
        desk = AsyncDesk(greenroom, LEASE)
        if not streamed:
            await desk.exec(["ls"], **options)
        else:
            assert [output.exit_code async for output in desk.exec_stream(["ls"], **options)] == [0]


def synchronously(sent: Sent, streamed: bool, **options: Any) -> None:
    with Greenroom(*ADDRESS, transport=sent.transport) as greenroom:
        desk = Desk(greenroom, LEASE)
        if not streamed:
            desk.exec(["ls"], **options)
        else:
            assert [output.exit_code for output in desk.exec_stream(["ls"], **options)] == [0]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("options", "wait_s"), [({}, None), ({"wait_s": 0}, 0), ({"wait_s": 45.0}, 45.0)])
def test_a_command_says_how_long_it_waits_to_begin(streamed: bool, options: dict[str, Any], wait_s: float | None):
    sent = Sent()
    synchronously(sent, streamed, **options)
    assert sent.body.get("wait_s") == wait_s
    sent.body = {}
    asyncio.run(asynchronously(sent, streamed, **options))
    assert sent.body.get("wait_s") == wait_s


@pytest.mark.parametrize(("streamed", "within_s"), [(True, 75.0), (False, 135.0)])
def test_an_answer_is_awaited_while_the_command_waits_to_begin(streamed: bool, within_s: float):
    assert command_request("l", ["ls"], timeout_s=60.0, wait_s=45.0, is_streamed=streamed).timeout_s == within_s
