"""Stops sessions that write more to the host's disk than they may, before it is full.

They are measured one after the other, once a minute, and at once when the host has lost a GiB since the last look. The
work is bounded: a look that takes long is followed by a pause four times as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.disk import Stop, Written, is_short, shortage, to_stop
from greenroom.runtimes.contract import Runtime
from greenroom.wire.messages import Usage

log = structlog.get_logger(__name__)

TICK_S: Final = 2.0
LOOK_EVERY_S: Final = 60.0
LOST_BYTES: Final = 1 << 30
PAUSE_FACTOR: Final = 4.0


class DiskGuard:
    """See the module.

    Args:
        runtime: measures and stops.
        sessions: those of this host.
        hostname: the host's.
        usage: what the host uses now.
    """

    def __init__(self, runtime: Runtime, sessions: Sessions, hostname: str, usage: Callable[[], Usage]) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._hostname = hostname
        self._usage = usage
        self._free_then: int | None = None
        self._was_short = False

    async def run(self) -> None:
        """Look now and then, for ever."""
        next_look = 0.0
        while True:
            self._say()
            begun = time.monotonic()
            if begun >= next_look or self._lost_much():
                await self.look()
                took_s = time.monotonic() - begun
                next_look = begun + LOOK_EVERY_S
                await asyncio.sleep(PAUSE_FACTOR * took_s)
            await asyncio.sleep(TICK_S)

    async def look(self) -> None:
        """Measure every running session once, and stop those that the plan names."""
        usage = self._usage()
        self._free_then = usage.disk_free_bytes
        written = [w for session_id in self._running() if (w := await self._written(session_id)) is not None]
        for stop in to_stop(written, self._hostname, usage.disk_free_bytes, usage.disk_kept_bytes):
            await self._stop(stop)

    def _running(self) -> list[str]:
        return [session_id for session_id in self._sessions.running() if not self._sessions.known(session_id).failure]

    async def _written(self, session_id: str) -> Written | None:
        try:
            used_bytes = await self._runtime.disk_usage(session_id)
        except GreenroomError as error:
            log.warning("the disk use of a session is not known", session_id=session_id, reason=error.message)
            return None
        spec = self._sessions.spec(session_id)
        if used_bytes is None or spec is None:
            return None
        return Written(session_id=session_id, used_bytes=used_bytes, limit_bytes=spec.disk_limit_bytes)

    async def _stop(self, stop: Stop) -> None:
        """Its container stays, for who is to look at it, until the session is deleted."""
        self._sessions.remember(stop.session_id, failure=stop.reason)
        self._sessions.log_line("WARNING", "session-disk-full", stop.reason, stop.session_id)
        try:
            await self._runtime.stop(stop.session_id, 1.0)
        except GreenroomError as error:
            log.warning("a session could not be stopped", session_id=stop.session_id, reason=error.message)

    def _lost_much(self) -> bool:
        free = self._usage().disk_free_bytes
        return free is not None and self._free_then is not None and self._free_then - free >= LOST_BYTES

    def _say(self) -> None:
        """Write a row when the host begins to take no sessions for lack of disk, and when it takes them again."""
        usage = self._usage()
        short = is_short(usage.disk_free_bytes, usage.disk_kept_bytes)
        if short == self._was_short or usage.disk_free_bytes is None:
            return
        self._was_short = short
        if short:
            words = shortage(self._hostname, usage.disk_free_bytes, usage.disk_kept_bytes)
            self._sessions.log_line("ERROR", "agent-disk-short", f"{words}, so it takes no new session.")
        else:
            sentence = f"{self._hostname} has disk free again; it takes sessions."
            self._sessions.log_line("INFO", "agent-disk-free", sentence)
