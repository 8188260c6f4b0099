"""Probes the pages of sessions. A session is usable if its page answers and shows a frame, and `first_launch` has
ended.

The page of a starting session is probed as often as the host allows, afterwards every `interval_s`. A usable session
counts as unusable only after two failed probes. Time limits grow with the lateness of the Agent and its host
(`core.fleet.liveness`), so that probes do not fail only because the host is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Final, TypeVar

import structlog

from greenroom.agent.app import AgentMetrics
from greenroom.agent.capacity import ExplainFailure, keep_failure
from greenroom.agent.concurrency import Slots, Workers
from greenroom.agent.session.sessions import Sessions
from greenroom.core.errors import GreenroomError
from greenroom.core.fleet.liveness import Lateness, extended_limit_s, lateness_factor, lateness_reason
from greenroom.core.log_codes import LogCode
from greenroom.core.session.starts import SlotCount, Urgency
from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.kit.concurrency import convert_item_error, warn_of_item_error
from greenroom.runtimes.contract import PROBE_TIMEOUT_S, Containers, ProbeResult

T = TypeVar("T")

MAX_PROBE_S: Final = 15.0


async def _probe_page(runtime: Containers, address: str, spec: SessionSpec, *, keep_connection: bool) -> ProbeResult:
    with convert_item_error("page", address):
        return await runtime.probe(address, spec, MAX_PROBE_S, keep_connection=keep_connection)


class ProbeTimeLimits:
    """Time limits that grow with the current lateness of the host."""

    def __init__(self, lateness: Callable[[], Lateness]) -> None:
        self._lateness = lateness

    def extended_limit_s(self, limit_s: float, max_s: float = MAX_PROBE_S) -> float:
        """Return the time limit at the current lateness."""
        return extended_limit_s(limit_s, self._lateness(), max_s)

    def time_on_idle_host_s(self, elapsed_s: float) -> float:
        """Return the time that an idle host would need for work that took `elapsed_s` on this host."""
        return elapsed_s / lateness_factor(self._lateness())

    def lateness_reason(self) -> str:
        """Return the reason for a longer time limit, as the end of a sentence; empty if the limit is not longer."""
        return lateness_reason(self._lateness())

    async def wait_for(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """Return the result of `work`. When the limit is over, it is computed again with the current lateness. Raises
        TimeoutError: the limit is over, and the work was cancelled."""
        task = asyncio.ensure_future(work)
        begun = time.monotonic()
        try:
            while (remaining_s := begun + self.extended_limit_s(limit_s) - time.monotonic()) > 0 and not task.done():
                await asyncio.wait({task}, timeout=remaining_s)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def probe(
        self, runtime: Containers, address: str, spec: SessionSpec, limit_s: float, *, keep_connection: bool = False
    ) -> ProbeResult:
        """Probe a session's page within the extended time limit. The arguments are those of `Containers.probe`."""
        begun = time.monotonic()
        try:
            return await self.wait_for(_probe_page(runtime, address, spec, keep_connection=keep_connection), limit_s)
        except GreenroomError as error:
            return ProbeResult(usable=False, error=error.message)
        except TimeoutError:
            elapsed_s = time.monotonic() - begun
            sentence = f"The session's page did not answer within {elapsed_s:.1f} s{self.lateness_reason()}."
            return ProbeResult(usable=False, timed_out=True, error=sentence)


log = structlog.get_logger(__name__)

