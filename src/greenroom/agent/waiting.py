"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until the event is set, at most `timeout_s`, and clear it."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
