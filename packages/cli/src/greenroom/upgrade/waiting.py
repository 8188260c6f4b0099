"""Waits until a replaced role is ready, and stays ready: a role of the new version may work at first, and end seconds
later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from greenroom.core.errors import SetupError

READY_WITHIN_S: Final = 60.0
"""The time limit until a replaced role is ready."""
STEADY_S: Final = 15.0
"""The time for which a replaced role must have run with one process before the next step."""
MAX_ENDS: Final = 2
"""The number of ends of a role's process after which the role counts as failed."""
POLL_S: Final = 0.5


async def wait_until(problem: Callable[[], Awaitable[str]], name: str, within_s: float) -> None:
    """Wait until `problem` returns no problem. Raises SetupError: there is still a problem after `within_s`."""
    end_s = asyncio.get_running_loop().time() + within_s
    while text := await problem():
        if asyncio.get_running_loop().time() > end_s:
            raise SetupError(f"{name} is not ready after {within_s:g} s: {text.rstrip('.')}.")
        await asyncio.sleep(POLL_S)


@dataclass(slots=True)
class _Process:
    identity: Hashable
    since_s: float
    ends: int = 0


@dataclass(slots=True)
class SteadyProcesses:
    """The process of each replaced role, and the time since when it runs. `clock` returns monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _processes: dict[str, _Process] = field(default_factory=dict[str, _Process])

    def forget(self, name: str) -> None:
        """Count the next process of a role as its first, because the role is replaced."""
        self._processes.pop(name, None)

    def problem(self, name: str, identity: Hashable | None) -> str:
        """Return the reason why a role is not steady; empty if its process has run for `STEADY_S`. `identity` is that
        of its process, such as a pid; None = it has none.

        Raises:
            SetupError: the process has ended `MAX_ENDS` times.
        """
        known = self._processes.get(name)
        if identity is None:
            return "it has no process"
        if known is None:
            known = self._processes[name] = _Process(identity, self.clock())
        elif known.identity != identity:
            known.identity, known.since_s, known.ends = identity, self.clock(), known.ends + 1
        if known.ends >= MAX_ENDS:
            raise SetupError(f"{name} does not keep running: its process ended {known.ends} times.")
        age_s = self.clock() - known.since_s
        return "" if age_s >= STEADY_S else f"its process has run for {age_s:.0f} of {STEADY_S:g} s"
