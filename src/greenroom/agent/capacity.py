"""What the host offers to sessions, and what it uses: read now and then, told in every check-in."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from greenroom.runtimes.base import Runtime, RuntimeUnavailable
from greenroom.wire.messages import Capacity, Usage

log = structlog.get_logger(__name__)

RESERVE_FRACTION: Final = 0.1
MAX_RESERVE_BYTES: Final = 1 << 30
"""The host keeps a tenth of the memory, at most 1 GiB, for itself."""
READ_EVERY_S: Final = 5.0


def offered(cores: float, memory_bytes: int) -> Capacity:
    """What is offered of the Agent's share of a host: all its cores, and its memory less a reserve for the host."""
    reserve = min(int(memory_bytes * RESERVE_FRACTION), MAX_RESERVE_BYTES)
    return Capacity(cores=round(cores, 3), memory_bytes=memory_bytes - reserve)


class CapacityMeter:
    """The last reading; nothing is offered before the first one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.capacity = Capacity(cores=0.0, memory_bytes=0)
        self.usage = Usage()

    async def read(self) -> None:
        """Read once.

        Raises:
            RuntimeUnavailable: the runtime does not answer.
        """
        share = await self._runtime.capacity()
        self.capacity = offered(share.cores, share.memory_bytes)
        used = await self._runtime.host_usage()
        self.usage = Usage(cpu=round(used.cpu, 3), memory_bytes=used.memory_bytes)

    async def run(self) -> None:
        """Read now and then, for ever."""
        while True:
            try:
                await self.read()
            except RuntimeUnavailable as error:
                log.warning("the use of this host is not known", reason=error.message, next_try_s=READ_EVERY_S)
            await asyncio.sleep(READ_EVERY_S)
