"""The clock for leadership and intervals, and the lateness of this process and its host (`core.fleet.liveness`).

The lateness of the process is the delay with which a short sleep ends. The lateness of the host has two values, read
after each of these sleeps: the run queue, and the share of time in which any task waited for a core (PSI), if the
kernel reports it.
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
    """Return the seconds since the machine was started, including sleep (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


TICK_S: Final = 0.25
DECAY_S: Final = 2.0
"""The decay time: samples of this age have about a third of the weight of new samples."""
PROC: Final = Path("/proc")


class LatenessMeter:
    """Measures lateness; before `run` begins, the lateness is `ON_TIME`. `now_s` returns the time in seconds and never
    decreases; `cores` is the number of cores of the host; with `proc` None, only this process is measured.
    """

    def __init__(
        self, now_s: Callable[[], float] = time.monotonic, cores: int = os.cpu_count() or 1, proc: Path | None = PROC
    ) -> None:
        self._now_s = now_s
        self._cores = cores
        self._proc = proc
        self._next_tick_s = math.inf
        self._last_pressure: tuple[float, float] | None = None
        self._own_s = self._queue = 0.0
        self._waiting = 1.0  # the value of `Lateness.waiting` if the kernel does not report it

    def current(self) -> Lateness:
        """Return the current lateness, including the delay of a tick that is overdue."""
        if math.isinf(self._next_tick_s):
            return ON_TIME
        own_s = max(self._own_s, self._now_s() - self._next_tick_s)
        return Lateness(own_s=round(own_s, 3), queue=round(self._queue, 1), waiting=round(self._waiting, 2))

    async def run(self) -> None:
        self.begin()
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def begin(self) -> None:
        """Expect the next tick in `TICK_S`."""
        self._next_tick_s = self._now_s() + TICK_S

    def tick(self) -> None:
        """Take one sample. The files of /proc are in memory, so reading them takes a few microseconds."""
        now_s = self._now_s()
        late_s = max(0.0, now_s - self._next_tick_s)
        weight = 1.0 - math.exp(-(TICK_S + late_s) / DECAY_S)
        self._own_s += weight * (late_s - self._own_s)
        if self._proc is not None:
            self._queue += weight * (_run_queue(self._proc / "loadavg") / self._cores - self._queue)
            self._read_pressure(self._proc / "pressure/cpu", now_s)
        self.begin()

    def _read_pressure(self, pressure: Path, now_s: float) -> None:
        """Update the share of time in which a task waited. The kernel updates the total waiting time every 2 s, so the
        share is measured between two updates.
        """
        try:
            total_s = int(_read_short_file(pressure).partition("total=")[2].split()[0]) / 1e6
        except (OSError, ValueError, IndexError):
            return
        if self._last_pressure is None or total_s > self._last_pressure[1]:
            if self._last_pressure is not None:
                since_s = max(TICK_S, now_s - self._last_pressure[0])
                self._waiting = min(1.0, (total_s - self._last_pressure[1]) / since_s)
            self._last_pressure = (now_s, total_s)


def _run_queue(loadavg: Path) -> float:
    """Return the number of tasks that need a core, without this task; 0 if the kernel does not report it."""
    try:
        return max(0.0, float(_read_short_file(loadavg).split()[3].partition("/")[0]) - 1.0)
    except (OSError, ValueError, IndexError):
        return 0.0


def _read_short_file(file: Path) -> str:
    """Return the text of a short file. This takes a third of the time of `read_text`; files are read four times a
    second.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)
