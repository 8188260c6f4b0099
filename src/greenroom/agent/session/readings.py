"""The use of the sessions of this host, for the check-ins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from greenroom.kit.concurrency import warn_of_item_error
from greenroom.runtimes.contract import SessionMeter, SessionUsage
from greenroom.wire.fields import MAX_METERED, SessionUse

log = structlog.get_logger(__name__)

READ_EVERY_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0


class SessionReadings:
    """Reads the usage of sessions at most every `READ_EVERY_S`. `latest` is the use between the last two readings."""

    def __init__(self, meter: SessionMeter, now: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._now = now
        self._read_at = float("-inf")
        self._before: Mapping[str, SessionUsage] = {}
        self.latest: dict[str, SessionUse] = {}
        """Session id → use. A session is missing until it was read twice."""

    async def try_read(self) -> None:
        """Read the usage if it is due. After an error, which is logged, no use is known until the next readings."""
        now = self._now()
        passed_s = now - self._read_at
        if passed_s < READ_EVERY_S:
            return
        usages: Mapping[str, SessionUsage] = {}
        with warn_of_item_error(log, "the usage of sessions cannot be read", "sessions"):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                usages = await self._meter.session_usage()
        self.latest = use_between(self._before, usages, passed_s)
        self._before, self._read_at = usages, now


def use_between(
    before: Mapping[str, SessionUsage], after: Mapping[str, SessionUsage], passed_s: float
) -> dict[str, SessionUse]:
    """Return the use of the sessions that are in both readings, of at most `MAX_METERED`. A container that was started
    again has a smaller CPU time than before; its use is 0 until the next reading."""
    both = [session_id for session_id in after if session_id in before][:MAX_METERED]
    return {
        session_id: SessionUse(
            cpu=round(max(0.0, after[session_id].cpu_s - before[session_id].cpu_s) / passed_s, 3),
            memory_bytes=after[session_id].memory_bytes,
        )
        for session_id in both
    }
