"""The capacity, the usage, the kernel limits and the disk of the host. The Agent reads them at intervals.

While the runtime does not answer, the host offers no capacity. Otherwise placement would prefer this host, because it
has the lowest load.

A log row names a kernel limit that is too low for the sessions of the host, because most programs do not report such a
limit. Without inotify instances, for example, a desktop starts, but programs cannot watch files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Final

import structlog

from greenroom.agent.session.readings import SessionReadings
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet import host_limits
from greenroom.core.fleet.disk import DiskAmount, DiskUse, FreeDisk, SessionToStop, sessions_to_stop, shortage
from greenroom.core.log_codes import LogCode
from greenroom.kit.concurrency import convert_item_error, warn_of_item_error
from greenroom.kit.host_limits import read_limits
from greenroom.runtimes.contract import (
    Containers,
    DiskCountError,
    FilterRunner,
    HostCapacity,
    HostDisk,
    LogInStore,
    SessionMeter,
)
from greenroom.wire.messages import ReportedCapacity, Usage

log = structlog.get_logger(__name__)

RESERVE_FRACTION: Final = 0.1
MAX_RESERVE_BYTES: Final = 1 << 30
"""The maximum memory that is reserved for the host."""
READ_EVERY_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
UNAVAILABLE_AFTER_S: Final = 30.0
"""The time without an answer of the runtime after which the capacity is zero. Until then, the runtime may be slow or
restarting. The value is half of the time within which an Agent must accept a session.
"""
NO_CAPACITY: Final = ReportedCapacity(cores=0.0, memory_bytes=0)

DISK_POLL_S: Final = 2.0
MEASURE_EVERY_S: Final = 60.0
"""The maximum time between two measurements of all sessions."""
MEASURED_DECREASE_BYTES: Final = 1 << 30
MEASURED_DECREASE_INODES: Final = 0.01
"""If the free space has decreased by these bytes, or the free inodes by this fraction of all inodes, the sessions are
measured immediately."""
PAUSE_FACTOR: Final = 4.0
"""The pause after a measurement, as a multiple of its duration."""


def capacity_without_reserve(cores: float, memory_bytes: int) -> ReportedCapacity:
    """Return the capacity for sessions: all cores, and the memory without the reserve for the host."""
    reserve = min(int(memory_bytes * RESERVE_FRACTION), MAX_RESERVE_BYTES)
    return ReportedCapacity(cores=round(cores, 3), memory_bytes=memory_bytes - reserve)


def free_disk(usage: Usage) -> FreeDisk:
    """Return the disk of the host in a report."""
    return FreeDisk(
        free_bytes=usage.disk_free_bytes, kept_bytes=usage.disk_kept_bytes, free_inodes=usage.disk_free_inodes
    )


@dataclass(eq=False)
class CapacityMeter:
    """Reads the capacity and the usage. The capacity is zero before the first reading, and while the runtime does not
    answer.

    `log_line` adds a log row (code, message). `disk_kept_bytes` is the part of the disk that sessions must not use.
    `on_read` is called after every reading with the reason why the runtime does not answer; empty if it answers.
    """

    runtime: HostCapacity
    hostname: str
    log_line: Callable[[LogCode, str], None]
    now: Callable[[], float] = time.monotonic
    _: KW_ONLY
    disk_kept_bytes: int = 0
    on_read: Callable[[str], None] = lambda reason: None

    def __post_init__(self) -> None:
        self._failing_since: float | None = None
        self._is_unavailable = False
        self.runtime_error = ""
        """The reason why the capacity is zero, as a sentence; empty if it is not."""
        self.capacity = NO_CAPACITY
        self.on_other_machines = False
        """True if sessions run on other machines than this host."""
        self.usage = Usage()
        self._sessions = SessionReadings(self.runtime) if isinstance(self.runtime, SessionMeter) else None

    async def read(self) -> None:
        """Read the capacity and the usage. Raises RuntimeUnavailable: the runtime does not answer."""
        capacity = await self.runtime.capacity()
        self.capacity = capacity_without_reserve(capacity.cores, capacity.memory_bytes)
        self.on_other_machines = capacity.on_other_machines
        used = await self.runtime.host_usage()
        self.usage = Usage(
            cpu=round(used.cpu, 3),
            memory_bytes=used.memory_bytes,
            disk_free_bytes=used.disk_free_bytes,
            disk_free_inodes=used.disk_free_inodes,
            disk_kept_bytes=self.disk_kept_bytes,
            runtime_classes=capacity.runtime_classes,
            mount_folders=capacity.mount_folders,
            simulated=capacity.simulated,
            pauses=capacity.can_pause,
            # a runtime that runs the web filters itself cannot add secrets to the requests of sessions
            brokers=not isinstance(self.runtime, FilterRunner),
            keeps_log_ins=isinstance(self.runtime, LogInStore),
            sessions=self._sessions.latest if self._sessions else {},
        )

    async def run(self) -> None:
        # At the same time, so that many sessions do not delay the notice that the runtime does not answer.
        reads = [self.try_read, *([self._sessions.try_read] if self._sessions else [])]
        while True:
            await asyncio.gather(*(read() for read in reads))
            await asyncio.sleep(READ_EVERY_S)

    async def try_read(self) -> None:
        """Call `read`, and add a log row if the capacity becomes zero because of an error, or is known again."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                with convert_item_error("capacity"):
                    await self.read()
        except GreenroomError as error:
            self._record_no_answer(error.message)
        except TimeoutError:
            self._record_no_answer(f"The runtime did not answer within {ANSWER_TIMEOUT_S:g} s.")
        else:
            self._record_answer()

    def _record_no_answer(self, reason: str) -> None:
        self.on_read(reason)
        log.warning("the capacity of this host cannot be read", reason=reason, next_try_s=READ_EVERY_S)
        now = self.now()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if now - self._failing_since >= UNAVAILABLE_AFTER_S and not self._is_unavailable:
            self._is_unavailable, self.capacity, self.runtime_error = True, NO_CAPACITY, reason
            sentence = f"{self.hostname} offers no capacity until its runtime answers again: {reason}"
            self.log_line(LogCode.AGENT_OFFERS_NOTHING, sentence)

    def _record_answer(self) -> None:
        self.on_read("")
        self._failing_since = None
        if self._is_unavailable:
            self._is_unavailable, self.runtime_error = False, ""
            self.log_line(
                LogCode.AGENT_OFFERS_AGAIN, f"The runtime of {self.hostname} answers again; the host accepts sessions."
            )