MIN_PAUSE_S: Final = 0.075
MAX_PAUSE_S: Final = 1.0
PAUSE_FACTOR: Final = 3
"""The pause between two probes of a starting session, as a multiple of the duration of the last probe. If many sessions
start at the same time, probes take longer and become rarer, so that they do not slow down the starts.
"""
FAST_PROBING_S: Final = 20.0
"""The time after which a session that is not usable is probed only every `MAX_PAUSE_S`."""
PROBE_SLOTS: Final = SlotCount(ordinary=8, for_users=4)
"""The limit of parallel probes. More probes would slow down starts."""
FAILURES_THAT_COUNT: Final = 2
"""The number of consecutive failed probes after which a session is not usable any more."""
BROKEN_AFTER_S: Final = 1.0
"""The time for which probes must have failed before the session counts as broken."""
VALID_INTERVALS: Final = 3
"""The number of probe intervals for which a probe is valid. An older probe means that the Agent was delayed."""
LOG_EVERY_S: Final = 30.0
"""The interval at which the log of a container is read that is not usable after `FAST_PROBING_S`."""
LOG_TAIL_LINES: Final = 50
STOP_GRACE_S: Final = 1.0


def pause_s(age_s: float, duration_s: float) -> float:
    """Return the seconds until the next probe of a session that is not usable. Its container has run for `age_s`, and
    the last probe took `duration_s`, including the wait for a slot.
    """
    return min(MAX_PAUSE_S, max(MIN_PAUSE_S, PAUSE_FACTOR * duration_s)) if age_s < FAST_PROBING_S else MAX_PAUSE_S


