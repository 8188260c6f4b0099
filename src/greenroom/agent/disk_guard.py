"""Stops sessions that write more to the host's disk than allowed, before the disk is full.

They are measured one by one, once a minute, and at once when the host has lost a GiB or 1 % of its inodes since the
last look. A long look is followed by a pause four times as long, which bounds the work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.disk import DiskUse, FreeDisk, Stop, Use, shortage, to_stop
from greenroom.core.log_codes import LogCode
from greenroom.kit.concurrency import one_item, warned
from greenroom.runtimes.contract import Containers, DiskCountError, HostDisk
from greenroom.wire.messages import Usage

log = structlog.get_logger(__name__)

TICK_S: Final = 2.0
LOOK_EVERY_S: Final = 60.0
LOST_BYTES: Final = 1 << 30
LOST_INODES: Final = 0.01
PAUSE_FACTOR: Final = 4.0


class DiskGuard:
    """Measures sessions and stops those over their limit."""

    def __init__(
        self, disk: HostDisk, containers: Containers, sessions: Sessions, hostname: str, usage: Callable[[], Usage]
    ) -> None:
        self._host_disk = disk
        self._containers = containers
        self._sessions = sessions
        self._hostname = hostname
        self._usage = usage
        self._then = FreeDisk()
        self._uncounted: dict[str, int] = {}
        self._was_short = False

    async def run(self) -> None:
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
        self._then = disk = self._disk()
        running = self._running()
        self._uncounted = {name: times for name, times in self._uncounted.items() if name in running}
        written = [w for session_id in running if (w := await self._written(session_id)) is not None]
        for stop in to_stop(written, self._hostname, disk):
            await self._stop(stop)

    def _disk(self) -> FreeDisk:
        usage = self._usage()
        return FreeDisk(
            free_bytes=usage.disk_free_bytes, kept_bytes=usage.disk_kept_bytes, free_inodes=usage.disk_free_inodes
        )

    def _running(self) -> list[str]:
        return [
            session_id
            for session_id in self._sessions.running()
            if not self._sessions.observed.known(session_id).failure
        ]

    async def _written(self, session_id: str) -> DiskUse | None:
        try:
            with one_item("session", session_id):
                used = await self._host_disk.disk_usage(session_id)
            self._uncounted.pop(session_id, None)
        except DiskCountError as error:
            log.warning("a session has too many files", session_id=session_id, reason=error.message)
            self._uncounted[session_id] = self._uncounted.get(session_id, 0) + 1
            used = Use()
        except GreenroomError as error:
            log.warning("the disk use of a session cannot be read", session_id=session_id, reason=error.message)
            return None
        spec = self._sessions.desired.spec(session_id)
        if used is None or spec is None:
            return None
        uncounted = self._uncounted.get(session_id, 0)
        return DiskUse(session_id=session_id, used=used, limit_bytes=spec.disk_limit_bytes, uncounted=uncounted)

    async def _stop(self, stop: Stop) -> None:
        """Stop a session; its container stays for inspection until the session is deleted."""
        self._sessions.observed.remember(stop.session_id, failure=stop.reason)
        self._sessions.outbox.log_line(LogCode.SESSION_DISK_FULL, stop.reason, stop.session_id)
        session_id = stop.session_id
        with warned(log, "a session could not be stopped", "session", session_id, session_id=session_id):
            await self._containers.stop(session_id, 1.0)

    def _lost_much(self) -> bool:
        then, now = self._then, self._disk()
        return (
            _lost(then.free_bytes, now.free_bytes) >= LOST_BYTES
            or _lost(then.free_inodes, now.free_inodes) >= LOST_INODES
        )

    def _say(self) -> None:
        """Log when the host stops accepting sessions for lack of disk, and when it accepts them again."""
        disk = self._disk()
        words = shortage(self._hostname, disk)
        if bool(words) == self._was_short or disk.free_bytes is None:
            return
        self._was_short = bool(words)
        if words:
            self._sessions.outbox.log_line(LogCode.AGENT_DISK_SHORT, f"{words}, so it accepts no new sessions.")
        else:
            sentence = f"{self._hostname} has enough free disk space again; it accepts sessions."
            self._sessions.outbox.log_line(LogCode.AGENT_DISK_FREE, sentence)


def _lost(then: float | None, now: float | None) -> float:
    return 0.0 if then is None or now is None else then - now
