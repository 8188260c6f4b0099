"""The limit of parallel starts. A start holds a slot until its page shows the first frame (`core.session.starts`).

A slot is also released if the container does not run, is not desired any more or has failed, and after `SLOT_LIMIT_S`
at the latest, so that an image without a frame does not delay other starts.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from itertools import count
from typing import Final

import structlog

from greenroom.agent.session.desired import ListChange
from greenroom.agent.session.sessions import Sessions
from greenroom.core.fleet.liveness import Lateness, extended_limit_s, lateness_reason
from greenroom.core.session.reconcile import ContainerState
from greenroom.core.session.starts import (
    Start,
    Urgency,
    begins_after_s,
    default_start_slots,
    load_of,
    load_of_other_machines,
    next_start_slots,
    next_starts,
)

log = structlog.get_logger(__name__)

SLOT_LIMIT_S: Final = 10.0
"""The time after the start of the container at which the slot is released without a first frame, on an idle host."""
MAX_SLOT_LIMIT_S: Final = 20.0
"""The maximum of `SLOT_LIMIT_S` on a busy host."""
POLL_S: Final = 1.0


@dataclass(slots=True, eq=False)
class _Start:
    number: int
    decision: asyncio.Future[bool]
    waits_since_s: float
    container_started_at_s: float | None = None
    """The time at which the container was started; None = the start waits for a slot or creates the container."""

    def decide(self, *, is_wanted: bool) -> None:
        """End the wait: the start may begin, or it is not wanted any more."""
        if not self.decision.done():  # a cancelled start releases its slot in its `finally`
            self.decision.set_result(is_wanted)


@dataclass(eq=False)
class Starts:
    """The limit of parallel starts. `cores` returns the number of cores for sessions. `on_other_machines` returns True
    if sessions run on other machines than this host. All callers must be on one event loop.
    """

    sessions: Sessions
    lateness: Callable[[], Lateness]
    cores: Callable[[], float]
    _: KW_ONLY
    on_other_machines: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self._numbers = count()
        self._waiting: dict[str, _Start] = {}
        self._begun: dict[str, _Start] = {}
        self._last_handover_s = -math.inf
        """The time at which a staged session of this host was last handed over to its user."""
        self._timer: asyncio.TimerHandle | None = None
        self.slot_count = default_start_slots(self.cores())
        self.sessions.observed.changed.subscribe(self._release_if_done)
        self.sessions.desired.changed.subscribe(self._list_changed)
        self.sessions.handed_over.subscribe(lambda _: self._record_handover())

    @property
    def low_cpu_sessions(self) -> frozenset[str]:
        """The staged sessions without a first frame. Their containers have a smaller share of the CPU."""
        return frozenset(k for k in self._begun if not self.sessions.desired.has_user(k))

    @asynccontextmanager
    async def slot(self, session_id: str) -> AsyncGenerator[bool]:
        """Wait for a slot and hold it for the block, which starts the session, and afterwards until the first frame.
        Yields False if the session is not desired any more."""
        decision = asyncio.get_running_loop().create_future()
        start = self._waiting[session_id] = _Start(next(self._numbers), decision, time.monotonic())
        self._begin_next()
        try:
            yield await self._wait_for_slot(session_id, start)
        finally:
            self._waiting.pop(session_id, None)
            start.container_started_at_s = time.monotonic()
            self._release_if_done(session_id)

    async def _wait_for_slot(self, session_id: str, start: _Start) -> bool:
        if start.decision.done():
            return start.decision.result()
        self.sessions.observed.record_step(session_id, "queued")
        if is_wanted := await start.decision:
            self.sessions.observed.record_step(session_id, "admitted")
        return is_wanted

    async def run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            self.adjust_slots()

    def adjust_slots(self) -> None:
        """Release the slots that were held for too long, and adapt the number of slots to the load."""
        host, now_s, late_starts = self.lateness(), time.monotonic(), 0
        for session_id, start in list(self._begun.items()):
            started_at_s, limit_s = start.container_started_at_s, extended_limit_s(SLOT_LIMIT_S, host, MAX_SLOT_LIMIT_S)
            if started_at_s is not None and now_s - started_at_s >= limit_s:
                reason = (
                    f"its first frame is missing {limit_s:.0f} s after its container was started{lateness_reason(host)}"
                )
                log.warning("a start releases its slot to the next one", session_id=session_id, reason=reason)
                late_starts += 1
                self._release_slot(session_id)
        load = load_of_other_machines(late_starts) if self.on_other_machines() else load_of(host)
        self.slot_count = next_start_slots(self.slot_count, self.cores(), load, starts_wait=bool(self._waiting))
        self._begin_next()

    def _record_handover(self) -> None:
        self._last_handover_s = time.monotonic()

    def _list_changed(self, change: ListChange) -> None:
        if change.assigned:
            self._record_handover()
        for session_id in (*(desired.session_id for desired in change.changed), *change.removed):
            if session_id in self._waiting and not self._is_desired(session_id):
                self._waiting.pop(session_id).decide(is_wanted=False)
            self._release_if_done(session_id)
        self._begin_next()

    def _begin_next(self) -> None:
        """Begin the waiting starts for which there are slots."""
        if not self._waiting:
            return
        slots_by_workspace = Counter(self._workspace(k) for k in self._begun)
        ready_starts = self._ready_starts()
        waiting, begun = (
            {self._as_start(k, start, slots_by_workspace): k for k, start in starts.items()}
            for starts in (ready_starts, self._begun)
        )
        for next_start in next_starts(waiting.keys(), begun.keys(), self.slot_count):
            session_id = waiting[next_start]
            start = self._begun[session_id] = self._waiting.pop(session_id)
            start.decide(is_wanted=True)

    def _ready_starts(self) -> dict[str, _Start]:
        """Return the waiting starts, except those of staged sessions that must wait after a recent hand-over."""
        if self._timer is not None:
            self._timer.cancel()
        now_s, waits_s = time.monotonic(), dict[str, float]()
        for session_id, start in self._waiting.items():
            if not (self.on_other_machines() or self.sessions.desired.has_user(session_id)):
                waits_s[session_id] = begins_after_s(start.waits_since_s, self._last_handover_s) - now_s
        waits_s = {k: wait_s for k, wait_s in waits_s.items() if wait_s > 0}
        if waits_s:
            self._timer = asyncio.get_running_loop().call_later(min(waits_s.values()), self._begin_next)
        return {k: start for k, start in self._waiting.items() if k not in waits_s}

    def _as_start(self, session_id: str, start: _Start, slots_by_workspace: Mapping[str, int]) -> Start:
        if self.sessions.desired.has_user(session_id):
            return Start(Urgency.USER, 0, start.number)
        return Start(Urgency.REFILL, slots_by_workspace[self._workspace(session_id)], start.number)

    def _workspace(self, session_id: str) -> str:
        spec = self.sessions.desired.spec(session_id)
        return spec.image_id if spec is not None else ""

    def _release_if_done(self, session_id: str) -> None:
        start = self._begun.get(session_id)
        if start is not None and start.container_started_at_s is not None and not self._waits_for_frame(session_id):
            self._release_slot(session_id)

    def _release_slot(self, session_id: str) -> None:
        del self._begun[session_id]
        self._begin_next()
        self.sessions.due.add(session_id)

    def _waits_for_frame(self, session_id: str) -> bool:
        container, observed = self.sessions.observed.container(session_id), self.sessions.observed
        runs = (
            container is not None
            and container.state is ContainerState.RUNNING
            and not observed.journal_facts(session_id).failure
        )
        return runs and self._is_desired(session_id) and not observed.has_first_frame(session_id)

    def _is_desired(self, session_id: str) -> bool:
        desired = self.sessions.desired.get(session_id)
        return desired is not None and desired.want in {"running", "paused"}
