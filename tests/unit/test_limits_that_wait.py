"""Requests that wait while a limit is reached, and the time to wait in the refusal by a limit."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx2
import pytest

from greenroom.api.desk import commands_and_files
from greenroom.api.problems import error_response
from greenroom.core.errors import TooManyRequests


class Desk:
    """Refuses a command this number of times because of other running commands."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    @asynccontextmanager
    async def stream(self, *_: object, **__: object) -> AsyncGenerator[httpx2.Response]:
        if self.refusals:
            self.refusals -= 1
            raise TooManyRequests("32 commands already run in this session; wait until one ends.")
        yield httpx2.Response(200)


async def test_a_command_waits_for_others_to_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands_and_files, "RETRY_PAUSE_S", 0.0)
    async with AsyncExitStack() as stack:
        answer = await commands_and_files.start_command(stack, cast("Any", Desk(2)), b"", 60.0)
        assert answer.status_code == 200
        with pytest.raises(TooManyRequests):
            await commands_and_files.start_command(stack, cast("Any", Desk(1)), b"", 0.0)


@pytest.mark.parametrize(("known", "said"), [({}, "1"), ({"retry_after_s": 7}, "7")])
def test_a_refusal_by_a_limit_says_what_the_limit_knows(known: dict[str, Any], said: str):
    assert error_response("/api/v1/leases", TooManyRequests("Too many.", **known)).headers["Retry-After"] == said
