"""Waiting for changes without an event, because another process or a database causes them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest


def timers_set(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every timer that this loop sets from now on; the process wakes for each of them."""
    loop = asyncio.get_running_loop()
    call_at, timers = loop.call_at, list[float]()

    def recording(when: float, *rest: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when - loop.time())
        return call_at(when, *rest, **named)

    monkeypatch.setattr(loop, "call_at", recording)
    return timers


async def eventually(condition: Callable[[], Awaitable[Any] | Any], timeout_s: float = 60.0) -> Any:
    """Wait until `condition` returns a true value, and return it."""
    async with asyncio.timeout(timeout_s):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)