LIMITS_POLL_S: Final = 60.0

ExplainFailure = Callable[[str, str], str]
"""(failure, last output) → the failure, with a sentence about its cause if the cause is known."""


def keep_failure(failure: str, log_tail: str = "") -> str:
    """Return the failure unchanged, for a host whose limits are unknown."""
    del log_tail
    return failure


class HostLimits:
    """Checks the kernel limits of the host. `count_containers` counts the containers that share the limits,
    `read_limits` reads the limits, and `log_line` adds a log row (code, message).
    """

    def __init__(
        self,
        hostname: str,
        log_line: Callable[[LogCode, str], None],
        count_containers: Callable[[], int],
        read_limits: Callable[[], Mapping[str, int]] = read_limits,
    ) -> None:
        self._hostname = hostname
        self._log_line = log_line
        self._read_limits = read_limits
        self._count_containers = count_containers
        self._limits: Mapping[str, int] = {}
        self._reported: frozenset[str] = frozenset()

    async def run(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(LIMITS_POLL_S)

    async def check(self) -> None:
        """Check the limits. A limit is logged once when it becomes too low for the number of containers."""
        self._limits = await asyncio.to_thread(self._read_limits)
        containers = self._count_containers()
        too_low = host_limits.limits_too_low(self._limits, containers)
        if any(entry.limit.name not in self._reported for entry in too_low):
            sentence = f"Host {self._hostname}: {host_limits.overload_explanation(self._limits, containers)}"
            self._log_line(LogCode.AGENT_HOST_LIMIT, sentence)
        self._reported = frozenset(entry.limit.name for entry in too_low)

    def explain_failure(self, failure: str, log_tail: str = "") -> str:
        """Return the failure and, if a limit of the host may be its cause, a sentence about the limit. `log_tail` is
        the last output of the container.
        """
        hint = host_limits.failure_explanation(self._limits, self._count_containers(), f"{failure}\n{log_tail}")
        return f"{failure} {hint}" if hint else failure


class DiskGuard:
    """Stops sessions that use more of the host's disk than allowed, before the disk is full.

    The sessions are measured one at a time, once a minute. They are measured immediately if the free space has
    decreased by 1 GiB, or the free inodes by 1 %, since the last measurement. After a measurement, the Agent pauses
    four times as long as the measurement took, to limit the load.
    """

    def __init__(
        self, disk: HostDisk, containers: Containers, sessions: Sessions, hostname: str, usage: Callable[[], Usage]
    ) -> None:
        self._host_disk = disk
        self._containers = containers
        self._sessions = sessions
        self._hostname = hostname
        self._usage = usage
        self._last_disk = FreeDisk()
        self._failed_counts: dict[str, int] = {}
        """Session id → the number of consecutive measurements that did not end in time (`DiskUse.uncounted`)."""
        self._was_short = False

    async def run(self) -> None:
        next_check_s = 0.0
        while True:
            self._log_shortage()
            started = time.monotonic()
            if started >= next_check_s or self._is_filling_fast():
                await self.check()
                duration_s = time.monotonic() - started
                next_check_s = started + MEASURE_EVERY_S
                await asyncio.sleep(PAUSE_FACTOR * duration_s)
            await asyncio.sleep(DISK_POLL_S)

    async def check(self) -> None:
        """Measure every running session once, and stop the sessions that use too much."""
        self._last_disk = disk = self._disk()
        running = [key for key in self._sessions.running() if not self._sessions.observed.journal_facts(key).failure]
        self._failed_counts = {key: number for key, number in self._failed_counts.items() if key in running}
        disk_uses = [use for session_id in running if (use := await self._disk_use(session_id)) is not None]
        for stop in sessions_to_stop(disk_uses, self._hostname, disk):
            await self._stop(stop)

    def _disk(self) -> FreeDisk:
        return free_disk(self._usage())

    async def _disk_use(self, session_id: str) -> DiskUse | None:
        try:
            with convert_item_error("session", session_id):
                used = await self._host_disk.disk_usage(session_id)
            self._failed_counts.pop(session_id, None)
        except DiskCountError as error:
            log.warning("a session has too many files", session_id=session_id, reason=error.message)
            self._failed_counts[session_id] = self._failed_counts.get(session_id, 0) + 1
            used = DiskAmount()
        except GreenroomError as error:
            log.warning("the disk use of a session cannot be read", session_id=session_id, reason=error.message)
            return None
        spec = self._sessions.desired.spec(session_id)
        if used is None or spec is None:
            return None
        uncounted = self._failed_counts.get(session_id, 0)
        return DiskUse(session_id=session_id, used=used, limit_bytes=spec.disk_limit_bytes, uncounted=uncounted)

    async def _stop(self, stop: SessionToStop) -> None:
        """Stop a session. Its container stays until the session is deleted."""
        self._sessions.observed.update_record(stop.session_id, failure=stop.reason)
        self._sessions.outbox.log_line(LogCode.SESSION_DISK_FULL, stop.reason, stop.session_id)
        session_id = stop.session_id
        with warn_of_item_error(log, "a session could not be stopped", "session", session_id, session_id=session_id):
            await self._containers.stop(session_id, 1.0)

    def _is_filling_fast(self) -> bool:
        last, now = self._last_disk, self._disk()
        if last.free_bytes is None:  # the first measurement took place before the first reading of the disk
            self._last_disk = now
        return (
            _decrease(last.free_bytes, now.free_bytes) >= MEASURED_DECREASE_BYTES
            or _decrease(last.free_inodes, now.free_inodes) >= MEASURED_DECREASE_INODES
        )

    def _log_shortage(self) -> None:
        """Log when the host stops accepting sessions for lack of disk, and when it accepts them again."""
        disk = self._disk()
        sentence = shortage(self._hostname, disk)
        if bool(sentence) == self._was_short or disk.free_bytes is None:
            return
        self._was_short = bool(sentence)
        if sentence:
            self._sessions.outbox.log_line(LogCode.AGENT_DISK_SHORT, f"{sentence}, so it accepts no new sessions.")
        else:
            sentence = f"{self._hostname} has enough free disk space again; it accepts sessions."
            self._sessions.outbox.log_line(LogCode.AGENT_DISK_FREE, sentence)


def _decrease(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else before - after
