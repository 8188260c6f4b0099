"""Waits until a replaced role is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from greenroom.core.errors import SetupError

READY_WITHIN_S: Final = 60.0
"""The time limit until a replaced role is ready."""
POLL_S: Final = 0.5


async def wait_until(problem: Callable[[], Awaitable[str]], name: str, within_s: float) -> None:
    """Wait until `problem` returns no problem. Raises SetupError: there is still a problem after `within_s`."""
    end_s = asyncio.get_running_loop().time() + within_s
    while text := await problem():
        if asyncio.get_running_loop().time() > end_s:
            raise SetupError(f"{name} is not ready after {within_s:g} s: {text.rstrip('.')}.")
        await asyncio.sleep(POLL_S)
