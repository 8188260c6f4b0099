"""Waiting for what no event announces, because another process or a database does it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any


async def eventually(condition: Callable[[], Awaitable[Any] | Any], timeout_s: float = 60.0) -> Any:
    """The first true value of `condition`."""
    async with asyncio.timeout(timeout_s):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)
