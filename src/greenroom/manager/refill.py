"""Refill at once: a pool that something was said of is planned by itself, and not only in the Primary's next round.

A round does all the tasks of its zone one after the other; a session that was assigned is replaced beside it, within
milliseconds. Nothing depends on it: what is missed here is found by the round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.core.errors import GreenroomError
from greenroom.manager.context import PrimaryContext
from greenroom.manager.pools import run_named_pools

log = structlog.get_logger(__name__)

MOST_S: Final = 10.0
"""For the pools named together: whatever hangs here is given up, and does not keep those named later waiting."""


class Refill:
    """See the module.

    Args:
        context: what the Primary's tasks are given now; None while this Manager is not Primary.
        most_s: how long the plans of the pools named together may take.
    """

    def __init__(self, context: Callable[[], PrimaryContext | None], most_s: float = MOST_S) -> None:
        self._context = context
        self._most_s = most_s
        self._wanted: set[str] = set()
        self._woken = asyncio.Event()

    def want(self, staging_config_id: str) -> None:
        """Something of this pool changed."""
        self._wanted.add(staging_config_id)
        self._woken.set()

    async def run(self) -> None:
        """Plan for ever; pools that are named while others are planned come next."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            wanted, self._wanted = self._wanted, set()
            ctx = self._context()
            if ctx is None or ctx.tasks.troubles.rests("pools"):
                continue
            try:
                async with asyncio.timeout(self._most_s):
                    await run_named_pools(ctx, sorted(wanted))
            except TimeoutError:
                log.warning("left to the next round", pools=sorted(wanted), reason=f"not done after {self._most_s:g} s")
            except GreenroomError as error:
                log.info("left to the next round", pools=sorted(wanted), reason=error.message)