@dataclass(eq=False)
class SessionProber:
    """Probes pages, with one worker for each page of a running container. The key of the worker is
    `probe:<session_id>:<page>`."""

    runtime: Containers
    sessions: Sessions
    workers: Workers
    metrics: AgentMetrics
    time_limits: ProbeTimeLimits
    _: KW_ONLY
    interval_s: float
    explain_failure: ExplainFailure = keep_failure

    def __post_init__(self) -> None:
        self._slots = Slots(PROBE_SLOTS)

    def start_workers(self, running: list[str]) -> None:
        """Start a worker for each of these sessions that has none. The workers of other sessions end by themselves."""
        for session_id in running:
            container = self.sessions.observed.container(session_id)
            if (
                container is not None
                and container.address is not None
                and not self.sessions.observed.journal_facts(session_id).failure
            ):
                self._start_worker(session_id, container.address)

    def _start_worker(self, session_id: str, address: str) -> None:
        page = self.sessions.observed.page_number(session_id)
        self.workers.start(f"probe:{session_id}:{page}", lambda: self._probe_until_gone(session_id, address, page))

    async def _probe_until_gone(self, session_id: str, address: str, page: int) -> None:
        begun, failures, was_usable, next_log_s = time.monotonic(), 0, False, FAST_PROBING_S
        failing_since = begun
        while (spec := self._spec(session_id, page)) is not None:
            started = time.monotonic()
            result = await self._probe(session_id, address, spec)
            if self._spec(session_id, page) is None:
                return
            self._record_steps(session_id, result)
            duration_s = time.monotonic() - started
            failures = 0 if result.usable else failures + 1
            failing_since = time.monotonic() if failures <= 1 else failing_since
            if result.usable and not was_usable:
                if not await self._first_launch(session_id, spec):
                    return
                was_usable = True
                self.sessions.observed.update_record(session_id, log_tail="")
                self._record_start_duration(session_id)
            elif failures >= FAILURES_THAT_COUNT:
                was_usable = False
            if self._spec(session_id, page) is not None:
                broken = failures >= FAILURES_THAT_COUNT and time.monotonic() - failing_since >= BROKEN_AFTER_S
                error = self._reason(session_id, result.error, time.monotonic() - begun)
                self.sessions.observed.store_probe(session_id, usable=was_usable, error=error, broken=broken)
            age_s = time.monotonic() - begun
            if not was_usable and age_s >= next_log_s:
                await self._store_log(session_id)
                next_log_s = age_s + LOG_EVERY_S
            await asyncio.sleep(self.interval_s if result.usable else pause_s(age_s, duration_s))

    def _reason(self, session_id: str, error: str, age_s: float) -> str:
        """Return the reason why the session is not usable; after `FAST_PROBING_S`, with the cause if it is known."""
        if not error or age_s < FAST_PROBING_S:
            return error
        return self.explain_failure(error, self.sessions.observed.journal_record(session_id).log_tail)

    async def _store_log(self, session_id: str) -> None:
        """Store the last output of a container that is not usable, to explain a missed deadline."""
        with warn_of_item_error(
            log, "the log of a container cannot be read", "session", session_id, session_id=session_id
        ):
            tail = await self.runtime.logs(session_id, LOG_TAIL_LINES)
            self.sessions.observed.update_record(session_id, log_tail=tail)

    def _record_start_duration(self, session_id: str) -> None:
        since_s = self.sessions.observed.age_s(session_id)
        if since_s is not None:
            self.metrics.start_seconds.observe(since_s)

    def _spec(self, session_id: str, page: int) -> SessionSpec | None:
        """Return the specification; None if the session, or its page with this number, does not exist any more."""
        container = self.sessions.observed.container(session_id)
        is_same = (
            container is not None
            and container.state == "running"
            and self.sessions.observed.page_number(session_id) == page
        )
        return self.sessions.desired.spec(session_id) if is_same else None

    async def _probe(self, session_id: str, address: str, spec: SessionSpec) -> ProbeResult:
        has_user = self.sessions.desired.has_user(session_id)
        async with self._slots.acquire(Urgency.USER if has_user else Urgency.REFILL):
            return await self.time_limits.probe(
                self.runtime, address, spec, PROBE_TIMEOUT_S, keep_connection=not has_user
            )

    def _record_steps(self, session_id: str, result: ProbeResult) -> None:
        if result.usable or result.painted is False:  # `painted` is None if the screen was not read
            self.sessions.observed.record_step(session_id, "answering")
        if result.usable and result.painted:
            self.sessions.observed.record_step(session_id, "painted")
        if result.usable:
            self.sessions.observed.store_first_frame(session_id)

    async def _first_launch(self, session_id: str, spec: SessionSpec) -> bool:
        """Run the command `first_launch`, once in the life of the container. Return False if the session failed,
        because the command did not end with 0 within its deadline."""
        state = self.sessions.observed.journal_record(session_id).first_launch
        if spec.first_launch is None or state == "ended":
            return True
        if state == "started":
            await self._fail(session_id, "The Agent was restarted while `first_launch` ran; its result is unknown.")
            return False
        await self.sessions.observed.update_record_durably(session_id, first_launch="started")
        try:
            with convert_item_error("session", session_id):
                await self.sessions.observed.wait_for_shared_copy()
                result = await self.runtime.exec(session_id, replace(spec.first_launch, once="first_launch"))
        except GreenroomError as error:
            await self._fail(session_id, f"`first_launch` could not be run: {error.message}")
            return False
        if result.exit_code == 0:
            self.sessions.observed.update_record(session_id, first_launch="ended")
            return True
        result_text = (
            f"was still running after {spec.first_launch.deadline_s:g} s"
            if result.exit_code is None
            else f"ended with exit code {result.exit_code}"
        )
        await self._fail(session_id, f"`first_launch` {result_text}: {result.output_end}", result.exit_code)
        return False

    async def _fail(self, session_id: str, sentence: str, exit_code: int | None = None) -> None:
        """Stop the container of a failed session, and store its last output."""
        if self.sessions.observed.container(session_id) is None:
            return  # the session was deleted in the meantime
        try:
            with convert_item_error("session", session_id):
                tail = await self.runtime.logs(session_id, LOG_TAIL_LINES)
                sentence = self.explain_failure(sentence, tail)
                changes = {"failure": sentence, "exit_code": exit_code, "log_tail": tail, "first_launch": "ended"}
                await self.sessions.observed.update_record_durably(session_id, **changes)
                await self.runtime.stop(session_id, STOP_GRACE_S)
        except GreenroomError as error:
            self.sessions.observed.update_record(
                session_id, failure=sentence, exit_code=exit_code, first_launch="ended"
            )
            log.warning("a session that failed could not be stopped", session_id=session_id, reason=error.message)
        self.sessions.outbox.log_line(LogCode.AGENT_FIRST_LAUNCH, f"Session {session_id}: {sentence}", session_id)
