"""The clock of beliefs and intervals, and how late this process and its host are (`core.fleet.liveness`).

The process's own delay is how much later than asked for a short sleep ends. For the host: the run queue, sampled with
each of these sleeps, and how much of the time anything waited for a core (PSI), where the kernel counts it.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from greenroom.core.fleet.liveness import ON_TIME, Lateness


def boottime_s() -> float:
    """Seconds since the machine was started, sleep included (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


TICK_S: Final = 0.25
MEMORY_S: Final = 2.0
"""Decay time: samples of this age count a third as much as new ones."""
PROC: Final = Path("/proc")


class LatenessMeter:
    """On time until `run` begins. `now_s` is the time in seconds, which only grows; `cores` are the host's; `proc` None
    = only the own delay is measured.
    """

    def __init__(
        self, now_s: Callable[[], float] = time.monotonic, cores: int = os.cpu_count() or 1, proc: Path | None = PROC
    ) -> None:
        self._now_s = now_s
        self._cores = cores
        self._proc = proc
        self._due_s = math.inf
        self._stalled: tuple[float, float] | None = None
        self._own_s = self._queue = 0.0
        self._waiting = 1.0

    def now(self) -> Lateness:
        """The present lateness; a tick that is overdue this very moment already counts."""
        if math.isinf(self._due_s):
            return ON_TIME
        own_s = max(self._own_s, self._now_s() - self._due_s)
        return Lateness(own_s=round(own_s, 3), queue=round(self._queue, 1), waiting=round(self._waiting, 2))

    async def run(self) -> None:
        self.begin()
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def begin(self) -> None:
        """Expect the next tick in `TICK_S`."""
        self._due_s = self._now_s() + TICK_S

    def tick(self) -> None:
        """Sample once. The files are in memory: reading them takes some microseconds."""
        now_s = self._now_s()
        late_s = max(0.0, now_s - self._due_s)
        weight = 1.0 - math.exp(-(TICK_S + late_s) / MEMORY_S)
        self._own_s += weight * (late_s - self._own_s)
        if self._proc is not None:
            self._queue += weight * (_run_queue(self._proc / "loadavg") / self._cores - self._queue)
            self._look_at_pressure(self._proc / "pressure/cpu", now_s)
        self.begin()

    def _look_at_pressure(self, pressure: Path, now_s: float) -> None:
        """The kernel updates the count every 2 s: the share is that of the time between two updates."""
        try:
            stalled_s = int(_text(pressure).partition("total=")[2].split()[0]) / 1e6
        except (OSError, ValueError, IndexError):
            return
        if self._stalled is None or stalled_s > self._stalled[1]:
            if self._stalled is not None:
                since_s = max(TICK_S, now_s - self._stalled[0])
                self._waiting = min(1.0, (stalled_s - self._stalled[1]) / since_s)
            self._stalled = (now_s, stalled_s)


def _run_queue(loadavg: Path) -> float:
    """Tasks that want a core, without this one; none where the kernel does not report it."""
    try:
        return max(0.0, float(_text(loadavg).split()[3].partition("/")[0]) - 1.0)
    except (OSError, ValueError, IndexError):
        return 0.0


def _text(file: Path) -> str:
    """Of a short file, at a third of what `read_text` costs: it is read four times a second."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)
