"""Finds out whether sessions are usable: the page answers, something was painted, and `first_launch` has ended.

While a session starts its page is probed quickly, afterwards every `probe_interval_s`. One failed probe of a usable
session is looked at again before it counts, so that a busy host does not make sessions flap.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from greenroom.agent.metrics import Metrics
from greenroom.agent.sessions import Sessions
from greenroom.agent.workers import Workers
from greenroom.core.errors import GreenroomError
from greenroom.core.sessions import SessionSpec
from greenroom.runtimes.base import ProbeResult, Runtime

log = structlog.get_logger(__name__)

FAST_S: Final = 0.075
SLOW_S: Final = 1.0
FAST_FOR_S: Final = 20.0
"""A session that is not usable after this time is probed every `SLOW_S` only."""
PARALLEL: Final = 8
"""Probes at a time, so that they do not slow down what they wait for."""
FAILURES_THAT_COUNT: Final = 2


class Prober:
    """One worker per running container, key `probe:<session_id>:<address>`."""

    def __init__(
        self, runtime: Runtime, sessions: Sessions, workers: Workers, metrics: Metrics, interval_s: float
    ) -> None:
        self._runtime = runtime
        self._sessions = sessions
        self._workers = workers
        self._metrics = metrics
        self._interval_s = interval_s
        self._room = asyncio.Semaphore(PARALLEL)

    def follow(self, running: list[str]) -> None:
        """See to it that each of these sessions is probed; the probing of others ends by itself."""
        for session_id in running:
            seen = self._sessions.seen(session_id)
            if seen is not None and seen.address is not None:
                self._follow_one(session_id, seen.address)

    def _follow_one(self, session_id: str, address: str) -> None:
        self._workers.start(f"probe:{session_id}:{address}", lambda: self._probe_on(session_id, address))

    async def _probe_on(self, session_id: str, address: str) -> None:
        begun, failures, was_usable = time.monotonic(), 0, False
        while (spec := self._spec(session_id, address)) is not None:
            result = await self._probe(session_id, address, spec)
            failures = 0 if result.usable else failures + 1
            if result.usable and not was_usable:
                await self._first_launch(session_id, spec)
                was_usable = True
                self._note_start(session_id)
            elif failures >= FAILURES_THAT_COUNT:
                was_usable = False
            if self._spec(session_id, address) is not None:
                self._sessions.probed(session_id, usable=was_usable, error=result.error)
            await asyncio.sleep(self._pause_s(result.usable, time.monotonic() - begun))

    def _note_start(self, session_id: str) -> None:
        since_s = self._sessions.age_s(session_id)
        if since_s is not None:
            self._metrics.start_seconds.observe(since_s)

    def _pause_s(self, usable: bool, age_s: float) -> float:
        if usable:
            return self._interval_s
        return FAST_S if age_s < FAST_FOR_S else SLOW_S

    def _spec(self, session_id: str, address: str) -> SessionSpec | None:
        """The specification while this container still is the one to probe."""
        seen = self._sessions.seen(session_id)
        is_same = seen is not None and seen.address == address and seen.state == "running"
        return self._sessions.spec(session_id) if is_same else None

    async def _probe(self, session_id: str, address: str, spec: SessionSpec) -> ProbeResult:
        async with self._room:
            result = await self._runtime.probe(address, spec)
        if result.usable or result.painted is False:
            self._sessions.step(session_id, "answering")
        if result.usable and result.painted:
            self._sessions.step(session_id, "painted")
        return result

    async def _first_launch(self, session_id: str, spec: SessionSpec) -> None:
        """Run the command that belongs to the first start, once in the container's life; how it ends is only logged."""
        if spec.first_launch is None or self._sessions.memory(session_id).first_launch:
            return
        await self._sessions.remember_durably(session_id, first_launch="started")
        try:
            result = await self._runtime.exec(session_id, spec.first_launch)
        except GreenroomError as error:
            self._warn(session_id, f"`first_launch` could not be run: {error.message}")
        else:
            if result.exit_code != 0:
                ended = "is still running" if result.exit_code is None else f"ended with exit code {result.exit_code}"
                self._warn(session_id, f"`first_launch` {ended}: {result.output.strip()[-500:]}")
        self._sessions.remember(session_id, first_launch="ended")

    def _warn(self, session_id: str, message: str) -> None:
        self._sessions.log_line("WARNING", "agent-first-launch", f"Session {session_id}: {message}", session_id)
