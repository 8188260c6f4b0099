"""The capacity, usage and limits of the host, read at intervals and reported in every check-in, and its disk.

While the runtime is silent the host offers nothing. A session placed there would wait until its deadline, and so would
the next ones, because a host on which nothing starts is the least loaded.

If the host has more sessions than its kernel limits allow, that is reported with the limit. Exceeding most limits ends
nothing (without inotify instances a desktop starts and paints, but programs that watch files fail), so the limits are
read, not just failures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Final

import structlog

from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet import host_limits
from greenroom.core.fleet.disk import DiskUse, FreeDisk, Stop, Use, shortage, to_stop
from greenroom.core.log_codes import LogCode
from greenroom.kit.concurrency import one_item, warned
from greenroom.kit.host_limits import read
from greenroom.runtimes.contract import Containers, DiskCountError, FilterRunner, HostCapacity, HostDisk, LogInKeeper
from greenroom.wire.messages import ReportedCapacity, Usage

log = structlog.get_logger(__name__)

RESERVE_FRACTION: Final = 0.1
MAX_RESERVE_BYTES: Final = 1 << 30
"""The host reserves a tenth of its memory, at most 1 GiB."""
READ_EVERY_S: Final = 5.0
ANSWERED_WITHIN_S: Final = 10.0
SILENT_AFTER_S: Final = 30.0
"""Until then the offer of the host stays: the runtime may be restarting, or slow on a busy host. Half of the time
within which a session must be taken up."""
NOTHING: Final = ReportedCapacity(cores=0.0, memory_bytes=0)

TICK_S: Final = 2.0
POLL_S: Final = 60.0
LOST_BYTES: Final = 1 << 30
LOST_INODES: Final = 0.01
PAUSE_FACTOR: Final = 4.0


def offered(cores: float, memory_bytes: int) -> ReportedCapacity:
    """The capacity that an Agent's share of a host offers: all its cores, and its memory minus a reserve for
    the host."""
    reserve = min(int(memory_bytes * RESERVE_FRACTION), MAX_RESERVE_BYTES)
    return ReportedCapacity(cores=round(cores, 3), memory_bytes=memory_bytes - reserve)


@dataclass(eq=False)
class CapacityMeter:
    """The last reading; nothing is offered before the first one, nor while the runtime is silent.

    `log_line` writes a log row (code, message); `disk_kept_bytes` of the disk stay free; `note` is called at every look
    with the reason why the runtime does not answer, empty if it does.
    """

    runtime: HostCapacity
    hostname: str
    log_line: Callable[[LogCode, str], None]
    now: Callable[[], float] = time.monotonic
    _: KW_ONLY
    disk_kept_bytes: int = 0
    note: Callable[[str], None] = lambda reason: None

    def __post_init__(self) -> None:
        self._failing_since: float | None = None
        self._is_silent = False
        self.runtime_error = ""
        """The reason why nothing is offered, as a sentence; empty while the runtime answers or is only late."""
        self.capacity = NOTHING
        self.elsewhere = False
        """True if the capacity is of other machines than this host."""
        self.usage = Usage()

    async def read(self) -> None:
        """Read the capacity and the usage. Raises RuntimeUnavailable: the runtime does not answer."""
        share = await self.runtime.capacity()
        self.capacity, self.elsewhere = offered(share.cores, share.memory_bytes), share.elsewhere
        used = await self.runtime.host_usage()
        self.usage = Usage(
            cpu=round(used.cpu, 3),
            memory_bytes=used.memory_bytes,
            disk_free_bytes=used.disk_free_bytes,
            disk_free_inodes=used.disk_free_inodes,
            disk_kept_bytes=self.disk_kept_bytes,
            runtime_classes=share.runtime_classes,
            simulated=share.simulated,
            pauses=share.pauses,
            brokers=not isinstance(self.runtime, FilterRunner),
            keeps_log_ins=isinstance(self.runtime, LogInKeeper),
        )

    async def run(self) -> None:
        while True:
            await self.try_read()
            await asyncio.sleep(READ_EVERY_S)

    async def try_read(self) -> None:
        """Read, and log when the runtime becomes silent or answers again."""
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                with one_item("capacity"):
                    await self.read()
        except GreenroomError as error:
            self._no_answer(error.message)
        except TimeoutError:
            self._no_answer(f"The runtime did not answer within {ANSWERED_WITHIN_S:g} s.")
        else:
            self._answer()

    def _no_answer(self, reason: str) -> None:
        self.note(reason)
        log.warning("the capacity of this host cannot be read", reason=reason, next_try_s=READ_EVERY_S)
        now = self.now()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now - self._failing_since >= SILENT_AFTER_S and not self._is_silent:
            self._is_silent, self.capacity, self.runtime_error = True, NOTHING, reason
            sentence = f"{self.hostname} offers no capacity until its runtime answers again: {reason}"
            self.log_line(LogCode.AGENT_OFFERS_NOTHING, sentence)

    def _answer(self) -> None:
        self.note("")
        self._failing_since = None
        if self._is_silent:
            self._is_silent, self.runtime_error = False, ""
            self.log_line(
                LogCode.AGENT_OFFERS_AGAIN, f"The runtime of {self.hostname} answers again; the host accepts sessions."
            )


LIMITS_POLL_S: Final = 60.0

Explained = Callable[[str, str], str]


def as_it_is(failure: str, log_tail: str = "") -> str:
    """Return the failure unchanged, for a host whose limits are unknown."""
    del log_tail
    return failure


class HostLimits:
    """Watches the kernel limits of the host: `containers` counts the containers that share them, `limits` reads them,
    `log_line` writes a log row (code, message)."""

    def __init__(
        self,
        hostname: str,
        log_line: Callable[[LogCode, str], None],
        containers: Callable[[], int],
        limits: Callable[[], Mapping[str, int]] = read,
    ) -> None:
        self._hostname = hostname
        self._log_line = log_line
        self._read = limits
        self._containers = containers
        self._values: Mapping[str, int] = {}
        self._said: frozenset[str] = frozenset()

    async def run(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(LIMITS_POLL_S)

    async def check(self) -> None:
        """Check once; a limit that became too low is logged once, until it is enough again."""
        self._values = await asyncio.to_thread(self._read)
        containers = self._containers()
        low = host_limits.too_low(self._values, containers)
        if any(narrow.limit.name not in self._said for narrow in low):
            sentence = f"Of {self._hostname}: {host_limits.overfull(self._values, containers)}"
            self._log_line(LogCode.AGENT_HOST_LIMIT, sentence)
        self._said = frozenset(narrow.limit.name for narrow in low)

    def explained(self, failure: str, log_tail: str = "") -> str:
        """The failure, with the host's limit that may explain it; `log_tail` is the container's last output."""
        hint = host_limits.failure_explanation(self._values, self._containers(), f"{failure}\n{log_tail}")
        return f"{failure} {hint}" if hint else failure


class DiskGuard:
    """Stops sessions that write more to the host's disk than allowed, before the disk is full.

    They are measured one by one, once a minute, and at once when the host has lost a GiB or 1 % of its inodes since the
    last look. A long look is followed by a pause four times as long, which bounds the work.
    """

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
                await self.check()
                took_s = time.monotonic() - begun
                next_look = begun + POLL_S
                await asyncio.sleep(PAUSE_FACTOR * took_s)
            await asyncio.sleep(TICK_S)

    async def check(self) -> None:
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
